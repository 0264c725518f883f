"""Our side of the process that tells: begun where something is to be told, and again where it ends; what it
has told is kept in the ledger's settings, so that the next one goes on from there.

Nothing waits for it but the very end, for two seconds.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import orjson

from deputize.child import Child
from deputize.errors import StoreError
from deputize.store.protocol import Store, Tx
from deputize.telemetry.settings import LEVELS, NEEDED, Target, has_sdk

STOP_S = 2.0
"""So long the end waits for what is not told yet."""

AGAIN_S_MIN, AGAIN_S_MAX = 1.0, 60.0
SETTING = "telemetry:"
_PASSED_ON = (
    "PATH", "PYTHONPATH", "PYTHONHOME", "HOME", "TMPDIR", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "TZ",
    "OTEL_EXPORTER_OTLP_CERTIFICATE", "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_CLIENT_KEY",
)  # fmt: skip
"""Of the environment; of OpenTelemetry's own only where certificates are."""


@dataclass(frozen=True, slots=True)
class Figures:
    """How far it is, by the entry told last (`traces`, `log`), and what it has counted since this process
    began: spans `sent` and `dropped`, entries `passed` over by traces and `unlogged` by the log, lines
    `unwritten`. `failing` while the collector takes nothing."""

    traces: int = 0
    log: int = 0
    sent: int = 0
    dropped: int = 0
    passed: int = 0
    unlogged: int = 0
    unwritten: int = 0
    failing: bool = False


_SUMS = ("sent", "dropped", "passed", "unlogged", "unwritten")


@dataclass(frozen=True)
class Given:
    """What it works on. `models` has provider, name and whether it runs here, by operation."""

    store: Store
    ledger: Path
    target: Target | None
    level: str
    service: str
    version: str
    models: Mapping[str, tuple[str, str, bool]]
    environ: Mapping[str, str]


class Telemetry:
    """Starts with a system and stops with it. `on_trouble` is told what is wrong, once each time."""

    def __init__(self, given: Given) -> None:
        self._given = given
        self._target = given.target
        self._child = Child(STOP_S)
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._before = Figures()
        self.figures = Figures()
        self.on_trouble: Callable[[str], None] = lambda what: None

    @property
    def traces(self) -> bool:
        """Whether traces are exported."""
        return self._thread is not None and self._target is not None

    @property
    def pid(self) -> int | None:
        """The process that tells, if there is one."""
        return self._child.pid

    async def start(self) -> None:
        """Begin to tell, where there is something to be told."""
        if self._target is not None and not has_sdk():
            self.on_trouble(NEEDED)
            self._target = None
        if self._target is None and self._given.level == LEVELS[0]:
            return
        self._loop = asyncio.get_running_loop()
        traces, log = await self._given.store.write(self._begin)
        self.figures = self._before = Figures(traces=traces, log=log)
        self._thread = threading.Thread(target=self._keep, name="deputize-telemetry", daemon=True)
        self._thread.start()

    async def stop(self) -> None:
        """Let it tell what is left, for a moment; the next process goes on from there."""
        if self._thread is None:
            return
        self._stopping.set()
        await asyncio.to_thread(self._end)
        with suppress(StoreError):
            await self._given.store.write(self._note)

    # -- in the ledger's settings ------------------------------------------------------------------------

    def _begin(self, tx: Tx) -> tuple[int, int]:
        """Where to go on: what is told for the first time begins with what happens from now on."""
        last = tx.last_seq()
        found = []
        for name, wanted in (("traces", self._target is not None), ("log", self._given.level != LEVELS[0])):
            known = tx.setting(SETTING + name)
            after = min(int(known), last) if known is not None and wanted else last
            # What is not wanted is forgotten, so that it does not come in a flood once it is.
            tx.set_setting(SETTING + name, str(after) if wanted else None)
            found.append(after)
        return found[0], found[1]

    def _note(self, tx: Tx) -> None:
        for name in ("traces", "log"):
            if tx.setting(SETTING + name) is not None:
                tx.set_setting(SETTING + name, str(getattr(self.figures, name)))

    def _note_soon(self) -> None:
        """Nobody waits for it: a place that is lost is told again, under the same ids."""
        if not self._stopping.is_set():
            self._given.store.write(self._note, lazy=True).add_done_callback(lambda done: done.exception())

    # -- in a thread of its own --------------------------------------------------------------------------

    def _keep(self) -> None:
        """Keep a process, until the end."""
        pause_s = AGAIN_S_MIN
        while not self._stopping.is_set():
            if self._follow():
                pause_s = AGAIN_S_MIN
            if self._stopping.is_set():
                return
            self._child.kill()
            self._trouble("the process that tells of runs has ended; it is begun again")
            self._before = self.figures
            self._stopping.wait(pause_s)
            pause_s = min(2 * pause_s, AGAIN_S_MAX)

    def _follow(self) -> bool:
        """Begin a process and read what it says; whether it said anything."""
        command = [sys.executable, "-m", "deputize.telemetry.child"]
        environ = {name: self._given.environ[name] for name in _PASSED_ON if name in self._given.environ}
        process = self._child.start(command, stdout=subprocess.PIPE, stderr=None, env=environ)
        assert process.stdin is not None and process.stdout is not None
        said = False
        # The end may close its pipes meanwhile.
        with suppress(OSError, ValueError):
            process.stdin.write(orjson.dumps(self._wanted()) + b"\n")
            process.stdin.flush()
            for line in process.stdout:
                said = True
                self._take(orjson.loads(line))
        return said

    def _wanted(self) -> dict[str, Any]:
        given, target = self._given, self._target
        return {
            "ledger": str(given.ledger),
            "ledger_id": given.store.ledger_id,
            "traces": self.figures.traces,
            "log": self.figures.log,
            "address": target.address if target is not None else "",
            "headers": dict(target.headers) if target is not None else {},
            "level": given.level,
            "service": given.service,
            "version": given.version,
            "models": {name: list(model) for name, model in given.models.items()},
        }

    def _take(self, told: Mapping[str, Any]) -> None:
        """What the process says; its sums are those of its own time."""
        sums = {name: getattr(self._before, name) + told.get(name, 0) for name in _SUMS}
        named = {one.name for one in fields(Figures)}
        now = replace(self.figures, **{n: v for n, v in told.items() if n in named} | sums)
        if now.failing and not self.figures.failing:
            self._trouble("the collector of traces takes nothing")
        self.figures = now
        self._call(self._note_soon)

    def _trouble(self, what: str) -> None:
        self._call(lambda: self.on_trouble(what))

    def _call(self, what: Callable[[], None]) -> None:
        assert self._loop is not None
        with suppress(RuntimeError):
            # The loop may be closed already.
            self._loop.call_soon_threadsafe(what)

    def _end(self) -> None:
        """Close its input, wait for what it says last, and end it where that takes too long."""
        self._child.end_input()
        assert self._thread is not None
        self._thread.join(STOP_S)
        self._child.kill()
        self._thread.join(STOP_S)
