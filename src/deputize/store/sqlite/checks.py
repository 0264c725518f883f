"""Verifying and copying a ledger's file."""

from __future__ import annotations

import hashlib
import hmac
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from deputize import canonical
from deputize.errors import StoreError
from deputize.ledger import GENESIS, SYSTEM, SYSTEM_NAME, Flaw
from deputize.store.sqlite.file import connect, connect_copy

CHUNK = 1_000

_sha256, _hmac = hashlib.sha256, hmac.digest


def verify(path: Path, ledger_id: str, progress: Callable[[int], None] | None = None) -> Iterator[Flaw]:
    """Walk every chain on one snapshot. Yields what is wrong; a whole ledger yields nothing.

    `progress` is called with the number of entries walked so far.
    """
    with closing(connect(path, write=False)) as db:
        # Text as its bytes: what was changed into no text at all must be found, not raised.
        db.text_factory = bytes
        db.execute("BEGIN")
        erased = _erased(db)
        blobs = _blobs(db)
        yield from _verify_chains(db, ledger_id.encode(), erased, blobs, progress)
        yield from _verify_blobs(db)
        yield from _verify_events(db, {run for run, _, _ in erased})


def _erased(db: sqlite3.Connection) -> set[tuple[int, int, int]]:
    """What the system stream says was erased: run, version and seq. A changed record says nothing."""
    sql = "SELECT b.body FROM entry e JOIN body b ON b.seq=e.seq WHERE e.stream=? AND e.type='erased'"
    found: set[tuple[int, int, int]] = set()
    for (stored,) in db.execute(sql, (SYSTEM,)):
        body = _decoded(stored)
        run, versions, seqs = body.get("run_no"), body.get("versions"), body.get("seqs")
        if isinstance(run, int) and isinstance(versions, list) and isinstance(seqs, list):
            found.update((run, version, seq) for version, seq in zip(versions, seqs, strict=False))
    return found


def _blobs(db: sqlite3.Connection) -> set[bytes]:
    return {bytes(digest) for (digest,) in db.execute("SELECT digest FROM blob")}


def _verify_chains(
    db: sqlite3.Connection,
    ledger_id: bytes,
    erased: set[tuple[int, int, int]],
    blobs: set[bytes],
    progress: Callable[[int], None] | None,
) -> Iterator[Flaw]:
    names = {SYSTEM: SYSTEM_NAME.encode(), **dict(db.execute("SELECT no, id FROM run"))}
    rows = db.execute(
        "SELECT e.seq, e.stream, e.version, e.type, e.at, e.digest, e.hash, b.salt, b.body"
        " FROM entry e LEFT JOIN body b ON b.seq = e.seq ORDER BY e.stream, e.version"
    )
    at_stream, at_version, before, name, head = -1, 0, GENESIS, "", b""
    done = 0
    while chunk := rows.fetchmany(CHUNK):
        for seq, stream, version, type, at, digest, hash, salt, body in chunk:
            if stream != at_stream:
                at_stream, at_version, before = stream, 0, GENESIS
                named = names.get(stream, b"#%a" % stream)
                name, head = _text(named), b"%b\n%b\n" % (ledger_id, named)
            at_version += 1
            if version != at_version:
                yield Flaw(name, at_version, f"entry {at_version} is missing; the next is {version}")
                at_version = version
            try:
                place = b"%b%b%a\n%b\n%a\n%b" % (before, head, version, type, at, digest)
                if _sha256(place).digest() != hash:
                    yield Flaw(name, version, "the entry, or the one before it, was changed")
                if body is None:
                    if (stream, version, seq) not in erased:
                        yield Flaw(name, version, "the body is gone without a record of its erasure")
                elif _hmac(salt, body, "sha256") != digest:
                    yield Flaw(name, version, "the body or its salt was changed")
                elif b'"$blob"' in body and not blobs.issuperset(_references(body)):
                    yield Flaw(name, version, "a part of the body that is stored by digest is gone")
            except TypeError:
                yield Flaw(name, version, "the entry was changed into something of another type")
            before = hash
        done += len(chunk)
        if progress is not None:
            progress(done)


def _references(stored: bytes) -> Iterator[bytes]:
    for value in _decoded(stored).values():
        if isinstance(value, dict) and value.keys() == {"$blob"}:
            yield str(value["$blob"]).encode()


def _verify_blobs(db: sqlite3.Connection) -> Iterator[Flaw]:
    for digest, data in db.execute("SELECT digest, bytes FROM blob"):
        if not isinstance(data, bytes) or canonical.digest(data).encode() != digest:
            yield Flaw("blobs", 0, f"the stored body {_text(digest)[:12]} was changed")


def _verify_events(db: sqlite3.Connection, erased_runs: set[int]) -> Iterator[Flaw]:
    """An event that a run answers must be the one that the run's first entry names."""
    erased_events = {seq for no, seq in db.execute("SELECT no, event FROM run") if no in erased_runs}
    for run, run_event, seq, source, id, type, subject, time, data, stored in db.execute(_EVENTS_SQL):
        told = _decoded(stored).get("event")
        if not isinstance(told, dict) or told.get("seq") != run_event:
            yield Flaw(_text(run), 1, "the run's event is not the one that it began with")
        elif seq is None:
            yield Flaw(_text(run), 1, "the event that began it is gone")
        elif data is None:
            if run_event not in erased_events:
                yield Flaw(_text(run), 1, "its event's data is gone without a record of its erasure")
        else:
            place = [_text(source), _text(id), _text(type), _text(subject), time]
            typed = isinstance(data, bytes) and isinstance(time, int)
            if not typed or canonical.digest(canonical.encode(place) + data) != told.get("digest"):
                yield Flaw(_text(run), 1, f"the event {_text(id)} that began it was changed")


_EVENTS_SQL = (
    "SELECT r.id, r.event, v.seq, v.source, v.id, v.type, v.subject, v.time, v.data, b.body FROM run r"
    " JOIN entry e ON e.stream=r.no AND e.version=1 JOIN body b ON b.seq=e.seq"
    " LEFT JOIN event v ON v.seq=r.event"
)


def _decoded(stored: bytes) -> dict[str, Any]:
    """A body; nothing where it was changed into something else (the chain's own check tells that)."""
    try:
        body = canonical.decode(stored)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _text(stored: Any) -> str:
    return stored.decode(errors="replace") if isinstance(stored, bytes) else str(stored)


def backup(source: Path, target: Path) -> None:
    """A consistent copy of a ledger in use. Raises `StoreError` where it cannot be made."""
    if target.exists():
        raise StoreError(f"{target} is there already; name a file that is not")
    partial = target.with_name(target.name + ".partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        for left in (partial, partial.with_name(partial.name + "-journal")):  # by a copy that was killed
            left.unlink(missing_ok=True)
        with closing(connect(source, write=False)) as reader, closing(connect_copy(partial)) as writer:
            # In one step: a copy in several begins anew at every commit in between, without end.
            reader.backup(writer)
            # Whoever reads a copy that has a log leaves files beside it.
            writer.execute("PRAGMA journal_mode=DELETE")
        partial.rename(target)
    except (sqlite3.Error, OSError) as error:
        raise StoreError(f"the copy {target} could not be made: {error}") from None
