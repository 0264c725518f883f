"""Performing an operation: a connector's function run once, and its outcome named exactly.

Connectors are the project's own code and may raise anything; this is the one place where that
becomes a `CallFailed`. What has been sent decides which.
"""

from __future__ import annotations

import reprlib
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

from pydantic import ValidationError

from deputize.call import CallBroken, CallDeclined, CallDrifted, CallFailed, CallNotDone, CallUnknown
from deputize.connectors.answer import readable
from deputize.connectors.http import HttpConnection
from deputize.connectors.http_call import HttpCall
from deputize.connectors.secret import Secrets
from deputize.connectors.within import OutOfTime, within
from deputize.operation import Operation

RESULT_BYTES_MAX = 1_000_000
MESSAGE_CHARS_MAX = 1_000
_TEXT_CHARS_MAX = 64_000  # looked at, of what somebody else wrote
_KINDS = (CallDeclined, CallNotDone, CallUnknown, CallBroken, CallDrifted)


async def perform(
    operation: Operation[..., Any],
    connection: HttpConnection | None,
    args: bytes,
    *,
    key: str,
    attempt: int,
    secrets: Secrets,
) -> bytes:
    """Perform `operation` once with its stored arguments; the stored form of its result.

    `key` is the idempotency key, `attempt` counts from 1 and is named in the evidence. Raises one
    of the five kinds of `CallFailed`, its text and body scrubbed; takes `timeout_s` at most.
    """
    call = HttpCall(operation.contract, connection, key, secrets, read=operation.contract.effect == "read")
    note = f" (attempt {attempt})" if attempt > 1 else ""
    return await _answered(operation, operation.function, call, args, secrets, note)


async def look_up(
    operation: Operation[..., Any],
    connection: HttpConnection | None,
    args: bytes,
    *,
    key: str,
    secrets: Secrets,
) -> bytes | None:
    """Ask the service what became of the action with this key: the stored form of what it found, or None.

    The contract's look-up takes the operation's own arguments and may only GET. Raises `CallFailed`
    where it could not tell; none of its kinds says anything about the action itself.
    """
    if operation.lookup is None:
        raise CallBroken(f"{operation.name} has no look-up")
    call = HttpCall(operation.contract, connection, key, secrets, read=True)
    try:
        found = await _called(operation, operation.lookup, call, args)
        return None if found is None else _stored(operation, call, found, secrets)
    except CallFailed as error:
        failure = error
    raise _leaving(failure, secrets, " (look-up)")


async def rehearse(
    operation: Operation[..., Any], connection: HttpConnection | None, args: bytes, *, secrets: Secrets
) -> bytes:
    """Ask the service what would come of the action, without doing it: the stored form of its result.

    The contract's rehearsal takes the operation's own arguments and may only GET. Raises `CallFailed`:
    `CallDeclined` where the service would say no, every other kind where it could not tell.
    """
    if operation.rehearse is None:
        raise CallBroken(f"{operation.name} cannot be rehearsed")
    call = HttpCall(operation.contract, connection, "", secrets, read=True)
    return await _answered(operation, operation.rehearse, call, args, secrets, " (rehearsal)")


async def read_only(
    operation: Operation[..., Any], connection: HttpConnection | None, args: bytes, *, secrets: Secrets
) -> bytes:
    """Perform a read, for a rehearsal: whatever its contract says of it, it can do nothing but GET.

    Raises `CallFailed`, and for what is no read `CallBroken` before anything of it runs.
    """
    if operation.contract.effect != "read":
        raise CallBroken(f"{operation.name} is no read, and a rehearsal does nothing")
    if operation.contract.priced:
        raise CallBroken(f"{operation.name} costs something, and nothing is spent on a rehearsal")
    call = HttpCall(operation.contract, connection, "", secrets, read=True)
    return await _answered(operation, operation.function, call, args, secrets, "")


async def _answered(
    operation: Operation[..., Any],
    function: Callable[..., Awaitable[Any]],
    call: HttpCall,
    args: bytes,
    secrets: Secrets,
    note: str,
) -> bytes:
    """The stored form of what `function` returns. Raises `CallFailed`, scrubbed, with a note."""
    try:
        return _stored(operation, call, await _called(operation, function, call, args), secrets)
    except CallFailed as error:
        failure = error
    # Raised out here, so that no unscrubbed exception hangs on it as its context.
    raise _leaving(failure, secrets, note)


async def _called(
    operation: Operation[..., Any], function: Callable[..., Awaitable[Any]], call: HttpCall, args: bytes
) -> Any:
    """What `function` returns. Raises `CallFailed` for whatever else it does, not yet scrubbed."""
    try:
        given = operation.decode_args(args)
    except ValidationError as error:
        raise CallBroken(f"the stored arguments do not fit: {_said(error)}") from None
    timeout_s = operation.contract.timeout_s
    try:
        value = await within(timeout_s, function(call, **given))
    except OutOfTime:
        raise _late(call, timeout_s) from None
    # The function is the project's code, and every exception of it is an outcome.
    except Exception as error:  # noqa: BLE001
        raise _failure(call, error, function) from None
    if call.sent and not call.read:
        raise CallUnknown("the function returned, but nobody knows what became of the request it had sent")
    return value


def _late(call: HttpCall, timeout_s: float) -> CallFailed:
    if call.connecting and not (call.sent or call.answered):
        return CallNotDone(f"not connected within {timeout_s:g} s")
    return CallUnknown(f"no answer within {timeout_s:g} s")


def _failure(call: HttpCall, error: Exception, function: Callable[..., Any]) -> CallFailed:
    """The outcome that `error` leaves, given what was sent and answered before it."""
    write = not call.read
    if isinstance(error, _KINDS):
        if not write or isinstance(error, CallUnknown):
            return error
        if not call.sent and not (call.answered and isinstance(error, CallBroken)):
            return error
    what = f"{type(error).__name__}: {_said(error)}{_place(error, function)}"
    if call.answered is not None:
        reason = f"answered {call.answered.status}, but the answer could not be used: {what}"
        return CallDrifted(reason, status=call.answered.status, body=call.answered.body)
    if call.sent:
        return CallUnknown(f"sent, and no answer came; then {what}")
    if call.in_process:
        return CallUnknown(f"failed half-way: {what}") if write else CallNotDone(what)
    return CallBroken(f"failed before anything was sent: {what}")


def _stored(operation: Operation[..., Any], call: HttpCall, value: Any, secrets: Secrets) -> bytes:
    """The stored form of a result, scrubbed. Raises `CallDrifted` where it does not fit."""
    try:
        stored = operation.encode_result(value)
        clean = secrets.scrub(stored)
        if clean is not stored:
            operation.decode_result(clean)  # what is stored must be readable, now and in a replay
    # The validators of a result are the project's code too.
    except Exception as error:  # noqa: BLE001
        reason = f"the result does not fit its contract: {_said(error)}"
    else:
        if len(clean) <= RESULT_BYTES_MAX:
            return clean
        reason = f"the result is {len(clean):,} bytes; at most {RESULT_BYTES_MAX:,} are kept"
    if call.answered is not None:
        raise CallDrifted(reason, status=call.answered.status, body=call.answered.body)
    raise CallDrifted(reason, body=reprlib.repr(value).encode("utf-8", "replace"))


def _leaving(failure: CallFailed, secrets: Secrets, note: str) -> CallFailed:
    """`failure` afresh and scrubbed: nothing of what was raised before hangs on it."""
    reason = readable(str(failure.reason)[:_TEXT_CHARS_MAX], secrets.scrub, MESSAGE_CHARS_MAX) + note
    if isinstance(failure, CallDrifted):
        return CallDrifted(reason, status=failure.status, body=secrets.scrub(failure.body))
    for kind in (CallDeclined, CallNotDone, CallBroken):
        if isinstance(failure, kind):
            return kind(reason, status=failure.status, retry_after_s=failure.retry_after_s)
    return CallUnknown(reason, status=failure.status, retry_after_s=failure.retry_after_s)


def _said(error: Exception) -> str:
    if isinstance(error, ValidationError):
        # Without the input: it is the customer's, and as long as it likes.
        problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
        path = ".".join(map(str, problem["loc"])) or "result"
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        return f"{path}: {problem['msg']}{more}"
    try:
        return str(error)[:_TEXT_CHARS_MAX]
    except Exception:  # noqa: BLE001  (its own `__str__` is the project's code)
        return "(no text)"


def _place(error: Exception, function: Callable[..., Any]) -> str:
    """Where the connector's own file was when it failed: ` at file:line`."""
    code = getattr(function, "__code__", None)
    if code is None:
        return ""
    frames = traceback.walk_tb(error.__traceback__)
    lines = [line for frame, line in frames if frame.f_code.co_filename == code.co_filename]
    return f" at {code.co_filename}:{lines[-1]}" if lines else ""
