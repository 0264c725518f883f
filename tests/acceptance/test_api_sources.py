"""Sources at work: polls with a durable cursor, signed webhooks, schedules that neither lose nor double."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from deputize.call import CallFailed
from deputize.clock import to_us
from deputize.errors import BadEvent
from tests.support.desk import Desk
from tests.support.fixtures import desk as desk
from tests.support.project import write_project
from tests.support.running import Running, SetClock, running
from tests.support.serving import SERVER, serving

ONE = """
@automation(on=Ask, agent=worker)
async def one(event: Event[Ask]) -> Outcome:
    return done(event.data.item)
"""
POLL = """
from deputize import EventData, Polled, poll, seconds
class Ask(EventData, type="test.ask"):
    item: str = "i"
@poll(connector, every=seconds({every}), cursor="0")
async def feed(call: Call, cursor: str) -> Polled:
    page = (await call.get("/feed", params={{"after": cursor}})).json()
    return Polled({{row: Ask(item=row) for row in page["rows"]}}, page["cursor"], more=page["more"])
"""
HOOK = """
@webhook("orders", verify=hmac_sha256(header="X-Sign", secret="env:HOOK_SECRET"))
def orders(payload):
    return {row["id"]: Ask(item=row["id"]) for row in payload["orders"]}
"""
TICK = """
@schedule("*/5 * * * *", event=Ask, missed="{missed}", overlap="{overlap}")
def often(tick):
    return Ask(item=f"{{tick:%H:%M}}")
"""
HELD = """
@automation(on=Ask, agent=worker)
async def one(event: Event[Ask]) -> Outcome:
    await wait_for(Word, matching={"item": event.data.item}, within=days(30))
    return done(event.data.item)
"""
SECRET = "hook-secret-1234"


class Feed:
    """A service with rows; `at` holds what to answer next in place of rows."""

    def __init__(self, rows: int, page: int) -> None:
        self.rows = [f"r{i}" for i in range(rows)]
        self.page = page
        self.asked: list[str] = []
        self.wrong: list[bytes] = []

    def answer(self, target: str) -> bytes:
        cursor = target.partition("after=")[2]
        self.asked.append(cursor)
        if self.wrong:
            return self.wrong.pop(0)
        start = int(cursor)
        rows = self.rows[start : start + self.page]
        end = start + len(rows)
        return _http(200, {"rows": rows, "cursor": str(end), "more": end < len(self.rows)})


def _http(status: int, body: Any, *headers: str) -> bytes:
    data = json.dumps(body).encode()
    head = [f"HTTP/1.1 {status} Said", f"content-length: {len(data)}", "connection: close", *headers]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + data


@asynccontextmanager
async def feeding(answer: Callable[[str], bytes]) -> AsyncIterator[str]:
    async def line(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        writer.write(answer(head.split(b" ")[1].decode()))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(line, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


def events(app: Running) -> list[tuple[str, str]]:
    rows = app.read(lambda view: view.events(after=0, limit=1_000))
    return [(row.occurrence.source, row.occurrence.id) for row in rows]


# -- polls --------------------------------------------------------------------------------------------------


async def test_a_poll_takes_every_page_once_and_goes_on_at_its_cursor_after_a_restart(tmp_path: Path) -> None:
    feed = Feed(rows=25, page=10)
    async with feeding(feed.answer) as base:
        root = write_project(tmp_path, base, ONE, connector=POLL.format(every=3600))
        (root / "automations" / "work.py").write_text(
            (root / "automations" / "work.py")
            .read_text()
            .replace(
                'class Ask(EventData, type="test.ask"):\n    item: str = "i"\n    n: int = 0\n',
                "from connectors.desk import Ask\n",
            )
        )
        async with running(root) as app:
            await app.until(lambda view: view.counts()["events"] == 25)
            assert events(app) == [("/polls/feed", f"r{i}") for i in range(25)]
            await app.until(lambda view: view.counts().get("runs.ended") == 25)
        assert feed.asked == ["0", "10", "20"]
        feed.rows += ["r25"]
        async with running(root) as app:
            await app.until(lambda view: view.counts()["events"] == 26)
        assert feed.asked[3:] == ["25"]


async def test_a_poll_told_the_same_again_keeps_it_once(tmp_path: Path) -> None:
    said = [
        {"rows": ["a", "b"], "cursor": "1", "more": True},
        {"rows": ["b", "c"], "cursor": "2", "more": False},
    ]
    async with (
        feeding(lambda target: _http(200, said.pop(0))) as base,
        running(write_project(tmp_path, base, "", connector=POLL.format(every=3600))) as app,
    ):
        await app.until(lambda view: view.counts()["events"] == 3)
        assert [id for _, id in events(app)] == ["a", "b", "c"]


async def test_a_failing_poll_is_shown_backs_off_and_loses_nothing(tmp_path: Path) -> None:
    feed = Feed(rows=3, page=10)
    feed.wrong = [_http(500, {}), _http(200, {"nonsense": 1}), _http(429, {}, "retry-after: 1")]
    async with feeding(feed.answer) as base:
        root = write_project(tmp_path, base, "", connector=POLL.format(every=3600), toml=SERVER)
        async with serving(root) as served:
            sources, [poll] = served.app.system.sources, list(served.app.system.project.polls.values())
            troubles: list[str] = []
            sources.on_trouble = lambda name, what: troubles.append(f"{name}: {what}")
            shown = await _shown(served.http, lambda source: source["failures"] == 1)
            assert "500" in shown["trouble"] and shown["next_at"] is not None
            for _ in range(2):
                with pytest.raises(CallFailed):
                    await sources.poll_once(poll)
            assert served.app.read(lambda view: view.counts())["events"] == 0
            await sources.poll_once(poll)
            assert [id for _, id in events(served.app)] == ["r0", "r1", "r2"]
            assert set(feed.asked) == {"0"}


async def _shown(http: Any, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    async with asyncio.timeout(20):
        while True:
            source: dict[str, Any] = (await http.get("/v1/sources")).json()["sources"][0]
            if holds(source):
                return source


async def test_an_unfit_event_of_a_page_is_told_and_does_not_hold_the_others(tmp_path: Path) -> None:
    code = """
class Strict(EventData, type="test.ask"):
    item: Literal["a", "b"]
@automation(on=Strict, agent=worker)
async def one(event: Event[Strict]) -> Outcome:
    return done(event.data.item)
"""
    said = [
        {"rows": ["a", "odd", "", "b"], "cursor": "1", "more": True},
        {"rows": [], "cursor": "2", "more": False},
    ]
    asked: list[str] = []

    def answer(target: str) -> bytes:
        asked.append(target.partition("after=")[2])
        return _http(200, said.pop(0))

    async with feeding(answer) as base:
        code = "from typing import Literal\n" + code
        root = write_project(tmp_path, base, code, connector=POLL.format(every=3600), toml=SERVER)
        async with serving(root) as served:
            shown = await _shown(served.http, lambda source: source["next_at"] is not None)
            assert "odd" in shown["trouble"] and "''" in shown["trouble"] and shown["failures"] == 0
            await served.app.until(lambda view: view.counts().get("runs.ended") == 2)
            rows = served.app.read(lambda view: view.events(after=0, limit=10))
            states = {row.occurrence.id: row.state for row in rows}
            assert states == {"a": "answered", "odd": "unanswered", "b": "answered"}
    assert asked == ["0", "1"]


async def test_a_poll_cannot_speak_for_our_own_types(tmp_path: Path) -> None:
    poll = POLL.replace('type="test.ask"', 'type="deputize.run.ended"').format(every=3600)
    async with feeding(Feed(rows=2, page=10).answer) as base:
        root = write_project(tmp_path, base, "", connector=poll, toml=SERVER)
        async with serving(root) as served:
            shown = await _shown(served.http, lambda source: source["next_at"] is not None)
            assert "deputize." in shown["trouble"] and events(served.app) == []


async def test_events_and_cursor_are_one_transaction(tmp_path: Path) -> None:
    feed = Feed(rows=3, page=10)
    async with feeding(feed.answer) as base:
        root = write_project(tmp_path, base, "", connector=POLL.format(every=3600))
        async with running(root) as app:
            await app.until(lambda view: view.counts()["events"] == 3)
            sources, [poll] = app.system.sources, list(app.system.project.polls.values())
            feed.rows += ["bad"]
            app.hooks["intake.in"] = _fail
            with pytest.raises(RuntimeError):
                await sources.poll_once(poll)
            app.hooks.clear()
            cursor = await app.system.store.write(lambda tx: tx.setting("cursor:feed"))
            assert cursor == "3" and len(events(app)) == 3
            await sources.poll_once(poll)
            cursor = await app.system.store.write(lambda tx: tx.setting("cursor:feed"))
            assert cursor == "4" and len(events(app)) == 4


def _fail() -> None:
    raise RuntimeError("planted")


# -- webhooks -----------------------------------------------------------------------------------------------


def sign(body: bytes) -> str:
    return hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()


async def test_a_signed_webhook_becomes_events_once(
    tmp_path: Path, desk: Desk, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    async with serving(write_project(tmp_path, desk.base, ONE + HOOK, toml=SERVER)) as served:
        path, body = "/v1/webhooks/orders", json.dumps({"orders": [{"id": "a"}, {"id": "b"}]}).encode()

        async def post(content: bytes, signature: str) -> Any:
            return await served.http.post(
                path, content=content, headers={"X-Sign": signature, "Host": "shop.example"}
            )

        for wrong in ("", "0" * 64, sign(body + b" ")):
            answer = await post(body, wrong)
            assert answer.status_code == 401 and answer.json()["detail"] == "not accepted"
        assert served.app.read(lambda view: view.counts())["events"] == 0
        first, again = await post(body, sign(body)), await post(body, sign(body))
        assert (first.status_code, first.json()) == (202, {"events": 2, "new": 2})
        assert (again.status_code, again.json()) == (202, {"events": 2, "new": 0})
        unread = json.dumps({"orders": [{"no": "id"}]}).encode()
        answer = await post(unread, sign(unread))
        assert answer.status_code == 422 and "log says why" in answer.json()["detail"]
        assert "KeyError" in capfd.readouterr().err
        assert (await served.http.post("/v1/webhooks/none", content=b"{}")).status_code == 404
        assert events(served.app) == [("/webhooks/orders", "a"), ("/webhooks/orders", "b")]


async def test_a_webhook_without_its_secret_does_not_start(tmp_path: Path, desk: Desk) -> None:
    root = write_project(tmp_path, desk.base, ONE + HOOK)
    with pytest.raises(Exception, match="HOOK_SECRET is not set"):
        async with running(root):
            pass


# -- schedules ----------------------------------------------------------------------------------------------


def at(text: str) -> int:
    return to_us(datetime.fromisoformat(f"2026-05-04T{text}Z"))


def scheduled(
    tmp_path: Path, desk: Desk, code: str = ONE, missed: str = "once", overlap: str = "both"
) -> Path:
    return write_project(tmp_path, desk.base, code + TICK.format(missed=missed, overlap=overlap))


async def tick(app: Running, clock: SetClock, text: str) -> list[str]:
    """Set the clock and look; the items of all runs so far."""
    clock.at_us = at(text)
    [often] = app.system.project.schedules.values()
    await app.system.sources.tick_once(often)
    return [id[11:16] for _, id in events(app)]


async def test_ticks_become_events_whose_id_is_their_time(tmp_path: Path, desk: Desk) -> None:
    clock = SetClock(at("08:00:30"))
    async with running(scheduled(tmp_path, desk), clock=clock) as app:
        assert await tick(app, clock, "08:04:59") == []
        assert await tick(app, clock, "08:05:00") == ["08:05"]
        assert await tick(app, clock, "08:05:00") == ["08:05"]
        assert await tick(app, clock, "08:10:02") == ["08:05", "08:10"]
        assert events(app)[0] == ("/schedules/often", "2026-05-04T08:05:00.000000Z")


@pytest.mark.parametrize(
    ("missed", "expected"),
    [
        ("once", ["08:05", "08:25"]),
        ("skip", ["08:05"]),
        ("all", ["08:05", "08:10", "08:15", "08:20", "08:25"]),
    ],
)
async def test_what_passed_while_nothing_ran_is_made_up_for_as_asked(
    tmp_path: Path, desk: Desk, missed: str, expected: list[str]
) -> None:
    clock = SetClock(at("08:04:30"))
    root = scheduled(tmp_path, desk, missed=missed)
    async with running(root, clock=clock) as app:
        await tick(app, clock, "08:04:31")
        await tick(app, clock, "08:05:00")
    clock.at_us = at("08:27:30")
    async with running(root, clock=clock) as app:
        assert await tick(app, clock, "08:27:30") == expected
        assert await tick(app, clock, "08:27:31") == expected
    async with running(root, clock=clock) as app:
        assert await tick(app, clock, "08:27:32") == expected


async def test_a_tick_that_fails_half_way_comes_again_and_once(tmp_path: Path, desk: Desk) -> None:
    clock = SetClock(at("08:04:30"))
    async with running(scheduled(tmp_path, desk), clock=clock) as app:
        await tick(app, clock, "08:04:31")
        app.hooks["intake.in"] = _fail
        with pytest.raises(RuntimeError):
            await tick(app, clock, "08:05:00")
        app.hooks.clear()
        assert await tick(app, clock, "08:05:01") == ["08:05"]
        assert await tick(app, clock, "08:05:02") == ["08:05"]


async def test_overlapping_ticks_are_left_out_or_queue_or_run_side_by_side(
    tmp_path: Path, desk: Desk
) -> None:
    found = {}
    for overlap in ("skip", "queue", "both"):
        clock = SetClock(at("08:04:30"))
        async with running(scheduled(tmp_path / overlap, desk, HELD, overlap=overlap), clock=clock) as app:
            for text in ("08:04:31", "08:05:00", "08:10:00"):
                await tick(app, clock, text)
            await app.until(lambda view: view.counts().get("runs.waiting", 0) >= 1)
            await app.gone()
            found[overlap] = [row.state for row in app.read(lambda view: view.runs())]
            [standing] = app.system.sources.standing()
            assert standing.skipped == (1 if overlap == "skip" else 0)
            await app.send(type="test.word", item="08:05")
            first = app.read(lambda view: view.runs())[0].id
            await app.ended(first)
            if overlap == "queue":
                await app.until(lambda view: view.counts().get("runs.waiting") == 1)
            assert (await tick(app, clock, "08:15:00"))[-1] == "08:15"
    assert found == {"skip": ["waiting"], "queue": ["waiting", "behind"], "both": ["waiting", "waiting"]}


async def test_a_schedule_ticks_by_itself(tmp_path: Path, desk: Desk) -> None:
    code = ONE + '@schedule("* * * * * *", event=Ask)\ndef each(tick):\n    return Ask(item="s")\n'
    async with running(write_project(tmp_path, desk.base, code)) as app:
        await app.until(lambda view: view.counts()["events"] >= 2)


async def test_a_schedules_code_that_raises_is_shown_and_does_not_end_it(tmp_path: Path, desk: Desk) -> None:
    code = ONE + '@schedule("* * * * * *", event=Ask)\ndef each(tick):\n    raise KeyError("planted")\n'
    told: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    async with running(write_project(tmp_path, desk.base, code)) as app:
        app.system.sources.on_trouble = lambda name, what: told.done() or told.set_result(what)
        assert "KeyError: 'planted'" in await asyncio.wait_for(told, 20)
        assert app.system.sources.standing()[0].failures >= 1


STRICT = """
from typing import Literal
class Strict(EventData, type="test.ask"):
    item: Literal["08:10", "08:15"]
@automation(on=Strict, agent=worker)
async def one(event: Event[Strict]) -> Outcome:
    return done(event.data.item)
"""


@pytest.mark.parametrize("missed", ["once", "all", "skip"])
async def test_a_tick_that_nothing_can_read_is_kept_and_told_and_the_next_one_comes(
    tmp_path: Path, desk: Desk, missed: str
) -> None:
    clock, told = SetClock(at("08:04:30")), []
    async with running(scheduled(tmp_path, desk, STRICT, missed=missed), clock=clock) as app:
        sources = app.system.sources
        sources.on_trouble = lambda name, what: told.append(f"{name}: {what}")
        await tick(app, clock, "08:04:31")
        assert await tick(app, clock, "08:05:00") == ["08:05"]
        [standing] = sources.standing()
        assert "08:10" in standing.trouble and (standing.failures, standing.last_at) == (1, at("08:05:00"))
        assert [line.partition(" ")[0] for line in told] == ["often:"]
        assert await tick(app, clock, "08:10:00") == ["08:05", "08:10"]
        await app.until(lambda view: view.counts().get("runs.ended") == 1)
        rows = app.read(lambda view: view.events(after=0, limit=10))
        assert [row.state for row in rows] == ["unanswered", "answered"]
        assert (sources.standing()[0].trouble, sources.standing()[0].failures) == ("", 0)


async def test_a_tick_whose_code_raises_is_tried_again_until_the_next_is_due(
    tmp_path: Path, desk: Desk
) -> None:
    code = """
@schedule("*/5 * * * *", event=Ask, missed="all", overlap="both")
def often(tick):
    if not allowed(tick):
        raise KeyError("planted")
    return Ask(item="i")
"""
    clock = SetClock(at("08:04:30"))
    async with running(write_project(tmp_path, desk.base, ONE + code), clock=clock) as app:
        allowed: set[str] = set()
        [often] = app.system.project.schedules.values()
        often.handler.__globals__["allowed"] = lambda tick: f"{tick:%H:%M}" in allowed
        await tick(app, clock, "08:04:31")
        for text in ("08:05:00", "08:05:30"):
            with pytest.raises(BadEvent, match="KeyError: 'planted'"):
                await tick(app, clock, text)
        allowed |= {"08:10", "08:15"}
        assert await tick(app, clock, "08:10:00") == ["08:10"]
        assert "planted" not in app.system.sources.standing()[0].trouble
        assert await tick(app, clock, "08:15:00") == ["08:10", "08:15"]
