"""How `deputize up` begins again by itself: in order, and only with a project that could be started."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

from deputize.cli.here import Said
from deputize.errors import DeputizeError

CHECK_S_MAX = 60.0


class Restart:
    """Called with a reason, again and again while it lasts. What is on disk is checked in a child; where it
    would start, this process is stopped in order and `reason` says why to begin again. Where it would not,
    this process goes on with the code that it has, and the next call tries again."""

    def __init__(self, root: Path) -> None:
        self.reason = ""
        self._root = root
        self._checking = threading.Lock()

    def __call__(self, reason: str) -> None:
        if not self.reason and self._checking.acquire(blocking=False):
            threading.Thread(target=self._check, args=(reason,), name="deputize-restart", daemon=True).start()

    def _check(self, reason: str) -> None:
        try:
            wrong = self._wrong()
        finally:
            self._checking.release()
        if wrong:
            told = "\n".join(f"deputize: {line}" for line in wrong)
            sys.stderr.write(f"{told}\ndeputize: not restarting with this: mend it ({reason})\n")
            sys.stderr.flush()
        else:
            self.reason = reason
            os.kill(os.getpid(), signal.SIGTERM)

    def _wrong(self) -> list[str]:
        """Why what is on disk would not start. Without its replays: a run that holds would hold them too."""
        # The command line's libraries, which serving needs at no other time.
        from deputize.cli.checking import check_project

        try:
            problems: list[str] = check_project(self._root, CHECK_S_MAX, replay=False)["problems"]
        except (DeputizeError, Said, OSError) as error:
            return [str(error)]
        return problems
