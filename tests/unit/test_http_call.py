"""What each way of answering, or not answering, proves about a call."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

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


class Refund(BaseModel):
    id: str


async def find(call: Call, charge: str) -> Refund | None:
    found = (await call.get("/refunds", params={"key": call.key})).json()
    return Refund(id=found["id"]) if found else None


def operation(
    body: Callable[[Call], Awaitable[Any]] | None = None, effect: str = "write", timeout_s: float = 5.0
) -> Operation[..., Any]:
    connector = Connector("payments", version="1")

    @connector.operation(effect=effect, timeout_s=timeout_s, lookup=find)  # type: ignore[arg-type]
    async def refund(call: Call, charge: str) -> Refund:
        if body is not None:
            return await body(call)  # type: ignore[no-any-return]
        if effect == "read":
            answer = await call.get(f"/refunds/{charge}")
        else:
            answer = await call.post("/refunds", json={"charge": charge})
        return Refund(id=answer.json()["id"])

    return refund


async def run(op: Operation[..., Any], base: str, **connection: Any) -> bytes:
    line = HttpConnection("payments", base, **connection)
    try:
        return await perform(op, line, b'{"charge":"ch_1"}', key="k1", attempt=1, secrets=Secrets(Path(), {}))
    finally:
        await line.aclose()


async def failure(op: Operation[..., Any], base: str, **connection: Any) -> CallFailed:
    with pytest.raises(CallFailed) as caught:
        await run(op, base, **connection)
    return caught.value


async def test_a_write_sends_json_with_its_key_and_returns_the_stored_form() -> None:
    async with serving(http(201, {"id": "re_1", "more": 1})) as server:
        assert await run(operation(), f"{server.base}/v1") == b'{"id":"re_1"}'
    seen = server.seen[0]
    assert (seen.method, seen.target, seen.body) == ("POST", "/v1/refunds", b'{"charge":"ch_1"}')
    assert seen.headers["idempotency-key"] == "k1"
    assert seen.headers["content-type"] == "application/json"
    assert seen.headers["accept-encoding"] == "identity", (
        "so that a small answer cannot unfold to a large one"
    )


async def test_the_idempotency_header_has_the_name_that_the_service_wants_and_no_get_has_it() -> None:
    async with serving(http(200, {"id": "re_1"})) as server:
        await run(operation(), server.base, idempotency_header="X-Once")
        await run(operation(effect="read"), server.base, idempotency_header="X-Once")
    assert [seen.headers.get("x-once") for seen in server.seen] == ["k1", None]


@pytest.mark.parametrize("status", [400, 402, 403, 404, 410, 422])
@pytest.mark.parametrize("effect", ["read", "write"])
async def test_a_declined_status_is_final_and_says_what_the_service_said(effect: str, status: int) -> None:
    async with serving(http(status, {"error": "no such charge\n"})) as server:
        error = await failure(operation(effect=effect), server.base)
    assert type(error) is CallDeclined and error.status == status
    assert "no such charge" in error.reason and "\n" not in error.reason


@pytest.mark.parametrize("status", [401, 405, 409, 418, 500, 502, 503, 301, 304])
async def test_any_other_status_of_a_write_leaves_it_unknown(status: int) -> None:
    async with serving(http(status)) as server:
        error = await failure(operation(), server.base)
    assert type(error) is CallUnknown and error.status == status


@pytest.mark.parametrize(("header", "wait_s"), [("7", 7.0), ("0", 0.0), ("86400", 3600.0), ("soon", None)])
async def test_429_proves_not_done_and_says_how_long_to_wait(header: str, wait_s: float | None) -> None:
    async with serving(http(429, b"slow down", f"Retry-After: {header}")) as server:
        error = await failure(operation(), server.base)
    assert type(error) is CallNotDone
    assert (error.status, error.retry_after_s) == (429, wait_s)


async def test_retry_after_may_be_a_date() -> None:
    class Stopped:
        def now_us(self) -> int:
            return 1_445_412_480_000_000 - 90_000_000

        def monotonic(self) -> float:
            return 0.0

    async with serving(http(429, b"", "Retry-After: Wed, 21 Oct 2015 07:28:00 GMT")) as server:
        error = await failure(operation(), server.base, clock=Stopped())
    assert error.retry_after_s == 90.0


async def test_a_service_that_is_not_there_proves_not_done() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: refused
        error = await failure(operation(), f"http://127.0.0.1:{taken.getsockname()[1]}")
    assert type(error) is CallNotDone and "not connected" in error.reason


async def test_an_encrypted_connection_that_fails_to_start_proves_not_done() -> None:
    async with serving(http(200)) as server:
        error = await failure(operation(timeout_s=0.5), server.base.replace("http:", "https:"))
    assert type(error) is CallNotDone and not server.seen


@pytest.mark.parametrize("before_s", [0.0, 0.1])
async def test_waiting_in_vain_for_a_connection_proves_not_done(before_s: float) -> None:
    async def hold(seen: Seen, writer: asyncio.StreamWriter) -> None:
        await server.release.wait()
        writer.write(http(200, {"id": "a"}))

    async def hesitate(call: Call) -> Refund:
        await asyncio.sleep(before_s)  # so that the whole time is over before the wait for a connection
        return Refund(id=(await call.post("/refunds")).json()["id"])

    async with serving(hold) as server:
        line = HttpConnection("payments", server.base, concurrent_max=1)

        async def start(op: Operation[..., Any]) -> bytes:
            return await perform(op, line, b'{"charge":"c"}', key="k", attempt=1, secrets=Secrets(Path(), {}))

        first = asyncio.create_task(start(operation()))
        await server.arrived.wait()
        with pytest.raises(CallNotDone, match="not connected"):
            await start(operation(hesitate, timeout_s=0.15))
        server.release.set()
        assert await first == b'{"id":"a"}'
        await line.aclose()
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200",
        b"not http at all\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
@pytest.mark.parametrize("effect", ["read", "write"])
async def test_a_cut_or_garbled_answer_leaves_it_unknown(effect: str, answer: bytes) -> None:
    async def cut(seen: Seen, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await writer.drain()
        writer.close()

    async with serving(cut) as server:
        error = await failure(operation(effect=effect), server.base)
    assert type(error) is CallUnknown
    assert len(server.seen) == 1, "sent once, and never again by itself"


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"])
@pytest.mark.parametrize("effect", ["read", "write"])
async def test_no_whole_answer_in_time_leaves_it_unknown(effect: str, start: bytes) -> None:
    async def stall(seen: Seen, writer: asyncio.StreamWriter) -> None:
        writer.write(start)
        await server.release.wait()

    async with serving(stall) as server:
        error = await failure(operation(effect=effect, timeout_s=0.15), server.base)
    assert type(error) is CallUnknown
    assert server.arrived.is_set()


async def test_a_body_that_drips_cannot_outlast_the_total_time() -> None:
    async def drip(seen: Seen, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        for _ in range(1000):
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.02)

    async with serving(drip) as server:
        error = await failure(operation(timeout_s=0.2), server.base)
    assert type(error) is CallUnknown and "within 0.2 s" in error.reason


async def test_ten_megabytes_are_not_read_and_a_write_that_got_them_is_done_with_drift() -> None:
    sent = 0

    async def flood(seen: Seen, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n")
        for _ in range(100):
            writer.write(b"x" * 100_000)
            await writer.drain()
            sent += 100_000

    async with serving(flood) as server:
        error = await failure(operation(), server.base)
    assert type(error) is CallDrifted and error.status == 200
    assert error.body == b"x" * 2_000
    assert sent < 10_000_000


async def test_a_body_that_cannot_be_decoded_is_drift() -> None:
    async with serving(http(200, b"not gzip", "Content-Encoding: gzip")) as server:
        error = await failure(operation(), server.base)
    assert type(error) is CallDrifted


async def test_redirects_are_never_followed() -> None:
    async with serving(http(200, {"id": "stolen"})) as elsewhere:
        redirect = http(302, b"", f"Location: {elsewhere.base}/refunds")
        async with serving(redirect) as server:
            write = await failure(operation(), server.base)
            read = await failure(operation(effect="read"), server.base)
    assert (type(write), type(read)) == (CallUnknown, CallDeclined)
    assert "redirects are refused" in write.reason and "redirects are refused" in read.reason
    assert elsewhere.accepted == 0


async def test_cookies_of_one_answer_are_not_sent_with_the_next_request() -> None:
    async with serving(http(200, {"id": "a"}, "Set-Cookie: session=1; Path=/")) as server:

        async def twice(call: Call) -> Refund:
            await call.get("/a")
            return Refund(id=(await call.get("/b")).json()["id"])

        await run(operation(twice, "read"), server.base)
    assert "cookie" not in server.seen[1].headers


async def test_one_connection_serves_many_requests() -> None:
    async with serving(http(200, {"id": "a"})) as server:
        line = HttpConnection("payments", server.base)
        secrets = Secrets(Path(), {})
        for key in "abcde":
            await perform(operation(), line, b'{"charge":"c"}', key=key, attempt=1, secrets=secrets)
        await line.aclose()
    assert (server.accepted, len(server.seen)) == (1, 5)


async def test_a_connection_that_the_service_closed_while_idle_is_not_used_for_a_write() -> None:
    async def answer_and_close(seen: Seen, writer: asyncio.StreamWriter) -> None:
        writer.write(http(200, {"id": "a"}))
        await writer.drain()
        writer.close()

    async with serving(answer_and_close) as server:
        line = HttpConnection("payments", server.base)
        for key in "abc":
            await perform(
                operation(), line, b'{"charge":"c"}', key=key, attempt=1, secrets=Secrets(Path(), {})
            )
            await server.closed.wait()
            server.closed.clear()
        await line.aclose()
    assert (server.accepted, len(server.seen)) == (3, 3)


async def test_a_declined_request_leaves_its_connection_usable() -> None:
    async with serving([http(404, b"no"), http(200, {"id": "a"})]) as server:

        async def twice(call: Call) -> Refund:
            with pytest.raises(CallDeclined):
                await call.get("/a")
            return Refund(id=(await call.get("/b")).json()["id"])

        await run(operation(twice, "read"), server.base)
    assert server.accepted == 1


async def test_proxies_and_netrc_of_the_environment_are_ignored(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password canary-netrc")
    async with serving(http(200, {"id": "proxied"})) as proxy, serving(http(200, {"id": "a"})) as server:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.base)
        monkeypatch.setenv("NETRC", str(netrc))
        assert await run(operation(), server.base) == b'{"id":"a"}'
    assert proxy.accepted == 0 and "authorization" not in server.seen[0].headers


async def test_a_closed_connection_sends_nothing() -> None:
    async with serving(http(200, {"id": "a"})) as server:
        line = HttpConnection("payments", server.base)
        await line.aclose()
        with pytest.raises(CallNotDone, match="stopping"):
            await perform(
                operation(), line, b'{"charge":"c"}', key="k", attempt=1, secrets=Secrets(Path(), {})
            )
    assert server.accepted == 0


@pytest.mark.parametrize("path", ["/../admin", "http://127.0.0.1:1/x", "//evil/x", "/a@b", "/a?x=1"])
async def test_a_path_that_leads_elsewhere_is_refused_before_anything_is_sent(path: str) -> None:
    async with serving(http(200, {"id": "a"})) as server:
        error = await failure(operation(lambda call: call.post(path)), server.base)
    assert type(error) is CallBroken and server.accepted == 0


async def test_a_read_may_only_get() -> None:
    async with serving(http(200, {"id": "a"})) as server:
        error = await failure(operation(lambda call: call.delete("/a"), "read"), server.base)
    assert type(error) is CallBroken and server.accepted == 0


@pytest.mark.parametrize(("first", "kind"), [(http(200), CallUnknown), (http(429), CallBroken)])
async def test_a_second_request_that_may_change_something_is_refused(
    first: bytes, kind: type[CallFailed]
) -> None:
    async def twice(call: Call) -> Refund:
        with suppress(CallNotDone):
            await call.post("/a")
        await call.put("/b")
        return Refund(id="never")

    async with serving(first) as server:
        error = await failure(operation(twice), server.base)
    assert type(error) is kind and "at most one" in error.reason
    assert len(server.seen) == 1


@pytest.mark.parametrize("after", [b"", http(404), http(429), http(500), http(200, b"x" * 1_100_000)])
async def test_a_get_that_fails_after_the_write_never_makes_the_write_undone(after: bytes) -> None:
    async def write_then_read(call: Call) -> Refund:
        made = (await call.post("/refunds")).json()
        return Refund(id=(await call.get(f"/refunds/{made['id']}")).json()["id"])

    async with serving([http(201, {"id": "re_1"}), after]) as server:
        error = await failure(operation(write_then_read), server.base)
    assert type(error) is CallUnknown


async def test_swallowing_a_lost_answer_does_not_make_it_a_result() -> None:
    async def swallow(call: Call) -> Refund:
        with suppress(CallUnknown):
            await call.post("/refunds")
        return Refund(id="invented")

    async with serving(b"") as server:
        error = await failure(operation(swallow), server.base)
    assert type(error) is CallUnknown


async def test_a_look_up_finds_finds_nothing_or_could_not_tell() -> None:
    secrets = Secrets(Path(), {})
    async with serving(
        [http(200, {"id": "re_1"}), http(200, b"null"), http(200, b"<oops>"), http(500)]
    ) as server:
        line = HttpConnection("payments", server.base)

        async def ask() -> bytes | None:
            return await look_up(operation(), line, b'{"charge":"c"}', key="k/1", secrets=secrets)

        assert await ask() == b'{"id":"re_1"}'
        assert await ask() is None
        with pytest.raises(CallDrifted):
            await ask()
        with pytest.raises(CallUnknown):
            await ask()
        await line.aclose()
    assert server.seen[0].target == "/refunds?key=k%2F1"
    assert "idempotency-key" not in server.seen[0].headers


async def test_a_look_up_of_a_write_may_only_get() -> None:
    async def wrong(call: Call, charge: str) -> Refund | None:
        await call.post("/refunds")
        return None

    op = operation()
    op.lookup = wrong
    async with serving(http(200)) as server:
        line = HttpConnection("payments", server.base)
        with pytest.raises(CallBroken, match="may only GET"):
            await look_up(op, line, b'{"charge":"c"}', key="k", secrets=Secrets(Path(), {}))
        await line.aclose()
    assert server.accepted == 0


async def test_cancelling_from_outside_passes_through() -> None:
    async def hold(seen: Seen, writer: asyncio.StreamWriter) -> None:
        await server.release.wait()

    async with serving(hold) as server:
        task = asyncio.create_task(run(operation(), server.base))
        await server.arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
