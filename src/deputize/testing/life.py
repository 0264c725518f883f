"""One life of a project: its process from start to end, what it is told and what it says."""

from __future__ import annotations

import os
import queue
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import orjson

PATIENCE_S = 40.0
STDERR_CHARS = 3_000


class HarnessError(Exception):
    """The process under test did not do what was waited for; the message has its last words."""


class Life:
    """One process of the project, from its start to its end; with `serve` it is there over HTTP, too."""

    def __init__(
        self,
        project: Path,
        *,
        crashes: Sequence[str] = (),
        crashes_after: Sequence[str] = (),
        pauses: Sequence[str] = (),
        plants: Sequence[str] = (),
        environ: Mapping[str, str] | None = None,
        shift_s: float = 0.0,
        seed: int = 0,
        serve: bool = False,
    ) -> None:
        self._command = [sys.executable, "-m", "deputize.testing.crash_child", "--project", str(project)]
        given = {
            "--crash": crashes,
            "--crash-after": crashes_after,
            "--pause": pauses,
            "--plant": plants,
        }
        for name, values in given.items():
            for value in values:
                self._command += [name, value]
        self._command += ["--shift-s", repr(shift_s), "--seed", str(seed), *(["--serve"] if serve else [])]
        self.accepted: list[tuple[str, str]] = []
        self.died_at = ""
        self._lines: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._said = bytearray()
        self.process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **(environ or {})},
        )
        self._readers = [
            threading.Thread(target=self._read, args=(self.process.stdout,), daemon=True),
            threading.Thread(target=self._listen, args=(self.process.stderr,), daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    @property
    def command(self) -> str:
        """The command line of this life, to repeat it by hand."""
        return shlex.join(self._command)

    def send(self, events: Sequence[Mapping[str, Any]]) -> None:
        """Give it events; "accepted" follows, or "refused"."""
        self.tell("send", events=list(events))

    def tell(self, do: str, **more: Any) -> None:
        """A command. One to a process that is dead already goes nowhere."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(orjson.dumps({"do": do, **more}) + b"\n")
            self.process.stdin.flush()
        except (BrokenPipeError, ValueError):
            return

    def wait(self, *now: str, within_s: float = PATIENCE_S) -> dict[str, Any]:
        """The next of these that happens. Raises `HarnessError` when the process ends first."""
        until = time.monotonic() + within_s
        while True:
            try:
                line = self._lines.get(timeout=max(0.01, until - time.monotonic()))
            except queue.Empty:
                raise HarnessError(f"no {' or '.join(now)} within {within_s:g} s; {self.words}") from None
            if line is None:
                self._lines.put(None)
                raise HarnessError(f"it ended before {' or '.join(now)}; {self.words}")
            if line["now"] in now:
                return line

    def ended(self, within_s: float = PATIENCE_S) -> int:
        """Wait for its end; how it ended, as a process does (-9 for a SIGKILL)."""
        try:
            code = self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            raise HarnessError(f"it did not end within {within_s:g} s; {self.words}") from None
        for reader in self._readers:
            reader.join(within_s)
        return code

    def go_on(self) -> None:
        """Let a process that is stopped at a boundary go on."""
        self.process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """End it in an orderly way, and wait for that."""
        self._close()
        try:
            self.ended()
        finally:
            self.kill()

    def kill(self) -> None:
        """End it at once, if it is there."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.ended()
        self._close()
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()

    @property
    def words(self) -> str:
        """What it said on standard error, and how it ended if it did."""
        said = self._said.decode("utf-8", "replace")[-STDERR_CHARS:].strip()
        return f"exit {self.process.poll()}, it said: {said or 'nothing'}"

    def _close(self) -> None:
        if self.process.stdin is not None:
            try:
                self.process.stdin.close()
            except BrokenPipeError:
                return

    def _read(self, pipe: IO[bytes]) -> None:
        for line in pipe:
            told = orjson.loads(line)
            if told["now"] == "accepted":
                self.accepted += [(source, id) for source, id in told["events"]]
            elif told["now"] == "dies":
                self.died_at = told["at"]
            self._lines.put(told)
        self._lines.put(None)

    def _listen(self, pipe: IO[bytes]) -> None:
        for line in pipe:
            self._said += line
