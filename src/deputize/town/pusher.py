"""Pushing the feed to whoever handles it: at its speed, durably, until every event was accepted."""

import asyncio
import json
import sqlite3
from collections.abc import Iterator
from itertools import islice
from random import Random
from typing import Any

from pydantic import Field

from deputize.town.settling import add_deals, add_people
from deputize.town.stories import EVENTS_MAX, Event, feed, volumes
from deputize.town.wire import Problem, Wire
from deputize.town.world import World

CHUNK = 100
QUEUE_MAX = 32
SENDERS = 4
DUPLICATES = 0.02
STRAGGLERS = 0.1
TIMEOUT_S = 10.0
BACKOFF_S_MAX = 2.0
RETRY_AFTER_S_MAX = 60.0
UNPACED_PER_SECOND = 1_000.0
REFUSED = (400, 413, 415, 422)
PROGRESS = f"""
SELECT count(*) FILTER (WHERE attempts > 0 AND NOT duplicate) AS sent,
  coalesce(sum(attempts), 0) AS tries,
  count(*) FILTER (WHERE status NOT IN {REFUSED} AND NOT duplicate) AS accepted,
  count(*) FILTER (WHERE status IN {REFUSED} AND NOT duplicate) AS rejected,
  count(*) FILTER (WHERE status IS NOT NULL AND duplicate) AS duplicates,
  count(*) FILTER (WHERE status IS NULL) AS open
FROM sendings WHERE feed = ?"""


class FeedAsk(Wire):
    """What to feed to whom. The same `name` again goes on where it was, to the url and at the speed given."""

    url: str = Field(pattern="^https?://")
    days: int | None = Field(default=None, ge=1)
    events: int | None = Field(default=None, ge=1, le=EVENTS_MAX)
    per_day: int = Field(default=120, ge=1)
    per_second: float | None = Field(default=None, gt=0)
    token: str | None = Field(default=None, pattern="^[!-~]+$")
    name: str = "feed"

    def amount(self) -> str:
        """How much is asked for, as it is stored and compared."""
        return json.dumps({"days": self.days, "events": self.events, "per_day": self.per_day})


class Pusher:
    """Plans the feed a chunk at a time and sends it; both are durable before they count."""

    def __init__(self, world: World, seed: int, customers: int) -> None:
        self._world = world
        self._seed = seed
        self._customers = customers
        self._wake = asyncio.Event()
        self._wake.set()
        self._quiet_until_s = 0.0
        self._error: str | None = None

    def start(self, ask: FeedAsk) -> dict[str, Any]:
        """Begin a feed, or go on with the one of this name. Raises `Problem` when another is unfinished."""
        latest = self._latest()
        row = self._world.db.execute("SELECT * FROM feeds WHERE name = ?", (ask.name,)).fetchone()
        if row is not None and row["amount"] != ask.amount():
            raise Problem(409, "other-amount", f"the feed {ask.name} was begun with {row['amount']}")
        if latest is not None and latest["name"] != ask.name and not self.status()["done"]:
            raise Problem(409, "feed-unfinished", f"the feed {latest['name']} is not done yet")
        if row is None:
            self._begin(ask)
        self._world.db.execute(
            "UPDATE feeds SET url = ?, token = ?, per_second = ? WHERE name = ?",
            (ask.url, ask.token, ask.per_second, ask.name),
        )
        self._quiet_until_s = 0.0
        self._wake.set()
        return self.status()

    def status(self) -> dict[str, Any]:
        """How far the latest feed is. `sent` counts events tried at least once, `duplicates` those resent."""
        feed_row = self._latest()
        if feed_row is None:
            return {"name": None, "total": 0, "sent": 0, "accepted": 0, "remaining": 0, "done": True}
        row = self._world.db.execute(PROGRESS, (feed_row["no"],)).fetchone()
        figures = dict(row)
        unsettled = figures.pop("open")
        return {
            "name": feed_row["name"],
            "url": feed_row["url"],
            "per_second": feed_row["per_second"],
            "total": feed_row["total"],
            **figures,
            "remaining": feed_row["total"] - figures["accepted"] - figures["rejected"],
            "done": feed_row["planned"] == feed_row["total"] and unsettled == 0,
            "last_error": self._error,
        }

    async def run(self) -> None:
        """Push whatever is unfinished, now and whenever `start` is called; ends by being cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            if not self.status()["done"]:
                await self._push(self._row()["no"])

    def _begin(self, ask: FeedAsk) -> None:
        try:
            total = sum(volumes(self._seed, ask.days, ask.events, ask.per_day))
        except ValueError as error:
            raise Problem(422, "invalid", str(error)) from error
        day_s = ask.per_day / (ask.per_second or UNPACED_PER_SECOND)
        # A quarter of a day back, so that no event is dated after its sending however a day is shaped.
        start_s = self._world.now_s() - day_s / 4
        self._world.db.execute(
            "INSERT INTO feeds (name, amount, total, start_s, day_s, url) VALUES (?,?,?,?,?,?)",
            (ask.name, ask.amount(), total, start_s, day_s, ask.url),
        )

    def _latest(self) -> sqlite3.Row | None:
        row: sqlite3.Row | None = self._world.db.execute(
            "SELECT * FROM feeds ORDER BY no DESC LIMIT 1"
        ).fetchone()
        return row

    def _row(self) -> sqlite3.Row:
        row = self._latest()
        assert row is not None, "there is a feed once one was begun"
        return row

    def _stories(self, row: sqlite3.Row) -> Iterator[Event]:
        amount = json.loads(row["amount"])
        stories = feed(
            self._seed,
            amount["days"],
            events=amount["events"],
            per_day=amount["per_day"],
            name=str(row["no"]),
            start_s=row["start_s"],
            day_s=row["day_s"],
            customers=self._customers,
        )
        return islice(stories, row["planned"], None)

    def _plan(self, no: int, chunk: list[Event]) -> None:
        """Let the people and orders of a chunk be, and put its sendings into their order."""
        db = self._world.db
        rng = Random(f"{self._seed}:{chunk[0].id}:sendings")
        sendings: list[tuple[float, int, bool]] = []
        with self._world.transaction():
            for place, event in enumerate(chunk):
                add_people(self._world, event.people)
                add_deals(self._world, event.deals)
                expected = event.expected
                envelope = json.dumps(event.envelope(), ensure_ascii=False)
                seq = db.execute(
                    "INSERT INTO events (feed, id, type, envelope, outcome, refund_minor, mail)"
                    " VALUES (?,?,?,?,?,?,?)",
                    (
                        no,
                        event.id,
                        event.type,
                        envelope,
                        expected.outcome,
                        expected.refund_minor,
                        expected.mail,
                    ),
                ).lastrowid
                assert seq is not None, "SQLite numbers every row it inserts"
                late = rng.uniform(1, 4) if rng.random() < STRAGGLERS else 0.0
                sendings.append((place + late, seq, False))
                if rng.random() < DUPLICATES:
                    sendings.append((place + rng.uniform(8, 25), seq, True))
            db.executemany(
                "INSERT INTO sendings (feed, event, duplicate) VALUES (?,?,?)",
                [(no, seq, duplicate) for _, seq, duplicate in sorted(sendings)],
            )
            db.execute("UPDATE feeds SET planned = planned + ? WHERE no = ?", (len(chunk), no))

    async def _push(self, no: int) -> None:
        import httpx2  # here, because a town without a feed starts faster without it

        queue: asyncio.Queue[tuple[int, str] | None] = asyncio.Queue(QUEUE_MAX)
        async with (
            httpx2.AsyncClient(timeout=TIMEOUT_S, trust_env=False) as client,
            asyncio.TaskGroup() as group,
        ):

            async def send() -> None:
                while (sending := await queue.get()) is not None:
                    await self._deliver(client, *sending)

            for _ in range(SENDERS):
                group.create_task(send())
            await self._fill(no, queue)
            for _ in range(SENDERS):
                await queue.put(None)

    async def _fill(self, no: int, queue: "asyncio.Queue[tuple[int, str] | None]") -> None:
        stories = self._stories(self._row())
        place, next_s = 0, 0.0
        loop = asyncio.get_running_loop()
        while True:  # as often as there are sendings: each turn passes some, plans some, or is the last
            rows = self._world.db.execute(
                "SELECT place, envelope FROM sendings JOIN events ON seq = event WHERE sendings.feed = ?"
                " AND status IS NULL AND place > ? ORDER BY place LIMIT ?",
                (no, place, QUEUE_MAX),
            ).fetchall()
            if not rows:
                chunk = list(islice(stories, CHUNK))
                if not chunk:
                    return
                self._plan(no, chunk)
            for row in rows:
                per_second = self._row()["per_second"]
                if per_second is not None:
                    next_s = max(next_s, loop.time()) + 1 / per_second
                    await asyncio.sleep(next_s - 1 / per_second - loop.time())
                place = row["place"]
                await queue.put((place, row["envelope"]))

    async def _deliver(self, client: Any, place: int, envelope: str) -> None:
        """Send until it is accepted or refused for good; only that, or the town's end, stops it."""
        loop = asyncio.get_running_loop()
        backoff_s = 0.05
        while True:
            await asyncio.sleep(max(0.0, self._quiet_until_s - loop.time()))
            status, wait_s = await self._send(client, place, envelope)
            if status is not None:
                self._world.db.execute("UPDATE sendings SET status = ? WHERE place = ?", (status, place))
                return
            if wait_s is not None:
                self._quiet_until_s = max(self._quiet_until_s, loop.time() + wait_s)
            else:
                await asyncio.sleep(backoff_s)
                backoff_s = min(backoff_s * 2, BACKOFF_S_MAX)

    async def _send(self, client: Any, place: int, envelope: str) -> tuple[int | None, float | None]:
        """One attempt: the final status, or how long everyone should be quiet, or neither (try again)."""
        import httpx2

        row = self._row()
        headers = {"Content-Type": "application/cloudevents+json"}
        if row["token"]:
            headers["Authorization"] = f"Bearer {row['token']}"
        self._world.db.execute("UPDATE sendings SET attempts = attempts + 1 WHERE place = ?", (place,))
        try:
            answer = await client.post(row["url"], content=envelope.encode(), headers=headers)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            self._error = f"{type(error).__name__}: {error}"
            return None, None
        status = int(answer.status_code)
        if 200 <= status < 300 or status == 409 or status in REFUSED:
            self._error = f"{status}: {answer.text[:200]}" if status in REFUSED else None
            return status, None
        self._error = f"{status}: {answer.text[:200]}"
        return None, _retry_after_s(answer.headers.get("retry-after")) if status in (429, 503) else None


def _retry_after_s(value: str | None) -> float:
    try:
        wait_s = float(value or 1)
    except ValueError:
        return 1.0  # a date: too coarse to be worth reading
    return min(max(wait_s, 0.0), RETRY_AFTER_S_MAX)
