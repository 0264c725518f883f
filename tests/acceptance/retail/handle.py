"""A shop service to hold in the hand: start it, kill it, start it again on the same port and file."""

import json
import os
import select
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.acceptance.retail.data import REPO

READY_WITHIN_S = 20.0
STOP_WITHIN_S = 5.0


class RetailShop:
    """The service's process. It ends when this one does, however this one ends."""

    def __init__(
        self, db: Path, *, faults: Mapping[str, Any] | None = None, data: Path | None = None
    ) -> None:
        """`db`: the shop's own file. `faults`: see `FaultSettings`. `data`: for DEPUTIZE_SHARED_DATA."""
        self._db = db
        self._faults = faults
        self._data = data
        self._port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self.url = ""

    @property
    def pid(self) -> int:
        """The process id of the running service."""
        if self._process is None:
            raise RuntimeError("the shop is not running: call start()")
        return self._process.pid

    def start(self) -> Self:
        """Start and wait until it answers. Started again, it has the same port and faults."""
        if self._process is not None:
            raise RuntimeError("the shop is running already")
        command = [sys.executable, "-m", "tests.acceptance.retail.service", "--exit-with-stdin"]
        command += ["--db", str(self._db), "--port", str(self._port)]
        if self._faults is not None:
            command += ["--faults", json.dumps(self._faults)]
        environ = {**os.environ, **({"DEPUTIZE_SHARED_DATA": str(self._data)} if self._data else {})}
        self._process = subprocess.Popen(
            command, cwd=REPO, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.url = self._ready_url(self._process)
        self._port = int(self.url.rpartition(":")[2])
        self._faults = None
        return self

    def kill(self) -> None:
        """End it as `kill -9` does."""
        self._end(hard=True)

    def stop(self) -> None:
        """End it in good order; no matter if it has ended already."""
        self._end(hard=False)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _ready_url(self, process: subprocess.Popen[bytes]) -> str:
        assert process.stdout is not None
        readable, _, _ = select.select([process.stdout], [], [], READY_WITHIN_S)
        line = process.stdout.readline() if readable else b""
        if not line:
            self.kill()
            raise RuntimeError("the shop did not start: its own message is above")
        return str(json.loads(line)["url"])

    def _end(self, *, hard: bool) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if hard:
            process.kill()
        else:
            process.terminate()
        try:
            process.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_WITHIN_S)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
