"""`python -m deputize.demo.server DIR`: `deputize up` for as long as standard input stays open.

A demo that is killed closes it, so that no server outlives its demo and keeps the ledger.
"""

from __future__ import annotations

import os
import signal
import sys
import threading

from deputize.cli import main


def _end_with(descriptor: int) -> None:
    while os.read(descriptor, 1024):
        pass  # nothing is ever written to it
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    threading.Thread(target=_end_with, args=(sys.stdin.fileno(),), daemon=True).start()
    raise SystemExit(main(["up", "--project", sys.argv[1]]))
