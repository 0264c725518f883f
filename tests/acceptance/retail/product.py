"""The product to hold in the hand: one project, as many lives of its process as a test wants."""

import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.acceptance.retail.data import REPO

PROJECT = Path(__file__).parent / "project"
END_WITHIN_S = 30.0


class Product:
    """A copy of the retail project in `folder`, its process, and the events that each life is given."""

    def __init__(self, folder: Path, shop_url: str, events: Iterable[Mapping[str, Any]]) -> None:
        self._root = folder / "project"
        self._events = folder / "events.jsonl"
        self._shop_url = shop_url
        self._process: subprocess.Popen[bytes] | None = None
        self._read = b""
        shutil.copytree(PROJECT, self._root, ignore=shutil.ignore_patterns("__pycache__", "data"))
        self._events.write_text("".join(json.dumps(event) + "\n" for event in events), encoding="utf-8")

    @property
    def ledger(self) -> Path:
        """The ledger's file; it is free to be opened while the process is not running."""
        return self._root / "data" / "ledger.db"

    def start(self) -> None:
        """Begin a life; returns at once."""
        if self._process is not None:
            raise RuntimeError("the product is running already")
        self._read = b""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.acceptance.retail.product_child", self._root, self._events],
            cwd=REPO,
            env={**os.environ, "RETAIL_URL": self._shop_url},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def wait_for(self, signal: str, within_s: float) -> dict[str, Any]:
        """The next line with this signal. Raises RuntimeError if the process ends before it, or the time."""
        deadline = time.monotonic() + within_s
        while True:
            line = json.loads(self._line(signal, deadline))
            if line["signal"] == signal:
                return dict(line)

    def kill(self) -> None:
        """End this life as `kill -9` does; no matter if it has ended already."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            _close(process)

    def finish(self) -> None:
        """Wait for the process to end by itself. Raises RuntimeError if it ends with an error."""
        process, self._process = self._process, None
        assert process is not None, "the product is not running: call start()"
        try:
            code = process.wait(END_WITHIN_S)
        finally:
            process.kill()
            _close(process)
        if code != 0:
            raise RuntimeError(f"the product ended with {code}; its own message is above")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def _line(self, signal: str, deadline: float) -> bytes:
        assert self._process is not None and self._process.stdout is not None
        out = self._process.stdout.fileno()
        while b"\n" not in self._read:
            readable, _, _ = select.select([out], [], [], max(deadline - time.monotonic(), 0))
            if not readable:
                raise RuntimeError(f"the product did not say {signal!r} in time")
            part = os.read(out, 65_536)
            if not part:
                raise RuntimeError(f"the product ended before it said {signal!r}; its own message is above")
            self._read += part
        line, _, self._read = self._read.partition(b"\n")
        return line


def _close(process: subprocess.Popen[bytes]) -> None:
    process.wait(END_WITHIN_S)
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
