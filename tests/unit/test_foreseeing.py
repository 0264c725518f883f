"""What a rehearsal may ask of services: reads and previews, over real HTTP, and never anything else."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from deputize import Call, Connector
from deputize.call import CallBroken, CallDeclined, CallFailed, CallNotDone, CallUnknown
from deputize.connectors.connections import Connections
from deputize.connectors.foreseeing import Foreseeing
from deputize.connectors.http import HttpConnection
from deputize.connectors.perform import read_only
from deputize.connectors.secret import Secrets
from deputize.connectors.settings import ConnectorSettings
from tests.unit.http_raw_server import http, serving

NONE = Secrets(Path(), {})
ARGS = b'{"item":"a"}'
RAN = []


class Item(BaseModel):
    item: str


connector = Connector("desk", version="1")


@connector.operation(effect="read", attempts_max=2)
async def look(call: Call, item: str) -> Item:
    return Item.model_validate_json((await call.get(f"/items/{item}")).body)


@connector.operation(effect="read")
async def posts(call: Call, item: str) -> Item:
    return Item.model_validate_json((await call.post("/items")).body)


async def preview(call: Call, item: str) -> Item:
    return Item.model_validate_json((await call.get("/preview")).body)


@connector.operation(effect="write", rehearse=preview)
async def write(call: Call, item: str) -> Item:
    RAN.append(item)
    return Item.model_validate_json((await call.post("/items")).body)


def foreseeing(base: str) -> Foreseeing:
    settings = {"desk": ConnectorSettings(base=base)}
    return Foreseeing(Connections(settings, NONE, {}), NONE)


async def asked(operation: Any, *answers: bytes) -> tuple[Any, list[str]]:
    """What `read_only` makes of a service's answers, and the methods of the requests that reached it."""
    async with serving(list(answers)) as server:
        line = HttpConnection("desk", server.base)
        try:
            got: Any = await read_only(operation, line, ARGS, secrets=NONE)
        except CallFailed as error:
            got = error
        await line.aclose()
    return got, [seen.method for seen in server.seen]


async def test_a_read_is_read() -> None:
    assert await asked(look, http(200, b'{"item":"a"}')) == (b'{"item":"a"}', ["GET"])


async def test_a_write_does_not_even_run() -> None:
    got, methods = await asked(write, http(200, b'{"item":"a"}'))
    assert isinstance(got, CallBroken) and "is no read, and a rehearsal does nothing" in str(got)
    assert methods == [] and RAN == []


async def test_what_calls_itself_a_read_can_only_get() -> None:
    got, methods = await asked(posts, http(200, b'{"item":"a"}'))
    assert isinstance(got, CallBroken) and "may only GET" in str(got) and methods == []


def test_the_port_reads_and_previews_and_refuses_a_write() -> None:
    # Nothing listens there: what is refused is refused before that.
    port = foreseeing("http://127.0.0.1:9")
    try:
        with pytest.raises(CallBroken, match="is no read"):
            port.read(write, ARGS)
        with pytest.raises(CallBroken, match="cannot be rehearsed"):
            port.rehearse(look, ARGS)
        with pytest.raises(CallNotDone, match="not connected"):
            port.read(look, ARGS)
    finally:
        port.close()
    assert RAN == []


async def test_a_service_that_fails_is_asked_again_as_often_as_its_contract_says() -> None:
    async with serving([http(500), http(200, b'{"item":"a"}'), http(404), http(500), http(500)]) as server:
        port = foreseeing(server.base)
        loop = asyncio.get_running_loop()
        assert await loop.run_in_executor(None, port.read, look, ARGS) == b'{"item":"a"}'
        with pytest.raises(CallDeclined):
            await loop.run_in_executor(None, port.read, look, ARGS)
        with pytest.raises(CallUnknown):
            await loop.run_in_executor(None, port.read, look, ARGS)
        await loop.run_in_executor(None, port.close)
    assert len(server.seen) == 5
