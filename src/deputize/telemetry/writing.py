"""JSON lines on a file that may not take them: a full pipe is waited for a moment and no longer."""

from __future__ import annotations

import os
import select
import sys
import threading
from collections.abc import Callable
from typing import Any

WAIT_S = 0.02
"""So long one line may hold its writer up. Until the file takes lines again none of the next does."""


class Lines:
    """Writes lines to standard error. `dropped` counts those that it did not take."""

    def __init__(self, fd: int | None = None) -> None:
        self._fd = fd
        self._lock = threading.Lock()
        self._full = False
        self._torn = False
        self._untold = 0
        self.dropped = 0

    def write(self, line: str) -> bool:
        """Write one, or drop it. The first that is written after some were dropped says how many."""
        with self._lock:
            untold = self._untold
            said = f'{{"event": "lines were not written", "level": "warning", "lines": {untold}}}\n'
            text = ("\n" if self._torn else "") + (said if untold else "") + line + "\n"
            if self._written(text.encode("utf-8", "replace")):
                self._full, self._torn, self._untold = False, False, 0
                return True
            self._full = True
            self._untold += 1
            self.dropped += 1
            return False

    def _written(self, data: bytes) -> bool:
        left = memoryview(data)
        try:
            fd = self._fd if self._fd is not None else sys.stderr.fileno()
            while left:
                # What select finds ready takes this much without waiting.
                if not select.select([], [fd], [], 0 if self._full else WAIT_S)[1]:
                    return False
                left = left[os.write(fd, left[: select.PIPE_BUF]) :]
                self._torn = True
        except (OSError, ValueError):
            # There is no such file any more.
            return False
        return True


class _Written:
    """What structlog hands its rendered lines to."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write

    def msg(self, line: str) -> None:
        self._write(line)

    error = warning = info = msg


def say(
    write: Callable[[str], object], scrub: Callable[[str], str], level: str, event: str, **fields: Any
) -> None:
    """Render one line and have it written, without secrets."""
    # Imported with the first line: it takes a tenth of a cold start.
    import structlog

    def scrubbed(_logger: Any, _name: str, line: Any) -> str:
        return scrub(str(line))

    logger = structlog.wrap_logger(
        _Written(write),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(sort_keys=True, default=str),
            scrubbed,
        ],
    )
    getattr(logger, level)(event, **fields)
