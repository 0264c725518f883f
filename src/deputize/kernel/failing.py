"""How the end of a failed run is told: a reason with its place, and the chain of its causes.

What an automation raises is the project's own: its text may be endless, unreadable or itself fail.
"""

from __future__ import annotations

import asyncio
import sysconfig
import traceback
from pathlib import Path
from types import CoroutineType, FrameType
from typing import Any

from deputize.automation import Outcome
from deputize.errors import DeputizeError, GaveUp
from deputize.kernel.live import ACTIONS_MAX, Ends, LiveRun

CAUSES_MAX = 10
GIVEN_UP = "gave up"
"""The label of a run that ends because a model gave up, and nobody caught that."""

MESSAGE_CHARS_MAX = 2_000
FRAMES_MAX = 200

_PACKAGE = str(Path(__file__).parent.parent)
_LIBRARIES = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})


def failed(run: LiveRun, error: BaseException) -> Ends:
    """The end of a run by an uncaught failure, outermost cause first; given up where a model gave up."""
    if isinstance(error, GaveUp) and error.error is None:
        said = readable(error.reason[:MESSAGE_CHARS_MAX])
        return Ends(run, "gave_up", Outcome("gave_up", GIVEN_UP, {"reason": said}))
    causes: list[dict[str, str]] = []
    seen: BaseException | None = error
    told: set[int] = set()
    while seen is not None and id(seen) not in told and len(causes) < CAUSES_MAX:
        told.add(id(seen))
        causes.append({"type": _type(seen), "message": _message(seen), "where": _where(seen)})
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
    first = causes[0]
    where = next((cause["where"] for cause in causes if cause["where"]), run.automation.where)
    place = f" ({where})" if where not in first["message"] else ""
    said = first["message"] if isinstance(error, DeputizeError) else _named(first)
    return Ends(run, "failed", Outcome("done"), f"{said}{place}", tuple(causes))


def foreign(coroutine: Any, yielded: object) -> str:
    """Why something that was awaited cannot be carried out."""
    what = "asyncio.sleep(0) or a bare yield" if yielded is None else f"a {type(yielded).__name__}"
    return (
        f"{place_of(coroutine)}: awaited {what}, which only an event loop can carry out; "
        "an automation awaits actions, sleep(), wait_for(), send() and together() from deputize"
    )


def too_many(coroutine: Any) -> str:
    """Why a run that awaits without an end is ended."""
    return (
        f"{place_of(coroutine)}: this run has awaited {ACTIONS_MAX:,} times, which is the most; "
        "return continue_with(state) to go on in a new run"
    )


def place_of(coroutine: Any) -> str:
    """`file:line` where a suspended coroutine stands, in the project's own code."""
    frames = []
    for _ in range(FRAMES_MAX):
        frame = coroutine.cr_frame if isinstance(coroutine, CoroutineType) else None
        if frame is None:
            break
        frames.append((frame.f_code.co_filename, frame.f_lineno))
        coroutine = coroutine.cr_await
    return innermost(frames) or "unknown place"


def place_in(frame: FrameType | None) -> str:
    """`file:line` of a running frame's nearest caller (or itself) in the project's own code."""
    frames = []
    for _ in range(FRAMES_MAX):
        if frame is None:
            break
        frames.append((frame.f_code.co_filename, frame.f_lineno))
        frame = frame.f_back
    return innermost(frames[::-1]) or "unknown place"


def readable(text: str) -> str:
    """Text that any store can hold: without half characters."""
    return text.encode("utf-8", "backslashreplace").decode()


def _named(cause: dict[str, str]) -> str:
    return f"{cause['type']}: {cause['message']}" if cause["message"] else cause["type"]


def _type(error: BaseException) -> str:
    return readable(type(error).__name__[:100])


def _message(error: BaseException) -> str:
    try:
        text = readable(str(error)[:MESSAGE_CHARS_MAX])
    except BaseException as broken:  # noqa: BLE001 - its `__str__` is the project's code
        return f"(its text cannot be shown: {_type(broken)})"
    if isinstance(error, RuntimeError) and ("event loop" in text or "async library" in text):
        return (
            f"{text}: asyncio does not work inside an automation; await actions, sleep(), wait_for() "
            "and together() from deputize instead"
        )
    return text


def _where(error: BaseException) -> str:
    """`file:line` of the innermost frame that is the project's own."""
    # Without the lines' text, which would be read from files.
    walked = traceback.walk_tb(error.__traceback__)
    return innermost([(frame.f_code.co_filename, line) for frame, line in walked])


def innermost(frames: list[tuple[str, int]]) -> str:
    """`file:line` of the last of `frames` (outermost first) in the project; else of the last that is not
    this package's."""
    outside = [f for f in frames if not f[0].startswith((_PACKAGE, "<"))]
    own = [f for f in outside if not f[0].startswith(_LIBRARIES)] or outside
    return f"{own[-1][0]}:{own[-1][1]}" if own else ""


def tell_error(done: asyncio.Task[None], what: str, run: str = "") -> BaseException | None:
    """The error that a task has ended by; it is told where the loop's own errors are (the log), with the run
    that it is about."""
    error = None if done.cancelled() else done.exception()
    if error is not None:
        context = {"message": what, "exception": error, "task": done} | ({"run": run} if run else {})
        done.get_loop().call_exception_handler(context)
    return error
