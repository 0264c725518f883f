"""Canaries are planted wherever a secret may come back from; none is found in what leaves."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import pytest_asyncio
from pydantic import BaseModel

from deputize.call import Call, CallDrifted, CallFailed
from deputize.connector import Connector
from deputize.connectors.connections import Connections
from deputize.connectors.perform import look_up, perform
from deputize.connectors.secret import Secrets
from deputize.connectors.settings import read_connectors
from deputize.operation import Operation
from tests.unit.http_raw_server import Seen, Server, serving

TOKEN = 'canary/tok+"en'
PASSWORD = "canary-pass word"
BASIC = base64.b64encode(f"maya:{PASSWORD}".encode()).decode()
TRACES = ("canary", quote(TOKEN, safe=""), BASIC, base64.b64encode(TOKEN.encode()).decode().rstrip("="))


class Echo(BaseModel):
    said: str


class Place:
    """A project with two secrets, and a service that repeats all that it is sent."""

    def __init__(self, server: Server, secrets: Secrets, connections: Connections) -> None:
        self.server, self.secrets, self.connections = server, secrets, connections
        self.status = 200
        self.before, self.padding = 0, 0


@pytest_asyncio.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    (tmp_path / "password").write_text(PASSWORD)
    (tmp_path / "password").chmod(0o600)

    async def echo(seen: Seen, writer: Any) -> None:
        said = ["." * place.before, seen.target, *seen.headers.values(), "x" * place.padding]
        body = json.dumps({"said": " ".join(said)}).encode()
        head = [f"HTTP/1.1 {place.status} {TOKEN}", f"Content-Length: {len(body)}"]
        head += [f"X-Echo-{name}: {value}" for name, value in seen.headers.items()]
        writer.write("\r\n".join(head).encode() + b"\r\n\r\n" + body)

    async with serving(echo) as server:
        settings = read_connectors(
            {
                "bearer": {"base": server.base, "token": "env:TOKEN"},
                "basic": {"base": server.base, "basic": {"user": "maya", "password": "file:password"}},
            }
        )
        secrets = Secrets(tmp_path, {"TOKEN": TOKEN})
        place = Place(server, secrets, Connections(settings, secrets, {}))
        yield place
        await place.connections.aclose()


def operation(connector: str, body: Callable[[Call], Awaitable[Any]]) -> Operation[..., Any]:
    async def find(call: Call, q: str) -> Any:
        return await body(call)

    made = Connector(connector, version="1")

    @made.operation(effect="write", lookup=find)
    async def echo(call: Call, q: str) -> Echo:
        return await body(call)  # type: ignore[no-any-return]

    return echo


async def leaves(
    place: Place, connector: str, body: Callable[[Call], Awaitable[Any]], *, ask: bool = False
) -> str:
    """All that can be seen of a performance: its result or its failure, with everything on it."""
    op, line = operation(connector, body), place.connections.get(connector)
    try:
        if ask:
            return str(await look_up(op, line, b'{"q":"1"}', key="k", secrets=place.secrets))
        return str(await perform(op, line, b'{"q":"1"}', key="k", attempt=2, secrets=place.secrets))
    except CallFailed as error:
        body_kept = error.body if isinstance(error, CallDrifted) else b""
        return " ".join(map(repr, (error, error.args, vars(error), error.__context__, body_kept)))


def check(shown: str) -> None:
    assert "[secret " in shown, "the canary was there, and was taken out"
    for trace in TRACES:
        assert trace not in shown


async def post(call: Call) -> Echo:
    answer = await call.post("/echo", params={"token": TOKEN})
    return Echo(said=answer.json()["said"])


async def in_path(call: Call) -> Echo:
    await call.post(f"/echo/{quote(TOKEN, safe='')}")
    raise AssertionError


async def in_refused_path(call: Call) -> Echo:
    await call.get(f"/echo?token={TOKEN}")
    raise AssertionError


async def in_exception(call: Call) -> Echo:
    raise RuntimeError(f"headers were {{'authorization': 'Basic {BASIC}'}} and {TOKEN!r}")


async def in_long_exception(call: Call) -> Echo:
    raise RuntimeError("." * 935 + TOKEN + TOKEN)


async def in_drift(call: Call) -> Echo:
    raise KeyError((await call.post("/echo")).json()["said"])


async def in_chain(call: Call) -> Echo:
    try:
        await in_exception(call)
    except RuntimeError as error:
        raise CallFailed(f"{TOKEN}") from error
    raise AssertionError


@pytest.mark.parametrize("connector", ["bearer", "basic"])
@pytest.mark.parametrize("status", [200, 302, 404, 429, 500])
async def test_what_a_service_repeats_is_scrubbed(place: Place, connector: str, status: int) -> None:
    place.status = status
    check(await leaves(place, connector, post))


@pytest.mark.parametrize("connector", ["bearer", "basic"])
@pytest.mark.parametrize("body", [in_refused_path, in_exception, in_long_exception, in_drift, in_chain])
async def test_what_a_connector_raises_is_scrubbed(
    place: Place, connector: str, body: Callable[[Call], Awaitable[Any]]
) -> None:
    check(await leaves(place, connector, body))


async def test_a_secret_in_an_address_is_scrubbed(place: Place) -> None:
    place.status = 500
    check(await leaves(place, "bearer", in_path))


async def test_an_answer_that_is_too_long_is_kept_scrubbed(place: Place) -> None:
    place.padding = 1_100_000
    check(await leaves(place, "basic", post))
    place.before = 1_966  # what is kept would end within the secret
    check(await leaves(place, "basic", post))


async def test_a_look_up_is_scrubbed(place: Place) -> None:
    async def found(call: Call) -> Echo:
        return Echo(said=(await call.get("/echo", params={"token": TOKEN})).json()["said"])

    check(await leaves(place, "bearer", found, ask=True))
    place.status = 500
    check(await leaves(place, "bearer", found, ask=True))


@pytest.mark.parametrize("connector", ["bearer", "basic"])
async def test_no_log_line_holds_a_secret_even_at_the_finest_level(
    place: Place, connector: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await leaves(place, connector, post)
    for trace in TRACES:
        assert trace not in caplog.text


async def test_the_service_itself_did_get_the_secret(place: Place) -> None:
    await leaves(place, "bearer", post)
    await leaves(place, "basic", post)
    assert [seen.headers["authorization"] for seen in place.server.seen] == [
        f"Bearer {TOKEN}",
        f"Basic {BASIC}",
    ]
