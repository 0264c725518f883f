"""Reads: what has not changed is not sent again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.conforming import description
from tests.support.desk import Desk
from tests.support.fixtures import desk as desk
from tests.support.project import write_project
from tests.support.serving import PEOPLE, SERVER, Served, serving

CODE = """
@automation(on=Ask, agent=worker)
async def asks(event: Event[Ask]) -> Outcome:
    return done((await desk.write(item=event.data.item)).item)
"""


@pytest.fixture
async def served(tmp_path: Path, desk: Desk) -> AsyncIterator[Served]:
    async with serving(write_project(tmp_path, desk.base, CODE, toml=SERVER + PEOPLE)) as found:
        yield found


async def test_every_read_has_a_strong_tag_by_which_it_is_not_sent_again(served: Served) -> None:
    run = await served.send("1")
    await served.app.ended(run)
    there = {"run_id": run, "path": "1", "seq": "1"}
    for path, methods in description()["paths"].items():
        others = ("/metrics", "/v1/links/{token}", "/v1/stream")
        if "get" not in methods or path in others or path.startswith("/v1/agents/"):
            continue
        address = path.format(**there)
        first = await served.http.get(address)
        tag = first.headers["etag"]
        assert first.status_code == 200 and tag.startswith('"') and tag.endswith('"'), path
        assert first.headers["cache-control"] == "private, no-cache"
        if path == "/v1/connectors":
            continue  # the circuit's window moves with the time
        for known in (tag, f'"other", W/{tag}', "*"):
            again = await served.http.get(address, headers={"if-none-match": known})
            assert (again.status_code, again.content) == (304, b""), (path, known)
            assert again.headers["etag"] == tag and "content-type" not in again.headers
        other = await served.http.get(address, headers={"if-none-match": '"other"'})
        assert other.status_code == 200 and other.content == first.content


async def test_what_has_changed_is_sent(served: Served) -> None:
    before = await served.http.get("/v1/runs")
    run = await served.send("1")
    await served.app.ended(run)
    after = await served.http.get("/v1/runs", headers={"if-none-match": before.headers["etag"]})
    assert after.status_code == 200 and after.headers["etag"] != before.headers["etag"]


async def test_errors_have_no_tag(served: Served) -> None:
    answer = await served.http.get("/v1/runs/nothing", headers={"if-none-match": "*"})
    assert answer.status_code == 404 and "etag" not in answer.headers
