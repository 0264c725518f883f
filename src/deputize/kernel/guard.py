"""No I/O in automations: an audit hook that looks at driver threads alone, and only during a step.

Audit events and what raises them: the table of audit events in the Python documentation. Imports
are exempt, because an automation may import at first use.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from deputize.awaiting import Step, caller_line
from deputize.errors import CodeError

_FORBIDDEN = {
    "open": "opened a file",
    "os.listdir": "listed a folder",
    "os.scandir": "listed a folder",
    "os.remove": "removed a file",
    "os.rename": "renamed a file",
    "os.mkdir": "made a folder",
    "os.rmdir": "removed a folder",
    "os.system": "ran a program",
    "os.exec": "ran a program",
    "os.fork": "forked the process",
    "os.posix_spawn": "ran a program",
    "os.kill": "sent a signal",
    "subprocess.Popen": "ran a program",
    "socket.__new__": "opened a socket",
    "socket.connect": "opened a connection",
    "socket.bind": "opened a socket",
    "socket.getaddrinfo": "looked up a host",
    "sqlite3.connect": "opened a database",
    "_thread.start_new_thread": "started a thread",
    "shutil.rmtree": "removed a folder",
    "shutil.copyfile": "copied a file",
}
_FRAMES_MAX = 60


class _Local(threading.local):
    step: Step | None = None


_local = _Local()
_installed = threading.Lock()
_hooked = False


@contextmanager
def watched(step: Step) -> Iterator[None]:
    """During this, I/O on the current thread raises `CodeError` and is noted in `step.violation`."""
    _install()
    _local.step = step
    try:
        yield
    finally:
        _local.step = None


def _install() -> None:
    global _hooked
    if not _hooked:
        with _installed:
            if not _hooked:
                sys.addaudithook(_hook)
                _hooked = True


def _hook(event: str, args: tuple[object, ...]) -> None:
    what = _FORBIDDEN.get(event)
    if what is None or (step := _local.step) is None or _importing() or _ours():
        return
    _local.step = None
    try:
        error = CodeError(
            f"{caller_line()}: the automation {what}; it may act on the world only through operations: "
            "put this into a connector and await it"
        )
    finally:
        _local.step = step
    step.violation = step.violation or error
    raise error


def _importing() -> bool:
    frame: FrameType | None = sys._getframe(2)
    for _ in range(_FRAMES_MAX):
        if frame is None:
            return False
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _ours() -> bool:
    """Whether the caller is this package itself (reading a traceback's source lines, say)."""
    frame: FrameType | None = sys._getframe(2)
    for _ in range(_FRAMES_MAX):
        if frame is None:
            return True
        name = frame.f_globals.get("__name__", "")
        if name.startswith("deputize.kernel.stepping"):
            return name == "deputize.kernel.stepping" and frame.f_code.co_name in ("_where", "_failed")
        if not name.startswith(("linecache", "traceback", "tokenize", "deputize.")):
            return False
        frame = frame.f_back
    return True
