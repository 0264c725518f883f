"""The watchdog: ends a process whose interpreter one step keeps to itself, and says at the next start which.

While code in C keeps the interpreter's lock (a regular expression without an end), no thread of Python
can look on. The operating system can: a timer on the process's own processor time (ITIMER_PROF), which a
process that is stopped does not use up, and whose signal is answered in C (faulthandler): it writes where
every thread stands, and lets the signal end the process. What is under way is marked at each step in a
mapped file, whose pages outlive the process. See docs/decisions/009-a-watchdog-on-processor-time.md.
"""

from __future__ import annotations

import faulthandler
import mmap
import os
import re
import signal
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from deputize.kernel.failing import innermost
from deputize.kernel.live import LiveRun

HELD_CPU_S_MAX = 15.0
"""Processor time that passes without a look of the driver's watch until the process is ended; never less
than a second of all processors, so that busy libraries which leave the interpreter free are no hold."""

MARK_BYTES = 128
STACKS_BYTES_MAX = 1 << 20

_THREAD = re.compile(r"^(Current thread|Thread) (0x[0-9a-f]+) .*\n((?:  .*\n?)*)", re.MULTILINE)
_FRAME = re.compile(r'^  File "(.+)", line (\d+) in ', re.MULTILINE)


@dataclass(frozen=True)
class Left:
    """What a process that was ended by its watchdog has left: the run whose step was under way, the digest
    of its code, `file:line` of where it stood, and when that was (wall time in microseconds).

    `sure` where that step's own thread used up the time: then nothing else can have held the interpreter.
    """

    run_id: str
    code: str
    where: str
    at_us: int
    sure: bool


class Watchdog:
    """Watches over the steps of one process. It changes the whole process (a timer and its signal), so it
    is for entry points; with `path` None it does nothing. The owner of the ledger alone may `start` it."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._limit_s = max(HELD_CPU_S_MAX, float(os.cpu_count() or 1))
        self._lock = threading.Lock()
        self._file = -1
        self._mark: mmap.mmap | None = None
        self._thread = ""
        self._stepping = self._held = False

    def start(self) -> Left | None:
        """Begin. Returns what a former process has left; its stacks are kept beside, as `….last`."""
        if self._path is None:
            return None
        left = read_left(self._path)
        if left is not None:
            self._path.replace(self._path.with_name(f"{self._path.name}.last"))
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        os.write(self._file, b" " * MARK_BYTES)
        self._mark = mmap.mmap(self._file, MARK_BYTES)
        faulthandler.register(signal.SIGPROF, file=self._file, all_threads=True, chain=True)
        return left

    def begin(self) -> None:
        """On the driver's thread, before steps."""
        if self._mark is not None:
            self._thread = f"{threading.get_ident():#018x}"
            with self._lock:
                self._stepping = True
                self._arm(self._limit_s)

    def mark(self, run: LiveRun) -> None:
        """The next step is this run's."""
        if self._mark is not None:
            text = f"{self._thread} {run.id} {run.automation.code}".encode()
            self._mark[:] = text.ljust(MARK_BYTES)[:MARK_BYTES]

    def end(self) -> None:
        """After them."""
        if self._mark is not None:
            with self._lock:
                self._stepping = False
                if not self._held:
                    self._arm(0)

    def renew(self, held: bool) -> None:
        """The interpreter is free to look. `held`: threads that were given up still run, and are watched."""
        if self._mark is not None:
            with self._lock:
                if self._stepping or held:
                    self._arm(self._limit_s)
                elif self._held:
                    self._arm(0)
                self._held = held

    def stop(self) -> None:
        """Let go of the timer and its signal."""
        if self._mark is not None and self._path is not None:
            with self._lock:
                self._arm(0)
                mark, self._mark = self._mark, None
            faulthandler.unregister(signal.SIGPROF)
            mark.close()
            os.close(self._file)
            self._path.unlink(missing_ok=True)

    def _arm(self, after_s: float) -> None:
        signal.setitimer(signal.ITIMER_PROF, after_s)


def disarm() -> None:
    """A timer outlives `exec`, and what answers it does not."""
    signal.setitimer(signal.ITIMER_PROF, 0)


def read_left(path: Path) -> Left | None:
    """What the process that wrote this file has left, or None where its watchdog did not end it."""
    with suppress(FileNotFoundError), path.open("rb") as file:
        text = file.read(STACKS_BYTES_MAX).decode("utf-8", "replace")
        at_us = os.fstat(file.fileno()).st_mtime_ns // 1000
        return _parsed(text, at_us)
    return None


def _parsed(text: str, at_us: int) -> Left | None:
    marked, stacks = text[:MARK_BYTES].split(), text[MARK_BYTES:]
    if len(marked) != 3 or not stacks:
        return None
    thread, run_id, code = marked
    frames: dict[str, str] = {}
    current = ""
    for found in _THREAD.finditer(stacks):
        frames[found[2]] = found[3]
        current = found[2] if found[1].startswith("Current") else current
    stood = [(file, int(line)) for file, line in _FRAME.findall(frames.get(thread, ""))]
    return Left(run_id, code, innermost(stood[::-1]) or "unknown place", at_us, thread == current)
