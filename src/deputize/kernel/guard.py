"""No I/O in automations: an audit hook that looks at driver threads alone, and only during a step.

Audit events and what raises them: the table of audit events in the Python documentation. What the
interpreter reads on its own account (imports, source lines for a traceback, time zones, a debugger's
settings) is exempt: it is the same on every replay. Files and sockets that were opened earlier, at
import, raise no such event and are not seen.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from deputize.awaiting import Step
from deputize.errors import CodeError
from deputize.kernel.failing import place_in

_FORBIDDEN = {
    "open": "opened a file",
    "builtins.input": "asked at the terminal",
    "os.listdir": "listed a folder",
    "os.scandir": "listed a folder",
    "os.remove": "removed a file",
    "os.rename": "renamed a file",
    "os.mkdir": "made a folder",
    "os.rmdir": "removed a folder",
    "os.truncate": "changed a file",
    "os.chmod": "changed a file",
    "os.chown": "changed a file",
    "os.utime": "changed a file",
    "os.link": "made a link",
    "os.symlink": "made a link",
    "os.chdir": "changed the process's folder",
    "os.putenv": "changed the environment",
    "os.unsetenv": "changed the environment",
    "os.system": "ran a program",
    "os.exec": "ran a program",
    "os.fork": "forked the process",
    "os.forkpty": "forked the process",
    "os.posix_spawn": "ran a program",
    "os.spawn": "ran a program",
    "os.kill": "sent a signal",
    "os.killpg": "sent a signal",
    "signal.pthread_kill": "sent a signal",
    "subprocess.Popen": "ran a program",
    "urllib.Request": "opened a connection",
    "http.client.connect": "opened a connection",
    "socket.__new__": "opened a socket",
    "socket.connect": "opened a connection",
    "socket.bind": "opened a socket",
    "socket.sendto": "sent to a socket",
    "socket.sendmsg": "sent to a socket",
    "socket.getaddrinfo": "looked up a host",
    "socket.gethostbyname": "looked up a host",
    "sqlite3.connect": "opened a database",
    "_thread.start_new_thread": "started a thread",
    "_thread.start_joinable_thread": "started a thread",
    "shutil.rmtree": "removed a folder",
    "shutil.copyfile": "copied a file",
    "shutil.move": "moved a file",
    "tempfile.mkstemp": "opened a file",
    "tempfile.mkdtemp": "made a folder",
}
_EXEMPT = frozenset({"importlib._bootstrap", "linecache", "pdb", "zoneinfo._common", "zoneinfo._tzpath"})
_FRAMES_MAX = 200


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
                if sys.version_info < (3, 12):
                    _audit_threads()
                sys.addaudithook(_hook)
                _hooked = True


def _audit_threads() -> None:
    """Raise the audit event for a new thread, which Python does by itself from 3.12 on."""
    start: Any = vars(threading)["_start_new_thread"]

    def audited(*args: Any) -> Any:
        sys.audit("_thread.start_new_thread", *args)
        return start(*args)

    vars(threading)["_start_new_thread"] = audited


def _hook(event: str, args: tuple[object, ...]) -> None:
    what = _FORBIDDEN.get(event)
    if what is None or (step := _local.step) is None:
        return
    frame = sys._getframe(1)
    modules = _modules_above(frame)
    if not _EXEMPT.isdisjoint(modules) or (event == "open" and _is_time_zone(args)):
        return
    _local.step = None
    try:
        if "asyncio" in modules:
            what = "started an event loop of its own"
        error = CodeError(
            f"{place_in(frame)}: the automation {what}; it may act on the world only through operations: "
            "put this into a connector and await it"
        )
    finally:
        _local.step = step
    step.violation = step.violation or error
    raise error


def _is_time_zone(args: tuple[object, ...]) -> bool:
    # It is opened by C code, which has no frame of its own.
    zones = sys.modules.get("zoneinfo")
    path, mode = args[0], args[1]
    return zones is not None and mode in ("r", "rb") and str(path).startswith(tuple(zones.TZPATH))


def _modules_above(frame: FrameType | None) -> set[str]:
    """The modules whose code is running, from `frame` up to this package's own."""
    modules: set[str] = set()
    for _ in range(_FRAMES_MAX):
        if frame is None:
            break
        name = frame.f_globals.get("__name__", "")
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            name = "importlib._bootstrap"
        elif name.startswith("asyncio."):
            name = "asyncio"
        elif name == "deputize.kernel.stepping":
            break
        modules.add(name)
        frame = frame.f_back
    return modules
