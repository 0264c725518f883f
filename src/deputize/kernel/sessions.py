"""Sessions and the hashes of passwords, in the ledger's settings. Neither is ever shown.

What a hash is and whether a password fits it is not known here: it is given, and kept.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import replace

from deputize import canonical
from deputize.kernel.committed import once_committed
from deputize.kernel.parts import Parts
from deputize.kernel.people import NotAnswerable
from deputize.ledger import SYSTEM, Draft
from deputize.person import Person
from deputize.session import LOCAL, SESSIONS_MAX, Session
from deputize.store.protocol import Tx
from deputize.token import BYTES, SESSION_PREFIX, digest_of, written

SESSION_SETTING = "session:"
PASSWORD_SETTING = "password:"
SEEN_EVERY_US = 300_000_000
"""A use is written down this long after the last that was: a crash forgets no more of it."""


class ProofChanged(NotAnswerable):
    """The password was changed in this moment; log in with the new one."""


class Sessions:
    """Who is known by which session. What is in memory is what the ledger has: this process owns it."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._known: dict[str, Session] = {}
        self._hashes: dict[str, str] = {}

    def take_in(self, tx: Tx) -> None:
        """Know what the ledger has; at start.

        What there is of people who are no longer named ends for good, as their tokens do; and the sessions of
        this machine's owner where people are named.
        """
        self._known, self._hashes = {}, dict(_within(tx, PASSWORD_SETTING))
        for name in self._hashes.keys() - self._people.keys():
            tx.set_setting(PASSWORD_SETTING + name, None)
            del self._hashes[name]
        for digest, session in _sessions(tx).items():
            named = session.person in self._people if session.person != LOCAL else not self._people
            if named and session.good(tx.at_us):
                self._known[digest] = session
            else:
                tx.set_setting(SESSION_SETTING + digest, None)

    # -- reading --------------------------------------------------------------------------------------

    def find(self, cookie: bytes) -> Session | None:
        """The session that a cookie is, used now; None for one that has ended or was never here."""
        digest, now_us = digest_of(cookie), self._parts.time.now_us()
        session = self._known.get(digest)
        if session is None or not session.good(now_us) or not self._is_somebodys(session):
            return None
        if now_us - session.seen_us >= SEEN_EVERY_US:
            session = self._known[digest] = replace(session, seen_us=now_us)
            self._note_seen(digest, now_us)
        return session

    def is_open(self, id: str) -> bool:
        """Whether the session of this id has not ended meanwhile."""
        now_us = self._parts.time.now_us()
        return any(one.id == id and one.good(now_us) for one in self._known.values())

    def hash_of(self, person: str) -> str:
        """The hash of a person's password; empty where they have none, or there is no such person."""
        return self._hashes.get(person, "") if person in self._people else ""

    @property
    def any_password(self) -> bool:
        """Whether anybody can log in by a password."""
        return bool(self._hashes)

    # -- writing --------------------------------------------------------------------------------------

    async def open(self, person: str, *, proof: str, before: bytes = b"") -> tuple[Session, str]:
        """A new session, and what its cookie holds: never that of before, which ends.

        `proof` is the hash that the password fitted (empty of this machine's owner). Raises `ProofChanged`
        where it is another by now, `NotAnswerable` for nobody.
        """
        if person != LOCAL and person not in self._people:
            raise NotAnswerable(f"there is nobody called {person!r} in deputize.toml")
        cookie, id = written(SESSION_PREFIX, os.urandom(BYTES)), os.urandom(4).hex()

        def work(tx: Tx) -> tuple[Session, list[str]]:
            _check_proof(tx, person, proof)
            ended = _make_room(tx, person, digest_of(before) if before else "")
            made = Session(person, id, tx.at_us, tx.at_us, tx.at_us if proof else 0)
            _keep(tx, digest_of(cookie.encode()), made)
            _tell(tx, "session opened", person, id, person)
            return made, ended

        def known(done: tuple[Session, list[str]]) -> None:
            for digest in done[1]:
                self._known.pop(digest, None)
            self._known[digest_of(cookie.encode())] = done[0]

        made, _ = await once_committed(self._parts.store.write(work), known)
        return made, cookie

    async def freshen(self, cookie: bytes, *, proof: str) -> Session:
        """Note that its password was given once more. Raises `NotAnswerable` where it has ended meanwhile."""
        digest = digest_of(cookie)

        def work(tx: Tx) -> Session:
            session = _sessions(tx).get(digest)
            if session is None or not session.good(tx.at_us):
                raise NotAnswerable("this session has ended; log in again")
            _check_proof(tx, session.person, proof)
            session = replace(session, seen_us=tx.at_us, fresh_us=tx.at_us)
            _keep(tx, digest, session)
            return session

        def known(session: Session) -> None:
            self._known[digest] = session

        return await once_committed(self._parts.store.write(work), known)

    async def end(self, cookie: bytes, by: str) -> None:
        """Let a session be nobody's; nothing for one that has ended already."""
        digest = digest_of(cookie)
        if digest not in self._known:
            return

        def work(tx: Tx) -> None:
            _end(tx, digest, by)

        def gone(_: None) -> None:
            self._known.pop(digest, None)

        await once_committed(self._parts.store.write(work), gone)

    async def set_password(self, person: str, hash: str, by: str, *, proof: str | None = None) -> None:
        """Keep the hash of a new password; every session of theirs ends.

        `proof` is the hash of the last one, where that was asked for. Raises `NotAnswerable` as `open`.
        """
        if person not in self._people:
            raise NotAnswerable(f"there is nobody called {person!r} in deputize.toml")

        def work(tx: Tx) -> list[str]:
            if proof is not None:
                _check_proof(tx, person, proof)
            theirs = [digest for digest, one in _sessions(tx).items() if one.person == person]
            for digest in theirs:
                _end(tx, digest, by)
            tx.set_setting(PASSWORD_SETTING + person, hash)
            _tell(tx, "password set", person, "", by)
            return theirs

        def known(theirs: list[str]) -> None:
            self._hashes[person] = hash
            for digest in theirs:
                self._known.pop(digest, None)

        await once_committed(self._parts.store.write(work), known)

    # -- helpers --------------------------------------------------------------------------------------

    def _is_somebodys(self, session: Session) -> bool:
        return session.person in self._people if session.person != LOCAL else not self._people

    def _note_seen(self, digest: str, now_us: int) -> None:
        def work(tx: Tx) -> None:
            session = _sessions(tx).get(digest)
            # One that has ended meanwhile stays so.
            if session is not None and session.seen_us < now_us:
                _keep(tx, digest, replace(session, seen_us=now_us))

        def after(done: asyncio.Future[None]) -> None:
            # A ledger that is full or lost says so elsewhere; the session is known as used all the same.
            if not done.cancelled():
                done.exception()

        self._parts.store.write(work).add_done_callback(after)

    @property
    def _people(self) -> Mapping[str, Person]:
        return self._parts.force.directory.people


def _within(tx: Tx, prefix: str) -> Mapping[str, str]:
    return {name.removeprefix(prefix): value for name, value in tx.settings(prefix).items()}


def _sessions(tx: Tx) -> dict[str, Session]:
    return {
        digest: Session(**canonical.decode(value)) for digest, value in _within(tx, SESSION_SETTING).items()
    }


def _keep(tx: Tx, digest: str, session: Session) -> None:
    value = {name: getattr(session, name) for name in Session.__slots__}
    tx.set_setting(SESSION_SETTING + digest, canonical.encode(value).decode())


def _make_room(tx: Tx, person: str, before: str) -> list[str]:
    """End what the new session takes the place of, and what is too many: the digests."""
    found, ended = _sessions(tx), []
    for digest, session in found.items():
        if digest == before:
            _end(tx, digest, session.person)
        elif session.good(tx.at_us):
            continue
        else:
            tx.set_setting(SESSION_SETTING + digest, None)
        ended.append(digest)
    theirs = [d for d, one in found.items() if one.person == person and d not in ended]
    theirs.sort(key=lambda digest: found[digest].seen_us)
    for digest in theirs[: max(0, len(theirs) - SESSIONS_MAX + 1)]:
        _end(tx, digest, person)
        ended.append(digest)
    return ended


def _check_proof(tx: Tx, person: str, proof: str) -> None:
    if person != LOCAL and (tx.setting(PASSWORD_SETTING + person) or "") != proof:
        raise ProofChanged


def _end(tx: Tx, digest: str, by: str) -> None:
    value = tx.setting(SESSION_SETTING + digest)
    if value is not None:
        session = Session(**canonical.decode(value))
        tx.set_setting(SESSION_SETTING + digest, None)
        _tell(tx, "session ended", session.person, session.id, by)


def _tell(tx: Tx, what: str, person: str, session: str, by: str) -> None:
    body = {"what": what, "person": person, "session": session, "by": by}
    tx.append(SYSTEM, tx.version(SYSTEM), [Draft("person", body)])
