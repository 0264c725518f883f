"""`deputize doctor`: one look at everything that a project stands on."""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from deputize.api.operator import FILE as KEY_FILE
from deputize.cli.checking import check_project
from deputize.cli.connecting import reach
from deputize.cli.here import Here, Said
from deputize.cli.process import LOGIN, find_process
from deputize.cli.says import count, progress, source_line
from deputize.clock import SystemClock, iso
from deputize.config import Settings
from deputize.connectors.secret import Secrets
from deputize.connectors.settings import ConnectorSettings
from deputize.errors import DeputizeError, ProjectError
from deputize.kernel.restored import restored_of, unfinished
from deputize.moving.gone import gone
from deputize.store.sqlite.file import FREE_BYTES_MIN
from deputize.store.sqlite.offline import OfflineLedger, owner_of
from deputize.store.sqlite.schema import VERSION

PYTHON_MIN = (3, 11)
SQLITE_MIN = (3, 35, 0)
FREE_BYTES_GOOD = 1 << 30
SYNCS = 15
SYNC_SLOW_S = 0.02
SYNC_UNLIKELY_S = 0.00002
CLOCK_OFF_S = 2.0
CHECK_S_MAX = 60.0

Level = Literal["ok", "warn", "bad"]


@dataclass(frozen=True)
class Finding:
    """One line: how it stands, and what to do where it is not ok."""

    level: Level
    what: str
    do: str = ""

    def shown(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


def examine(here: Here) -> list[Finding]:
    """Look at everything; what one look finds never keeps the next from being made."""
    found = list(_machine())
    try:
        settings = here.settings
    except ProjectError as error:
        return [*found, Finding("bad", str(error), "name the project: --project DIR")]
    looks: tuple[Callable[[Here, Settings], Iterator[Finding]], ...] = (
        _disk,
        _ledger,
        _clock,
        _port,
        _sources,
        _circuits,
        _people,
        _secrets,
        _connections,
        _code,
    )
    for look in looks:
        try:
            found += look(here, settings)
        except (OSError, DeputizeError, Said) as error:
            found.append(
                Finding("bad", str(error), f"this kept {look.__name__.strip('_')} from being looked at")
            )
    return found


def _machine() -> Iterator[Finding]:
    python = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] >= PYTHON_MIN:
        yield Finding("ok", f"Python {python}")
    else:
        yield Finding("bad", f"Python {python}", "use Python 3.11 or newer")
    if sqlite3.sqlite_version_info >= SQLITE_MIN:
        yield Finding("ok", f"SQLite {sqlite3.sqlite_version}")
    else:
        yield Finding("bad", f"SQLite {sqlite3.sqlite_version}", "use a Python with SQLite 3.35 or newer")


def _disk(_here: Here, settings: Settings) -> Iterator[Finding]:
    folder = _standing(settings.data)
    free = shutil.disk_usage(folder).free
    said = f"{free / 1e9:,.1f} GB free for {settings.data}"
    if free < FREE_BYTES_MIN:
        yield Finding("bad", said, "make room: nothing is accepted below 16 MB")
    elif free < FREE_BYTES_GOOD:
        yield Finding("warn", said, "make room before it is below 16 MB")
    else:
        yield Finding("ok", said)
    took_s = _sync_time(folder)
    said = f"a durable write takes {took_s * 1e3:.2f} ms"
    if took_s > SYNC_SLOW_S:
        yield Finding("warn", said, "every action waits for two of them: a local SSD is faster")
    elif took_s < SYNC_UNLIKELY_S:
        yield Finding("warn", said, "too fast to be true: this disk may lose what it said it has written")
    else:
        yield Finding("ok", said)


def _sync_time(folder: Path) -> float:
    """The median time in seconds of appending a page and having it on disk."""
    took = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(SYNCS):
            began = time.perf_counter()
            file.write(bytes(4096))
            file.flush()
            os.fsync(file.fileno())
            took.append(time.perf_counter() - began)
    return statistics.median(took)


def _ledger(_here: Here, settings: Settings) -> Iterator[Finding]:
    path = settings.ledger
    if not path.exists():
        yield Finding("ok", f"no ledger at {path} yet; `deputize up` makes one")
        return
    owner = owner_of(path)
    yield Finding("ok", f"the ledger belongs to process {owner}" if owner else "no process has the ledger")
    ledger = OfflineLedger(path)
    try:
        counts, stops = ledger.read(lambda view: view.counts()), ledger.settings("stop:")
        moved = gone(ledger)
        left = ledger.read(lambda view: unfinished(view, None, restored_of(view)))
    finally:
        ledger.close()
    schema = (
        "" if ledger.schema == VERSION else f", schema {ledger.schema} (`deputize up` brings it to {VERSION})"
    )
    yield Finding("ok", f"the ledger has {counts['entries']:,} entries{schema}")
    if moved is not None:
        do = "start the copy that was unpacked there; only where that is lost: `deputize move --back`"
        yield Finding("bad", f"this ledger was moved to {moved['to']}", do)
    if left:
        said = f"{count(len(left), 'unfinished write')} from before this ledger was restored"
        yield Finding("warn", said, "nothing new starts until each is known: `deputize inbox` lists them")
    if counts["cards"]:
        yield Finding("warn", f"{count(counts['cards'], 'card')} for a person", "`deputize inbox` lists them")
    if counts.get("runs.stuck"):
        yield Finding("warn", f"{count(counts['runs.stuck'], 'stuck run')}", "`deputize runs --state stuck`")
    for scope, reason in stops.items() if moved is None else ():
        yield Finding("warn", f"{scope} is stopped: {reason}", f"`deputize resume {scope}` lets it go on")


def _clock(_here: Here, settings: Settings) -> Iterator[Finding]:
    now_us = SystemClock().now_us()
    with tempfile.NamedTemporaryFile(dir=_standing(settings.data)) as file:
        off_s = Path(file.name).stat().st_mtime - now_us / 1e6
    if abs(off_s) > CLOCK_OFF_S:
        yield Finding("bad", f"this clock and the disk's differ by {off_s:+.1f} s", "set the clock (NTP)")
    last_us = 0
    if settings.ledger.exists():
        ledger = OfflineLedger(settings.ledger)
        try:
            last_us = ledger.read(lambda view: view.last_at())
        finally:
            ledger.close()
    if last_us > now_us + CLOCK_OFF_S * 1e6:
        said = f"the clock says {iso(now_us)}, and the ledger's last entry is of {iso(last_us)}"
        yield Finding("bad", said, "set the clock (NTP); until then no key is repeated")
    else:
        yield Finding("ok", f"the clock says {iso(now_us)}")


def _port(here: Here, settings: Settings) -> Iterator[Finding]:
    process = find_process(here)
    if process is not None:
        yield Finding("ok", f"the process answers at {process.url}")
        return
    if settings.unguarded:
        yield Finding("bad", settings.unguarded, "`deputize up` refuses to serve it so")
        return
    where = f"{settings.host} port {settings.port}"
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            do = "write another [server] port in deputize.toml, or 0 for any free one"
            yield Finding("bad", f"{where} cannot be used: {error.strerror}", do)
            return
    yield Finding("ok", f"{where} is free" if settings.port else f"{settings.host}: any free port will do")


def _sources(here: Here, settings: Settings) -> Iterator[Finding]:
    """Only a running process knows how its polls and schedules stand."""
    process = find_process(here)
    if process is None:
        return
    sources = process.get("v1", "sources")["sources"]
    for source in (*sources, *process.get("v1", "channels")["channels"]):
        if source["trouble"]:
            do = "mend what it says; it is tried again by itself"
            yield Finding("warn", source_line(source, settings.zone), do)
    if sources and not any(source["trouble"] for source in sources):
        yield Finding("ok", f"nothing is wrong with {count(len(sources), 'source')} of events")


def _circuits(here: Here, _settings: Settings) -> Iterator[Finding]:
    """Only a running process knows which circuits are open."""
    process = find_process(here)
    for one in process.get("v1", "connectors")["connectors"] if process is not None else ():
        circuit = one["circuit"]
        if circuit["state"] == "open":
            waits = f"; {circuit['waiting']} wait for it" if circuit["waiting"] else ""
            said = f"{circuit['failures']} of its last {circuit['calls']} calls failed"
            yield Finding(
                "warn",
                f"{one['name']} is down: {said}{waits}",
                "mend the service; one action at a time tries it, and the first success lets all go on",
            )


def _people(_here: Here, settings: Settings) -> Iterator[Finding]:
    people = settings.directory.people
    if people:
        yield Finding("ok", f"who may decide: {', '.join(sorted(people))}")
    else:
        yield Finding(
            "warn", "nobody may decide", "add [people.NAME] to deputize.toml: answers need a person"
        )
    for name in (KEY_FILE, LOGIN):
        path = settings.data / name
        if path.is_file() and path.stat().st_mode & 0o077:
            yield Finding("bad", f"{path} can be read by others", f"remove {path}: others may have read it")


def _secrets(_here: Here, settings: Settings) -> Iterator[Finding]:
    environment = settings.root / ".env"
    if environment.is_file() and environment.stat().st_mode & 0o077:
        yield Finding("warn", ".env can be read by others", f"chmod 600 {environment}")
    secrets = Secrets(settings.root, settings.environ)
    handles = sorted({*_handles(settings)})
    for handle in handles:
        try:
            secrets.resolve(handle)
        except ProjectError as error:
            yield Finding("bad", str(error), f"{handle} is named in deputize.toml")
        else:
            yield Finding("ok", f"the secret {handle} is there")
    if not handles:
        yield Finding("ok", "no secrets are needed")


def _handles(settings: Settings) -> Iterator[str]:
    if settings.token is not None:
        yield settings.token
    if settings.notify is not None:
        yield from settings.notify.handles
    for table in settings.connectors.values():
        yield from _handles_of(table)


def _handles_of(table: ConnectorSettings) -> Iterator[str]:
    if table.token is not None:
        yield table.token
    if table.header is not None:
        yield table.header.value
    if table.basic is not None:
        yield table.basic.password


def _connections(_here: Here, settings: Settings) -> Iterator[Finding]:
    with progress("reaching the services"):
        reached = reach(settings)
    for name, (base, says) in reached.items():
        if says == "yes":
            yield Finding("ok", f"{name} can be reached at {base}")
        elif base is not None:
            yield Finding(
                "bad", f"{name} at {base}: {says}", "start the service, or correct its base address"
            )
        elif says:
            yield Finding("bad", f"[connectors.{name}]: {says}", "write it into .env")


def _code(here: Here, _settings: Settings) -> Iterator[Finding]:
    report = check_project(here.root, CHECK_S_MAX, code_only=True)
    for problem in report["problems"]:
        yield Finding("bad", problem, "`deputize check` tells it, too")
    if report["ok"]:
        automations, rules = (
            count(len(report["automations"]), "automation"),
            count(len(report["rules"]), "rule"),
        )
        yield Finding("ok", f"the project imports: {automations}, {rules}")


def _standing(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    return next((path for path in (folder, *folder.parents) if path.is_dir()), Path("/"))
