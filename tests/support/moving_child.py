"""Move a project out, or unpack it, in a process of its own that kills itself at a step.

`python -m tests.support.moving_child leave|arrive STEP FIRST SECOND`
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from deputize.config import read_settings
from deputize.moving.arriving import arrive
from deputize.moving.leaving import leave


def main() -> None:
    what, step, first, second = sys.argv[1:]

    def reached(name: str, /) -> None:
        if name == step:
            os.kill(os.getpid(), signal.SIGKILL)
            signal.pause()

    if what == "leave":
        leave(read_settings(Path(first)), Path(second), "a test", reached)
    else:
        arrive(Path(first), Path(second), reached)


if __name__ == "__main__":
    main()
