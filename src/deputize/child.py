"""A process that is started and ended from Python, perhaps many times."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import IO


class Child:
    """At most one process at a time. Its standard input is open for as long as it is wanted.

    `stop_s` is how long an orderly end may take before it is killed.
    """

    def __init__(self, stop_s: float) -> None:
        self._stop_s = stop_s
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The id of its process, or None when there is none."""
        return None if self._process is None else self._process.pid

    @property
    def alive(self) -> bool:
        """Whether its process runs."""
        return self._process is not None and self._process.poll() is None

    def start(
        self,
        command: Sequence[str],
        *,
        stdout: int | IO[bytes],
        stderr: int | IO[bytes] | None,
        env: Mapping[str, str] | None = None,
    ) -> subprocess.Popen[bytes]:
        """Begin a process; the one before must have been stopped or killed."""
        assert self._process is None
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=stdout, stderr=stderr, env=env
        )
        return self._process

    def first_line(self, within_s: float) -> bytes:
        """What it says first on its standard output, a pipe; nothing where it ends before that or takes too
        long. It is killed then."""
        process = self._process
        assert process is not None and process.stdout is not None
        late = threading.Timer(within_s, process.kill)
        late.start()
        try:
            line = process.stdout.readline()
        finally:
            late.cancel()
        if not line:
            self.kill()
        return line

    def end_input(self) -> None:
        """Close its standard input: it may put things in order, and end by itself."""
        process = self._process
        if process is not None and process.stdin is not None:
            with suppress(OSError):
                process.stdin.close()

    def stop(self) -> None:
        """End it in an orderly way (SIGTERM)."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(self._stop_s)
            except subprocess.TimeoutExpired:
                self._process.kill()
            self._reap()

    def kill(self) -> None:
        """End it at once (SIGKILL)."""
        if self._process is not None:
            self._process.kill()
            self._reap()

    def _reap(self) -> None:
        process, self._process = self._process, None
        assert process is not None
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
