"""Sources at work: polls and schedules, each a small task that sleeps until its time.

Events and what says where to go on (a poll's cursor, a schedule's last tick) are written in one
transaction, so a restart neither loses nor doubles any.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any
from zoneinfo import ZoneInfo

from deputize import canonical
from deputize.call import CallFailed
from deputize.cron import due_ticks, next_tick
from deputize.errors import BadEvent, DeputizeError, StoreLost
from deputize.event import ATTRIBUTE_CHARS_MAX, Occurrence
from deputize.kernel.intake import Intake, refuse_own_type
from deputize.kernel.lanes import FIRST
from deputize.kernel.parts import Parts
from deputize.kernel.ports import Poller
from deputize.sources import Poll, Schedule
from deputize.store.protocol import Tx

SLEEP_S_MAX = 60.0
BACK_OFF_S_MAX = 900.0
PAGES_MAX = 100
UNFIT_SHOWN_MAX = 10
CURSOR = "cursor:"
SCHEDULE = "schedule:"


@dataclass(frozen=True)
class Standing:
    """How a source stands, for people. Times are ledger time; `trouble` is empty while all is well."""

    name: str
    kind: str
    next_at: int | None = None
    last_at: int | None = None
    events: int = 0
    skipped: int = 0
    failures: int = 0
    trouble: str = ""


@dataclass(frozen=True)
class Page:
    """What asking once has brought: whether there is more behind it, and why events of it did not fit."""

    more: bool
    unfit: tuple[str, ...] = ()


class Sources:
    """The polls and schedules of a project. `clean` takes secrets out of what comes in; `on_trouble`
    is told of each failure (name, what)."""

    def __init__(
        self,
        parts: Parts,
        intake: Intake,
        poller: Poller,
        polls: Sequence[Poll],
        schedules: Sequence[Schedule],
        zone: ZoneInfo,
        clean: Callable[[bytes], bytes],
    ) -> None:
        self.on_trouble: Callable[[str, str], None] = lambda name, what: None
        self._parts = parts
        self._intake = intake
        self._poller = poller
        self._polls = polls
        self._schedules = schedules
        self._zone = zone
        self._clean = clean
        self._tasks: list[asyncio.Task[None]] = []
        self._standing = {p.name: Standing(p.name, "poll") for p in polls}
        self._standing |= {s.name: Standing(s.name, "schedule") for s in schedules}
        # Schedules whose last tick no automation could read.
        self._unread: set[str] = set()

    def standing(self) -> list[Standing]:
        """How each source stands."""
        return list(self._standing.values())

    def start(self) -> None:
        """Begin, on the running loop."""
        loop = asyncio.get_running_loop()
        for poll in self._polls:
            self._watch(poll.name, loop.create_task(self._poll_forever(poll)))
        for schedule in self._schedules:
            self._watch(schedule.name, loop.create_task(self._tick_forever(schedule)))

    async def stop(self) -> None:
        """Leave them where they are; what is durable says where to go on."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()

    def _watch(self, name: str, task: asyncio.Task[None]) -> None:
        """No source ends unseen."""

        def ended(done: asyncio.Task[None]) -> None:
            error = None if done.cancelled() else done.exception()
            if error is not None:
                self._fail(name, f"it has ended by an error of ours: {type(error).__name__}: {error}")

        task.add_done_callback(ended)
        self._tasks.append(task)

    # -- polls ----------------------------------------------------------------------------------------

    async def _poll_forever(self, poll: Poll) -> None:
        every_s = poll.every.total_seconds()
        while True:
            retry_after_s = 0.0
            try:
                unfit = await self._poll_pages(poll)
                self._note(poll.name, failures=0, trouble="; ".join(unfit))
            except CallFailed as error:
                retry_after_s = error.retry_after_s or 0.0
                self._fail(poll.name, error.reason)
            except StoreLost:
                return
            except DeputizeError as error:
                self._fail(poll.name, str(error))
            failures = self._standing[poll.name].failures
            back_off_s = min(every_s * 2.0 ** min(failures, 20), max(BACK_OFF_S_MAX, every_s))
            wait_s = min(max(back_off_s, retry_after_s), max(BACK_OFF_S_MAX, every_s))
            self._note(poll.name, next_at=self._now() + int(wait_s * 1e6))
            await asyncio.sleep(wait_s * (1 + 0.05 * self._parts.random.random()))

    async def _poll_pages(self, poll: Poll) -> list[str]:
        """Ask until there is no more. Returns why events did not fit, the first few."""
        unfit: list[str] = []
        for _ in range(PAGES_MAX):
            page = await self.poll_once(poll)
            unfit += page.unfit[: UNFIT_SHOWN_MAX - len(unfit)]
            if not page.more:
                break
        return unfit

    async def poll_once(self, poll: Poll) -> Page:
        """Ask once and keep what came, cursor included.

        An event that no automation of its type can read is kept unanswered; one without a lawful id
        or of a type of our own is left out. Both are told, and neither holds up the others.
        Raises `CallFailed` where the service could not tell, `Overloaded`, `StoreError`.
        """
        name = CURSOR + poll.name
        scope = f"connector:{poll.connector}"
        lane = self._parts.lane_of(scope)
        await self._parts.stops.wait(scope)
        cursor = await self._parts.store.write(lambda tx: tx.setting(name))
        await lane.enter(FIRST)
        try:
            stored = await self._poller.poll(poll, poll.cursor if cursor is None else cursor)
        except CallFailed as error:
            if error.retry_after_s is not None:
                lane.hold_off(min(error.retry_after_s, SLEEP_S_MAX))
            raise
        finally:
            lane.leave(FIRST)
        found = canonical.decode(stored)
        at = self._now()
        occurrences, unfit = _polled(poll, found["events"], at)

        def advance(tx: Tx) -> None:
            tx.set_setting(name, found["cursor"])

        arrivals = await self._intake.accept(occurrences, also=advance)
        new = sum(not arrival.duplicate for arrival in arrivals)
        for occurrence, arrival in zip(occurrences, arrivals, strict=True):
            unfit += [f"event {occurrence.id!r} is kept, and {why}" for why in arrival.unfit]
        for why in unfit[:UNFIT_SHOWN_MAX]:
            self.on_trouble(poll.name, why)
        standing = self._standing[poll.name]
        self._note(poll.name, last_at=at, events=standing.events + new)
        return Page(bool(found["more"]) and found["cursor"] != cursor, tuple(unfit))

    # -- schedules --------------------------------------------------------------------------------------

    async def _tick_forever(self, schedule: Schedule) -> None:
        zone = schedule.zone or self._zone
        while True:
            last = self._now()
            try:
                last = await self.tick_once(schedule)
            except StoreLost:
                return
            except DeputizeError as error:
                self._fail(schedule.name, str(error))
            due = next_tick(schedule.cron, zone, last)
            self._note(schedule.name, next_at=due)
            # Wall time may be changed under us: look at least once a minute.
            await asyncio.sleep(min(max((due - self._now()) / 1e6, 0.001), SLEEP_S_MAX))

    async def tick_once(self, schedule: Schedule) -> int:
        """Turn what is due into events. Returns the ledger time up to which it has looked.

        A tick whose code fails is left out once a later one is due. Raises `BadEvent` where that of the
        last one fails, `Overloaded`, `StoreError`.
        """
        name, zone, now = SCHEDULE + schedule.name, schedule.zone or self._zone, self._now()
        state = await self._parts.store.write(lambda tx: _state(tx, name, now))
        ticks = due_ticks(schedule.cron, zone, state["last"], now, schedule.missed)
        for at in ticks:
            try:
                occurrence = self._cleaned(schedule.tick(at, self._zone))
                refuse_own_type(occurrence)
            except BadEvent as error:
                if at == ticks[-1]:
                    raise
                self._fail(schedule.name, str(error))
            else:
                await self._take_tick(schedule, occurrence, state)
        self._note(schedule.name, skipped=state["skipped"])
        if schedule.name not in self._unread:
            self._note(schedule.name, failures=0, trouble="")
        return max(int(state["last"]), now) if len(ticks) == 0 else int(state["last"])

    async def _take_tick(self, schedule: Schedule, tick: Occurrence, state: dict[str, Any]) -> None:
        """Keep one tick, or leave it out because the one before is under way.

        One that no automation of its type can read is kept unanswered and told: it would never fit, and
        must not hold up those after it.
        """
        name = SCHEDULE + schedule.name
        if schedule.overlap == "skip" and await self._under_way(schedule, state["event"]):
            state |= {"last": tick.time_us, "skipped": state["skipped"] + 1}
            await self._parts.store.write(_keeping(name, state))
            return
        state |= {"last": tick.time_us, "event": tick.id}
        key = name if schedule.overlap == "queue" else None
        [arrival] = await self._intake.accept([tick], also=_keeping(name, state), key=key)
        standing = self._standing[schedule.name]
        self._note(schedule.name, last_at=tick.time_us, events=standing.events + 1)
        self._unread.discard(schedule.name)
        if arrival.unfit:
            self._unread.add(schedule.name)
            self._fail(schedule.name, f"the tick {tick.id} is kept, and {'; '.join(arrival.unfit)}")

    async def _under_way(self, schedule: Schedule, event_id: str) -> bool:
        """Whether a run of the tick before has not ended."""
        if not event_id:
            return False
        names = self._intake.run_ids(schedule.event.event_type, schedule.source, event_id)

        def look(tx: Tx) -> bool:
            runs = [tx.run(name) for name in names]
            return any(run is not None and run.state != "ended" for run in runs)

        return await self._parts.store.write(look)

    def _cleaned(self, occurrence: Occurrence) -> Occurrence:
        return replace(occurrence, data=self._clean(occurrence.data))

    def _note(self, name: str, **changes: Any) -> None:
        self._standing[name] = replace(self._standing[name], **changes)

    def _fail(self, name: str, what: str) -> None:
        self._note(name, failures=self._standing[name].failures + 1, trouble=what)
        self.on_trouble(name, what)

    def _now(self) -> int:
        return self._parts.time.now_us()


def _polled(poll: Poll, events: Sequence[Any], at_us: int) -> tuple[list[Occurrence], list[str]]:
    """What a poll has brought as events, and why others of it can be none."""
    occurrences, unfit = [], []
    for event in events:
        id, data = event["id"], canonical.encode(event["data"])
        if not isinstance(id, str) or not 1 <= len(id) <= ATTRIBUTE_CHARS_MAX:
            limit = f"text of 1 to {ATTRIBUTE_CHARS_MAX} characters"
            unfit.append(f"{poll.where}: event {id!r:.60} is left out: an event's id must be {limit}")
            continue
        occurrence = Occurrence(poll.source, id, event["type"], "", at_us, data)
        try:
            refuse_own_type(occurrence)
        except BadEvent as error:
            unfit.append(f"{poll.where}: left out: {error}")
        else:
            occurrences.append(occurrence)
    return occurrences, unfit


def _state(tx: Tx, name: str, now_us: int) -> dict[str, Any]:
    """What is durable of a schedule; one that is new begins now."""
    stored = tx.setting(name)
    if stored is not None:
        state: dict[str, Any] = canonical.decode(stored)
        return state
    state = {"last": now_us, "event": "", "skipped": 0}
    _keeping(name, state)(tx)
    return state


def _keeping(name: str, state: dict[str, Any]) -> Callable[[Tx], None]:
    text = canonical.encode(state).decode()
    return lambda tx: tx.set_setting(name, text)
