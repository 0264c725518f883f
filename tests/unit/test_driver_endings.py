"""However an automation ends, its run ends with a reason that people can read, and nothing else is hurt."""

from __future__ import annotations

import gc
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, cast

import pytest

from deputize import (
    Event,
    EventData,
    Outcome,
    attempt,
    automation,
    continue_with,
    done,
    gave_up,
    seconds,
    send,
    sleep,
    together,
    wait_for,
)
from deputize.action import Action
from deputize.automation import Automation
from deputize.errors import CodeError, ProjectError
from deputize.kernel.live import Asks, Ends
from deputize.kernel.stepping import Evicted, evict
from tests.support.living import living, lone_run, step
from tests.unit.driver_desk import Ask, Note, connector, line_of, worker, write

Handler = Callable[[Event[Ask]], Any]
FAILING: list[tuple[Automation, str]] = []


def fails(says: str) -> Callable[[Handler], Handler]:
    def keep(handler: Handler) -> Handler:
        FAILING.append((automation(on=Ask, agent=worker)(handler), says))
        return handler

    return keep


class Silent(Exception):
    def __str__(self) -> str:
        raise ValueError("no words")

    __repr__ = __str__


class Rude(Exception):
    def __str__(self) -> str:
        raise SystemExit(3)


class Unprintable:
    def __str__(self) -> str:
        raise ValueError("no words")

    __repr__ = __str__


@fails("ValueError: out of range")
async def raises(event: Event[Ask]) -> Outcome:
    raise ValueError("out of range")  # here


@fails("ZeroDivisionError: division by zero")
async def fails_in_a_helper(event: Event[Ask]) -> Outcome:
    return done(str(helper(0)))


def helper(n: int) -> float:
    return 1 / n


@fails("SystemExit: 3")
async def exits(event: Event[Ask]) -> Outcome:
    raise SystemExit(3)  # here


@fails("KeyboardInterrupt")
async def interrupts(event: Event[Ask]) -> Outcome:
    raise KeyboardInterrupt  # here


@fails("GeneratorExit")
async def raises_generator_exit(event: Event[Ask]) -> Outcome:
    raise GeneratorExit  # here


@fails("Evicted")
async def raises_what_is_private(event: Event[Ask]) -> Outcome:
    raise Evicted  # here


@fails("BaseException: of its own")
async def raises_a_base_exception(event: Event[Ask]) -> Outcome:
    raise BaseException("of its own")  # here


@fails("coroutine raised StopIteration")
async def raises_stop_iteration(event: Event[Ask]) -> Outcome:
    raise StopIteration  # here


@fails("RecursionError: maximum recursion depth exceeded")
async def recurses(event: Event[Ask]) -> Outcome:
    def deeper(n: int) -> int:
        return deeper(n + 1)  # here

    return done(str(deeper(0)))


@fails("MemoryError")
async def wants_too_much_memory(event: Event[Ask]) -> Outcome:
    bytearray(1 << 60)  # here
    return done()


@fails("(its text cannot be shown: ValueError)")
async def raises_what_has_no_text(event: Event[Ask]) -> Outcome:
    raise Silent  # here


@fails("(its text cannot be shown: SystemExit)")
async def raises_what_exits_when_shown(event: Event[Ask]) -> Outcome:
    raise Rude  # here


@fails("xxxxxxxxxx")
async def raises_a_book(event: Event[Ask]) -> Outcome:
    raise ValueError("x" * 10_000_000)  # here


@fails("\\ud800")
async def raises_half_a_character(event: Event[Ask]) -> Outcome:
    raise ValueError("\ud800")  # here


@fails("returned NoneType")
async def returns_nothing(event: Event[Ask]) -> Outcome:
    return cast(Outcome, None)


@fails("returned str")
async def returns_text(event: Event[Ask]) -> Outcome:
    return cast(Outcome, "done")


@fails("returned coroutine: write `await` before it")
async def returns_a_coroutine(event: Event[Ask]) -> Outcome:
    coroutine = raises(event)
    coroutine.close()
    return cast(Outcome, coroutine)


@fails("returned generator")
async def returns_a_generator(event: Event[Ask]) -> Outcome:
    return cast(Outcome, (n for n in range(3)))


@fails("returned Outcome")
async def returns_an_outcome_of_no_kind(event: Event[Ask]) -> Outcome:
    return Outcome(cast(Any, "splendid"))


@fails("a label is text of at most 200 characters")
async def returns_a_long_label(event: Event[Ask]) -> Outcome:
    return done("x" * 201)


@fails("a label is text of at most 200 characters")
async def returns_a_label_that_is_no_text(event: Event[Ask]) -> Outcome:
    return done(cast(str, 7))


@fails("ValueError: no words")
async def returns_what_cannot_be_shown(event: Event[Ask]) -> Outcome:
    return done(what=Unprintable())


@fails("RecursionError")
async def returns_a_circle(event: Event[Ask]) -> Outcome:
    circle: list[Any] = []
    circle.append(circle)
    return done(what=circle)


@fails("return a reference")
async def returns_a_flood(event: Event[Ask]) -> Outcome:
    return done(what="x" * 2_000_000)


@fails("continue_with() takes an EventData, and got a dict")
async def continues_with_no_event(event: Event[Ask]) -> Outcome:
    return continue_with(cast(EventData, {}))  # here


@fails("because() takes a sentence of at most 2,000 characters")
async def explains_at_length(event: Event[Ask]) -> Outcome:
    await write(item="i").because("x" * 2_001)  # here
    return done()


@fails("expecting(): ")
async def expects_what_json_cannot_hold(event: Event[Ask]) -> Outcome:
    await write(item="i").expecting(length=object())  # here
    return done()


@fails("desk.write returns nothing called 'lenght'; did you mean 'length'?")
async def expects_an_unknown_field(event: Event[Ask]) -> Outcome:
    await write(item="i").expecting(lenght=3)  # here
    return done()


@fails("wait_for(): matching")
async def waits_for_what_json_cannot_hold(event: Event[Ask]) -> Outcome:
    await wait_for(Ask, matching={"item": object()}, within=seconds(1))  # here
    return done()


@fails("an event holds at most 1,000,000 bytes")
async def sends_a_flood(event: Event[Ask]) -> Outcome:
    await send(Ask(item="x" * 1_000_001))  # here
    return done()


@fails("desk.write(…) built at")
async def builds_and_never_awaits(event: Event[Ask]) -> Outcome:
    write(item="i")  # type: ignore[unused-awaitable] # here
    return done()


@fails("was never awaited, so it was never done; write `await` before it")
async def keeps_and_never_awaits(event: Event[Ask]) -> Outcome:
    kept = write(item="i").because("some day")  # here
    return done(str(kept.operation.name))


@fails("attempt(desk.write(…)) built at")
async def attempts_and_never_awaits(event: Event[Ask]) -> Outcome:
    attempt(write(item="i"))  # type: ignore[unused-awaitable] # here
    return done()


@fails("attempt() takes one action; inside together() put it round each action")
async def attempts_together(event: Event[Ask]) -> Outcome:
    await attempt(together(write(item="a"), write(item="b")))  # here
    return done()


@fails("together() inside together() is not supported")
async def nests_together(event: Event[Ask]) -> Outcome:
    await together(together(write(item="a")), write(item="b"))  # here
    return done()


@fails("together() takes actions, sleep(), wait_for() and send(), and got a coroutine")
async def runs_helpers_together(event: Event[Ask]) -> Outcome:
    coroutine = raises(event)
    try:
        await together(cast(Any, coroutine))  # here
    finally:
        coroutine.close()
    return done()


@fails("together() takes 1 to 100 actions, and got 0")
async def runs_nothing_together(event: Event[Ask]) -> Outcome:
    await together()  # here
    return done()


@fails("a wait must last between 0 and 10 years")
async def sleeps_backwards(event: Event[Ask]) -> Outcome:
    await sleep(seconds(-1))  # here
    return done()


def name_of(value: object) -> str:
    return value.name if isinstance(value, Automation) else ""


@pytest.mark.parametrize(("automation", "says"), FAILING, ids=name_of)
def test_a_failure_ends_the_run_with_a_readable_reason_and_its_place(
    automation: Automation, says: str
) -> None:
    ended = step(lone_run(automation))
    assert isinstance(ended, Ends)
    assert ended.kind == "failed"
    assert says in ended.reason
    assert len(ended.reason) < 3_000
    ended.reason.encode()
    if "# here" in inspect.getsource(automation.handler):
        assert line_of(automation) in ended.reason
    assert __file__ in ended.reason


async def test_none_of_these_harms_another_run_or_the_process(tmp_path: Path) -> None:
    healthy = automation(on=Ask, agent=worker, name="healthy")(healthy_handler)
    async with living(tmp_path, [*(one for one, _ in FAILING), healthy], [connector]) as at:
        await at.send_all([("test.ask", {"item": "a"}), ("test.ask", {"item": "b"})])
        runs = at.read(lambda view: view.runs(limit=1_000))
        assert len(runs) == 2 * (len(FAILING) + 1)
        for row in await at.ended(*[run.id for run in runs]):
            assert row.label == ("done(written)" if row.automation == "healthy" else "failed")


async def healthy_handler(event: Event[Ask]) -> Outcome:
    await write(item=event.data.item)
    return done("written")


def test_the_chain_of_causes_is_told_outermost_first() -> None:
    @automation(on=Ask, agent=worker)
    async def chain(event: Event[Ask]) -> Outcome:
        try:
            try:
                raise KeyError("k")
            except KeyError as first:
                raise ValueError("v") from first
        except ValueError:
            raise TypeError("t")  # noqa: B904

    ended = step(lone_run(chain))
    assert isinstance(ended, Ends)
    assert [cause["type"] for cause in ended.causes] == ["TypeError", "ValueError", "KeyError"]
    assert all(str(Path(__file__)) in cause["where"] for cause in ended.causes)


def test_causes_that_go_in_a_circle_or_have_no_end_are_cut() -> None:
    def circle() -> NoReturn:
        one, other = ValueError("one"), TypeError("other")
        one.__cause__, other.__cause__ = other, one
        raise one

    def long() -> NoReturn:
        error: BaseException = ValueError("0")
        for n in range(1, 50):
            following = ValueError(str(n))
            following.__cause__ = error
            error = following
        raise error

    @automation(on=Ask, agent=worker)
    async def circular(event: Event[Ask]) -> Outcome:
        circle()

    @automation(on=Ask, agent=worker)
    async def endless(event: Event[Ask]) -> Outcome:
        long()

    first, second = step(lone_run(circular)), step(lone_run(endless))
    assert isinstance(first, Ends)
    assert isinstance(second, Ends)
    assert [cause["message"] for cause in first.causes] == ["one", "other"]
    assert len(second.causes) == 10


def test_an_async_generator_is_refused_when_the_project_loads() -> None:
    async def yields(event: Event[Ask]) -> Any:
        yield done()

    with pytest.raises(ProjectError, match="yields has a `yield`; an automation awaits, and returns once"):
        automation(on=Ask, agent=worker)(yields)


def test_details_reach_the_ledger_as_plain_data() -> None:
    @automation(on=Ask, agent=worker)
    async def details(event: Event[Ask]) -> Outcome:
        return gave_up("odd", note=Note(item="i", length=1), pair=(1, 2**70), path=Path("/a"), half="\ud800")

    ended = step(lone_run(details))
    assert isinstance(ended, Ends)
    assert (ended.kind, ended.outcome.label) == ("gave_up", "odd")
    assert ended.outcome.details == {
        "note": {"item": "i", "length": 1},
        "pair": [1, str(2**70)],
        "path": "/a",
        "half": "\\ud800",
    }


# -- awaiting what is not this run's to await --------------------------------------------------------


def test_an_action_awaited_outside_a_run_says_so_instead_of_confusing_asyncio() -> None:
    import asyncio

    async def outside() -> None:
        await write(item="i")

    with pytest.raises(CodeError, match="was awaited outside a run; only an automation") as caught:
        asyncio.run(outside())
    assert __file__ in str(caught.value)


def test_an_action_is_awaited_once() -> None:
    @automation(on=Ask, agent=worker)
    async def twice(event: Event[Ask]) -> Outcome:
        one = write(item="i")
        await together(one, one)
        return done()

    ended = step(lone_run(twice))
    assert isinstance(ended, Ends)
    assert "desk.write(…) built at" in ended.reason
    assert "was awaited twice; build it again to do it again" in ended.reason


KEPT: list[Action[Note]] = []


def test_an_action_of_another_run_or_of_none_is_refused_with_both_places() -> None:
    @automation(on=Ask, agent=worker)
    async def keeps(event: Event[Ask]) -> Outcome:
        KEPT.append(write(item="i"))
        await KEPT[0]
        return done()

    @automation(on=Ask, agent=worker)
    async def takes(event: Event[Ask]) -> Outcome:
        await KEPT[0]
        return done()

    assert isinstance(step(lone_run(keeps)), Asks)
    ended = step(lone_run(takes, run_id="r2"))
    assert isinstance(ended, Ends)
    assert "belongs to another run; build it in the run that awaits it" in ended.reason
    KEPT[:] = [write(item="i")]
    ended = step(lone_run(takes))
    assert isinstance(ended, Ends)
    assert "was built outside a run; build it where it is awaited" in ended.reason


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_run_that_leaves_memory_is_unwound_at_once_and_in_bounded_turns() -> None:
    seen: list[str] = []

    @automation(on=Ask, agent=worker)
    async def clings(event: Event[Ask]) -> Outcome:
        for _ in range(1_000):
            try:
                await write(item="i")
            except BaseException as error:  # noqa: BLE001
                seen.append(type(error).__name__)
        return done()

    run = lone_run(clings)
    assert isinstance(step(run), Asks)
    evict(run)
    assert seen[:10] == ["Evicted"] * 10
    assert len(seen) <= 11
    assert run.coroutine is None
    gc.collect()
