"""Replay equals live: whatever an automation does, its run steps the same way again from every prefix of
its record. The automations are random programs, run live by a whole system on a connector in this process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from deputize import (
    ActionError,
    Event,
    EventData,
    Outcome,
    attempt,
    automation,
    done,
    gave_up,
    new_id,
    now,
    random,
    seconds,
    send,
    sleep,
    together,
    wait_for,
)
from deputize.awaiting import Awaiting
from deputize.kernel.live import Asks, Ends, LiveRun
from deputize.kernel.result import read_record
from deputize.kernel.stepping import advance, digest_of, evict, name_of
from deputize.ledger import Entry
from deputize.store.protocol import EventRow, RunRow, View
from tests.support.living import living
from tests.support.running import Running
from tests.unit.driver_desk import connector, file, read, worker, write

T = TypeVar("T")


class Do(BaseModel):
    """One step of a program: `declines` makes the desk say no, `wants` what is expected and not so."""

    what: Literal["write", "file", "read", "sleep", "send", "wait", "hear"]
    declines: bool = False
    unmet: bool = False
    attempted: bool = False


class Together(BaseModel):
    of: list[Do]


class Branch(BaseModel):
    """On the result before: one way where it went well, the other where it did not."""

    well: list[Do]
    badly: list[Do]


class Guarded(BaseModel):
    """Steps whose first failure is caught."""

    of: list[Do]


Program = list[Do | Together | Branch | Guarded]


class Play(EventData, type="test.play"):
    program: Program


class Told(EventData, type="test.told"):
    token: str


@dataclass
class Player:
    """Performs a program, and keeps what it saw."""

    seen: list[str]
    well: bool = True

    def build(self, do: Do) -> Awaiting[Any]:
        said = f"{now().isoformat()} {new_id()} {random().random()} {len(self.seen)}"
        item = f"no-{said[-3:]}" if do.declines else said[-3:]
        built: Awaiting[Any]
        if do.what == "write":
            action = write(item=item, text=said).because("the program says so")
            built = action.expecting(length=0) if do.unmet else action
        elif do.what == "file":
            built = file(item=item, text=said)
        elif do.what == "read":
            built = read(item=item)
        elif do.what == "sleep":
            built = sleep(seconds(0.001))
        elif do.what == "send":
            built = send(Told(token=new_id()))
        else:
            built = wait_for(Told, matching={"token": said}, within=seconds(0))
        return attempt(built) if do.attempted else built

    async def one(self, do: Do) -> None:
        if do.what == "hear":
            token = new_id()
            await send(Told(token=token))
            heard = await wait_for(Told, matching={"token": token}, within=seconds(60))
            assert heard.data.token == token
            self.saw(heard.id)
            return
        self.saw(await self.build(do))

    async def step(self, step: Do | Together | Branch | Guarded) -> None:
        if isinstance(step, Do):
            await self.one(step)
        elif isinstance(step, Together):
            for got in await together(
                *[self.build(do) for do in step.of if do.what != "hear"] or [sleep(seconds(0))]
            ):
                self.saw(got)
        elif isinstance(step, Branch):
            for do in step.well if self.well else step.badly:
                await self.one(do)
        else:
            try:
                for do in step.of:
                    await self.one(do)
            except ActionError as error:
                self.saw(error)

    def saw(self, got: object) -> None:
        self.well = not isinstance(got, ActionError)
        self.seen.append(f"{now().isoformat()} {type(got).__name__} {got}")


@automation(on=Play, agent=worker)
async def plays(event: Event[Play]) -> Outcome:
    player = Player([])
    try:
        for step in event.data.program:
            await player.step(step)
    except ActionError as error:
        player.saw(error)
        return gave_up(type(error).__name__, seen=player.seen)
    return done("played", seen=player.seen)


# -- the live side, on a loop of its own ---------------------------------------------------------------


class Stage:
    """One system for all programs, on a thread of its own."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._serial = 0

    def __enter__(self) -> Stage:
        self._thread.start()
        self._living = living(self._root, [plays], [connector], restart=pytest.fail)
        self.at: Running = self.call(self._living.__aenter__())
        return self

    def __exit__(self, *raised: Any) -> None:
        try:
            self.call(self._living.__aexit__(*raised))
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(10)
            self._loop.close()

    def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(60)

    def play(self, program: Program) -> tuple[RunRow, list[Entry]]:
        """Run a program to its end."""
        self._serial += 1
        data = Play(program=program).model_dump(mode="json")
        run = self.call(self.at.send(f"p{self._serial}", "test.play", **data))
        (row,) = self.call(self.at.ended(run))
        return row, self.at.entries(run)

    def reloaded(self, row: RunRow, entries: Sequence[Entry]) -> LiveRun:
        """The run as a restart would bring it into memory with these entries."""

        def event(view: View, seq: int) -> EventRow:
            found = view.event(seq)
            assert found is not None
            return found

        seqs = [e.body["event"]["seq"] for e in entries if e.type == "woke" and e.body and "event" in e.body]
        data = self.at.read(lambda view: {seq: event(view, seq).occurrence.data for seq in seqs})
        kept = self.at.read(lambda view: event(view, row.event)).occurrence
        run: LiveRun = self.at.kernel.intake.live_run(
            row.no, row.id, plays, kept, row.event, {}, None, row.began_at
        )
        run.record = read_record(entries, data)
        return run


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with Stage(tmp_path_factory.mktemp("replay")) as stage:
        yield stage


DO = st.builds(
    Do,
    what=st.sampled_from(["write", "write", "file", "read", "sleep", "send", "wait", "hear"]),
    declines=st.sampled_from([False, False, True]),
    unmet=st.sampled_from([False, False, False, True]),
    attempted=st.booleans(),
)
SOME = st.lists(DO, max_size=4)
STEP = st.one_of(
    DO,
    st.builds(Together, of=SOME),
    st.builds(Branch, well=SOME, badly=SOME),
    st.builds(Guarded, of=SOME),
)


@given(program=st.lists(STEP, min_size=1, max_size=6))
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_every_prefix_of_a_record_replays_as_it_was_lived(stage: Stage, program: Program) -> None:
    row, entries = stage.play(program)
    *lived, last = entries
    assert last.type == "ended"
    assert last.body is not None
    whole = stage.reloaded(row, lived).record
    for length in range(1, len(lived) + 1):
        run = stage.reloaded(row, lived[:length])
        stepped = advance(run)
        evict(run)
        if isinstance(stepped, Asks):
            assert run.turn >= run.recorded_to
            for leaf in run.leaves:
                known = whole.get(leaf.path)
                assert known is not None
                assert (known.what, known.digest) == (name_of(leaf.awaiting), digest_of(leaf.awaiting))
            assert [leaf.path for leaf in stepped.leaves] == [
                leaf.path for leaf in run.leaves if leaf.path not in run.record
            ]
        else:
            assert isinstance(stepped, Ends), stepped
            assert (stepped.kind, stepped.outcome.label) == (last.body["kind"], last.body["label"])
            assert stepped.outcome.details == last.body["details"]
    assert isinstance(stepped, Ends)
