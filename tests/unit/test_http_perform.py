"""A connector's function may do anything; its outcome always has exactly one name."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field

from deputize.call import (
    Call,
    CallBroken,
    CallDeclined,
    CallDrifted,
    CallFailed,
    CallNotDone,
    CallUnknown,
)
from deputize.connector import Connector
from deputize.connectors.http import HttpConnection
from deputize.connectors.perform import look_up, perform
from deputize.connectors.secret import Secrets
from deputize.operation import Operation
from tests.unit.http_raw_server import Seen, http, serving

NONE = Secrets(Path(), {})


class Order(BaseModel):
    id: str
    total: int


Function = Callable[[Call], Awaitable[Any]]


def operation(body: Function, effect: str = "write", timeout_s: float = 5.0) -> Operation[..., Any]:
    connector = Connector("shop", version="1")

    @connector.operation(effect=effect, timeout_s=timeout_s)  # type: ignore[arg-type]
    async def change(call: Call, order: str) -> Order:
        return await body(call)  # type: ignore[no-any-return]

    return change


async def outcome(
    body: Function,
    effect: str = "write",
    line: HttpConnection | None = None,
    attempt: int = 1,
    timeout_s: float = 5.0,
) -> CallFailed:
    with pytest.raises(CallFailed) as caught:
        await perform(
            operation(body, effect, timeout_s),
            line,
            b'{"order":"o1"}',
            key="k",
            attempt=attempt,
            secrets=NONE,
        )
    return caught.value


async def over_http(body: Function, effect: str, *answers: bytes) -> tuple[CallFailed, list[Seen]]:
    async with serving(list(answers)) as server:
        line = HttpConnection("shop", server.base)
        error = await outcome(body, effect, line)
        await line.aclose()
    return error, server.seen


async def break_after_post(call: Call) -> Order:
    answer = (await call.post("/orders")).json()
    return Order(id=answer["id"], total=answer["total"])


async def break_after_get(call: Call) -> Order:
    answer = (await call.get("/orders/o1")).json()
    return Order(id=answer["id"], total=answer["total"])


MISFITS = [
    {"id": "o1"},
    {"id": "o1", "total": "many"},
    [],
    b"{not json",
    '{"id": "café"}'.encode("latin-1"),
    b"",
    b"[" * 100_000,
]


@pytest.mark.parametrize("body", MISFITS)
async def test_a_write_that_was_answered_and_not_understood_is_done_with_drift(body: object) -> None:
    error, _ = await over_http(break_after_post, "write", http(201, body))
    assert type(error) is CallDrifted and error.status == 201
    assert error.body == (body if isinstance(body, bytes) else json.dumps(body).encode())


@pytest.mark.parametrize("body", MISFITS)
async def test_a_read_that_was_answered_and_not_understood_is_drift(body: object) -> None:
    error, _ = await over_http(break_after_get, "read", http(200, body))
    assert type(error) is CallDrifted and error.status == 200


async def test_a_write_that_fails_of_itself_after_reading_has_sent_nothing() -> None:
    error, seen = await over_http(break_after_get, "write", http(200, {"id": "o1"}))
    assert type(error) is CallBroken and len(seen) == 1
    assert "KeyError: 'total'" in error.reason
    assert f"{__file__}:" in error.reason, "with the connector's own line"


async def test_a_write_that_fails_of_itself_while_its_request_is_under_way_is_unknown() -> None:
    async def race(call: Call) -> Order:
        post = asyncio.ensure_future(call.post("/orders"))
        await server.arrived.wait()
        try:
            raise RuntimeError("lost patience")
        finally:
            post.cancel()

    async def hold(seen: Seen, writer: asyncio.StreamWriter) -> None:
        await server.release.wait()

    async with serving(hold) as server:
        line = HttpConnection("shop", server.base)
        error = await outcome(race, "write", line)
        await line.aclose()
    assert type(error) is CallUnknown and "lost patience" in error.reason


async def test_code_that_breaks_before_anything_is_sent_is_broken() -> None:
    async def broken(call: Call) -> Order:
        raise LookupError("no such table")

    error, seen = await over_http(broken, "write", http(200))
    assert type(error) is CallBroken and not seen
    assert "LookupError: no such table" in error.reason


@pytest.mark.parametrize(("effect", "kind"), [("write", CallUnknown), ("read", CallNotDone)])
async def test_an_in_process_operation_that_fails_half_way(effect: str, kind: type[CallFailed]) -> None:
    async def half(call: Call) -> Order:
        raise OSError("disk on fire")

    error = await outcome(half, effect)
    assert type(error) is kind and "OSError: disk on fire" in error.reason and __file__ in error.reason


@pytest.mark.parametrize("kind", [CallDeclined, CallNotDone, CallUnknown, CallBroken])
@pytest.mark.parametrize("effect", ["read", "write"])
async def test_what_a_function_says_of_its_own_outcome_stands(effect: str, kind: type[CallFailed]) -> None:
    async def says(call: Call) -> Order:
        raise kind("the shelf is empty", status=200, retry_after_s=3.0)

    error = await outcome(says, effect)
    assert type(error) is kind
    assert (error.reason, error.status, error.retry_after_s) == ("the shelf is empty", 200, 3.0)


async def test_a_refusal_inside_an_answer_of_200_may_be_called_declined() -> None:
    async def refused(call: Call) -> Order:
        if (await call.post("/orders")).json()["ok"] is False:
            raise CallDeclined("the shop said no")
        raise AssertionError

    error, _ = await over_http(refused, "write", http(200, {"ok": False}))
    assert type(error) is CallDeclined


async def test_nobody_may_call_a_sent_write_not_done_or_broken() -> None:
    async def denies(call: Call) -> Order:
        try:
            await call.post("/orders")
        except CallUnknown:
            raise CallNotDone("surely not") from None
        raise CallBroken("surely not")

    lost, _ = await over_http(denies, "write", b"")
    done, _ = await over_http(denies, "write", http(200, {"id": "o1"}))
    assert type(lost) is CallUnknown
    assert type(done) is CallDrifted and done.body == b'{"id": "o1"}'


@pytest.mark.parametrize("value", [None, {"id": 1, "total": 2}, {"id": "o1"}, object(), "x"])
@pytest.mark.parametrize("effect", ["read", "write"])
async def test_a_result_that_does_not_fit_is_drift(effect: str, value: object) -> None:
    async def misfit(call: Call) -> object:
        return value

    error = await outcome(misfit, effect)
    assert type(error) is CallDrifted and error.body


async def test_a_result_over_a_megabyte_is_drift() -> None:
    async def huge(call: Call) -> Order:
        return Order(id="x" * 1_000_001, total=1)

    error = await outcome(huge)
    assert type(error) is CallDrifted and "at most 1,000,000" in error.reason
    assert len(error.body) < 2_000


@pytest.mark.parametrize("effect", ["read", "write"])
async def test_a_result_that_no_longer_fits_without_its_secret_is_drift(effect: str) -> None:
    connector = Connector("shop", version="1")
    secrets = Secrets(Path(), {"TOKEN": "canary-token"})
    secrets.resolve("env:TOKEN")

    @connector.operation(effect=effect)  # type: ignore[arg-type]
    async def echo(call: Call) -> Annotated[str, Field(pattern="^[a-z-]+$")]:
        return "canary-token"

    with pytest.raises(CallDrifted) as caught:
        await perform(echo, None, b"{}", key="k", attempt=1, secrets=secrets)
    assert b"canary" not in caught.value.body


@pytest.mark.parametrize("effect", ["read", "write"])
async def test_no_answer_in_time_is_unknown_and_says_how_long(effect: str) -> None:
    async def forever(call: Call) -> Order:
        await asyncio.Event().wait()
        raise AssertionError

    error = await outcome(forever, effect, timeout_s=0.05)
    assert type(error) is CallUnknown and "within 0.05 s" in error.reason


async def test_a_timeout_error_of_the_function_itself_is_not_ours() -> None:
    async def own(call: Call) -> Order:
        raise TimeoutError("mine")

    error = await outcome(own, "read")
    assert type(error) is CallNotDone and "mine" in error.reason


async def test_an_operation_without_a_connection_says_which_setting_to_add() -> None:
    error = await outcome(break_after_post)
    assert type(error) is CallBroken and "[connectors.shop]" in error.reason and "base" in error.reason


async def test_stored_arguments_that_no_longer_fit_break_before_anything_runs() -> None:
    with pytest.raises(CallBroken, match="arguments do not fit"):
        await perform(operation(break_after_post), None, b'{"old":1}', key="k", attempt=1, secrets=NONE)


async def test_a_body_that_json_cannot_hold_is_refused_before_anything_is_sent() -> None:
    async def unsendable(call: Call) -> Order:
        await call.post("/orders", json={"when": object()})
        raise AssertionError

    error, seen = await over_http(unsendable, "write", http(200))
    assert type(error) is CallBroken and not seen


async def test_evidence_names_the_attempt_from_the_second_on() -> None:
    async def half(call: Call) -> Order:
        raise OSError("disk on fire")

    assert "attempt" not in (await outcome(half)).reason
    assert (await outcome(half, attempt=3)).reason.endswith("(attempt 3)")


async def test_messages_are_one_short_printable_line_even_from_hostile_exceptions() -> None:
    class Rude(Exception):
        def __str__(self) -> str:
            raise ValueError("no")

    async def rude(call: Call) -> Order:
        raise Rude

    async def loud(call: Call) -> Order:
        raise ValueError("\x1b[31mred\n" + "x" * 10_000_000)

    assert "Rude" in (await outcome(rude)).reason
    reason = (await outcome(loud)).reason
    assert len(reason) <= 1_000 and reason.isprintable()


async def test_nothing_raised_before_hangs_on_what_leaves() -> None:
    async def chained(call: Call) -> Order:
        try:
            raise KeyError("first")
        except KeyError as error:
            raise CallDeclined("second") from error

    error = await outcome(chained)
    assert error.__cause__ is None and error.__context__ is None


@pytest.mark.parametrize("kind", [asyncio.CancelledError, KeyboardInterrupt, SystemExit])
async def test_what_is_no_exception_passes_through(kind: type[BaseException]) -> None:
    async def stop(call: Call) -> Order:
        raise kind

    # Driven by hand: a task would end the test's own loop.
    coroutine = perform(operation(stop), None, b'{"order":"o1"}', key="k", attempt=1, secrets=NONE)
    with pytest.raises(kind):
        coroutine.send(None)


async def test_a_look_up_without_one_is_broken() -> None:
    with pytest.raises(CallBroken, match="no look-up"):
        await look_up(operation(break_after_get), None, b'{"order":"o1"}', key="k", secrets=NONE)


async def test_what_a_look_up_finds_must_fit_the_operation() -> None:
    async def found(call: Call, order: str) -> dict[str, str]:
        return {"id": order}

    op = operation(break_after_post)
    op.lookup = found
    with pytest.raises(CallDrifted, match="total"):
        await look_up(op, None, b'{"order":"o1"}', key="k", secrets=NONE)


async def test_performing_in_process_stays_cheap() -> None:
    async def nothing(call: Call) -> Order:
        return Order(id="o1", total=1)

    op = operation(nothing)
    best_s = 1.0
    for _ in range(5):
        started = time.perf_counter()
        for _ in range(500):
            await perform(op, None, b'{"order":"o1"}', key="k", attempt=1, secrets=NONE)
        best_s = min(best_s, (time.perf_counter() - started) / 500)
    assert best_s < 40e-6
