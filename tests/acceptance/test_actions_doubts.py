"""Line 13 and 14: the lawful ways to know what became of an action, and what a new owner finds."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from deputize.kernel.people import NotAnswerable
from deputize.ledger import SYSTEM, Entry
from deputize.store.protocol import View
from tests.support.desk import Desk, fault
from tests.support.fixtures import desk as desk
from tests.support.project import write_project
from tests.support.running import ShiftedClock, running, so

ONE = """
@automation(on=Ask, agent=worker)
async def one(event: Event[Ask]) -> Outcome:
    got = await attempt(desk.{operation}(item=event.data.item))
    if isinstance(got, ActionError):
        return gave_up(type(got).__name__, reason=got.reason)
    return done(got.item)
"""
SURE = '''
@connector.operation(effect="write", lookup=find, lookup_conclusive=True, **QUICK)
async def sure(call: Call, item: str) -> Item:
    """No key; not finding it proves that it was not done."""
    return Item.model_validate((await call.post("/items", json={"item": item})).json())
'''
BUDGET = '[[budget]]\nlimit = "5 actions"\n'
COST = '[[budget]]\nlimit = "{limit} USD cost"\n'


def project(tmp_path: Path, desk: Desk, operation: str = "write", **options: Any) -> Path:
    return write_project(tmp_path, desk.base, ONE.format(operation=operation), **options)


def body(entry: Any) -> dict[str, Any]:
    return dict(entry.body)


def clock_back(view: View) -> list[Entry]:
    return [entry for entry in view.entries(SYSTEM) if entry.type == "clock_back"]


async def test_a_look_up_that_finds_it_settles_at_once(tmp_path: Path, desk: Desk) -> None:
    desk.faults.append(fault("lost"))
    async with running(project(tmp_path, desk, settle_s=60)) as app:
        run = await app.send(item="a")
        assert await app.label(run) == "done(a)"
        assert len(desk.writes) == 1 and len(desk.looks) == 1
        assert [e.type for e in app.entries(run)] == ["began", "intent", "doubt", "receipt", "ended"]
        assert body(app.entries(run, "receipt")[0])["by"] == "look-up"


async def test_absence_proves_not_done_only_after_the_longest_time_for_a_late_effect(
    tmp_path: Path, desk: Desk
) -> None:
    desk.faults.append(fault("cut_before"))
    async with running(project(tmp_path, desk, settle_s=0.8)) as app:
        run = await app.send(item="a")
        assert await app.label(run) == "done(a)"
        first, second = desk.writes
        assert (first.key, first.body) == (second.key, second.body)
        assert second.at - first.at >= 0.4 + 0.8
        attempt = body(app.entries(run, "attempt")[0])
        assert attempt["was"] == "doubtful" and attempt["n"] == 2


async def test_a_late_effect_is_found_and_not_done_again(tmp_path: Path, desk: Desk) -> None:
    desk.faults.append(fault("late"))
    async with running(project(tmp_path, desk, settle_s=2)) as app:
        run = await app.send(item="a")
        await app.state(run, "doubtful")
        while not desk.looks:
            desk.changed.clear()
            await desk.changed.wait()
        desk.land()
        assert await app.label(run) == "done(a)"
        assert len(desk.writes) == 1


async def test_a_failing_look_up_proves_nothing(tmp_path: Path, desk: Desk) -> None:
    desk.faults.append(fault("lost"))
    desk.look_faults.extend([fault("status", 500), fault("cut_before"), fault("status", 404)])
    async with running(project(tmp_path, desk, settle_s=5)) as app:
        run = await app.send(item="a")
        assert await app.label(run) == "done(a)"
        assert len(desk.writes) == 1 and len(desk.looks) == 4


async def test_a_look_up_that_ends_after_the_longest_time_is_made_again_before_anybody_is_asked(
    tmp_path: Path, desk: Desk
) -> None:
    desk.faults.append(fault("cut_before"))
    desk.look_faults.append(fault("status", 200, {"found": None}))
    async with running(project(tmp_path, desk, "sure", settle_s=0.0, connector=SURE)) as app:
        run = await app.send(item="a")
        await desk.seen_of(1)
        # The first look-up begins before the last moment of a late effect, and ends after it.
        desk.latency_s = 0.38
        assert await app.label(run) == "done(a)"
        assert app.entries(run, "card") == [] and len(desk.writes) == 2


async def test_an_absence_that_is_not_conclusive_becomes_a_card(tmp_path: Path, desk: Desk) -> None:
    desk.faults.append(fault("cut_before"))
    async with running(project(tmp_path, desk, "hint")) as app:
        run = await app.send()
        card = await app.card()
        assert card.id == f"{run}/1" and len(desk.writes) == 1
        assert card.body["evidence"] and card.body["args"] == {"item": "i"}


async def test_a_key_is_repeated_with_the_same_bytes_while_the_service_honours_it(
    tmp_path: Path, desk: Desk
) -> None:
    desk.faults.append(fault("lost"))
    async with running(project(tmp_path, desk, "keyed")) as app:
        run = await app.send(item="a")
        assert await app.label(run) == "done(a)"
        assert len({(sent.key, sent.body) for sent in desk.writes}) == 1 and len(desk.writes) == 2
        assert len(desk.effects) == 1
        assert desk.writes[1].at - desk.writes[0].at >= 0.2


async def test_a_repeat_never_comes_after_the_key_less_its_margin(tmp_path: Path, desk: Desk) -> None:
    desk.faults.append(fault("lost"))
    clock = ShiftedClock()
    root = project(tmp_path, desk, "keyed", settle_s=0.6)
    async with running(root, clock=clock) as app:
        run = await app.send()
        await app.state(run, "doubtful")
        clock.shift_s = 23 * 3600 + 1
    # The hour before the end of the key's 24 is its margin.
    async with running(root, clock=clock) as app:
        assert (await app.card()).id == f"{run}/1"
        assert len(desk.writes) == 1


async def test_a_repeat_a_moment_before_the_margin_is_lawful(tmp_path: Path, desk: Desk) -> None:
    desk.faults.append(fault("lost"))
    clock = ShiftedClock()
    root = project(tmp_path, desk, "keyed", settle_s=0.6)
    async with running(root, clock=clock) as app:
        run = await app.send()
        await app.state(run, "doubtful")
        clock.shift_s = 23 * 3600 - 60
    async with running(root, clock=clock) as app:
        assert await app.label(run) == "done(i)"
        assert len(desk.writes) == 2 and len(desk.effects) == 1


async def test_another_connector_version_is_never_sent_an_old_key(tmp_path: Path, desk: Desk) -> None:
    desk.faults.append(fault("lost"))
    async with running(project(tmp_path, desk, "keyed", settle_s=5)) as app:
        run = await app.send()
        await app.state(run, "doubtful")
    async with running(project(tmp_path, desk, "keyed", version="2")) as app:
        assert (await app.card()).id == f"{run}/1"
        assert len(desk.writes) == 1


async def test_what_is_repeatable_by_nature_is_repeated_without_a_key_to_honour(
    tmp_path: Path, desk: Desk
) -> None:
    desk.faults.append(fault("lost"))
    async with running(project(tmp_path, desk, "put", settle_s=60)) as app:
        run = await app.send(item="a")
        assert await app.label(run) == "done(a)"
        # Only after `give_up_at`, and without waiting for `settle_s`.
        assert 0.35 <= desk.writes[1].at - desk.writes[0].at < 20


async def test_repeats_are_bounded_too(tmp_path: Path, desk: Desk) -> None:
    desk.always = fault("cut_before")
    async with running(project(tmp_path, desk, "put")) as app:
        await app.send()
        card = await app.card()
        assert len(desk.writes) == 3 and card.body["attempts"] == 3


async def test_a_repeat_after_a_clock_set_back_is_never_sent(tmp_path: Path, desk: Desk) -> None:
    desk.faults.append(fault("lost"))
    clock = ShiftedClock()
    async with running(project(tmp_path, desk, "keyed", settle_s=0.5), clock=clock) as app:
        run = await app.send()
        await app.state(run, "doubtful")
        clock.shift_s = -3600
        seen = await app.until(clock_back)
        assert body(seen[0])["no_repeat_before"] > 0
        # Ledger time goes on all the same: nobody waits for the clock to catch up.
        assert (await app.card()).id == f"{run}/1"
        assert len(desk.writes) == 1


async def test_a_clock_set_back_is_remembered_by_the_next_owner(tmp_path: Path, desk: Desk) -> None:
    desk.faults.append(fault("lost"))
    clock = ShiftedClock()
    root = project(tmp_path, desk, "keyed", settle_s=30)
    async with running(root, clock=clock) as app:
        run = await app.send()
        await app.state(run, "doubtful")
        clock.shift_s = -3600
        app.system.time.now_us()
        await app.until(clock_back)
    clock.shift_s = 120
    async with running(root, clock=clock) as app:
        assert (await app.card()).id == f"{run}/1"
        assert len(desk.writes) == 1


# -- cards and answers --------------------------------------------------------------------------------


async def test_happened_with_a_fitting_result_is_a_receipt(tmp_path: Path, desk: Desk) -> None:
    desk.faults.append(fault("lost"))
    async with running(project(tmp_path, desk, "plain", toml=BUDGET)) as app:
        run = await app.send()
        card = await app.card()
        await app.answer(card.id, "happened", {"item": "seen", "key": "k"})
        assert await app.label(run) == "done(seen)"
        assert app.budget() == (0, 1) and not app.cards()
        assert body(app.entries(run, "receipt")[0])["by"] == {"person": "maya", "reason": ""}


async def test_happened_with_a_result_that_does_not_fit_is_refused_with_the_field(
    tmp_path: Path, desk: Desk
) -> None:
    desk.faults.append(fault("lost"))
    async with running(project(tmp_path, desk, "plain")) as app:
        await app.send()
        card = await app.card()
        with pytest.raises(NotAnswerable, match=r"does not fit what desk\.plain returns: key: Field"):
            await app.answer(card.id, "happened", {"item": "seen"})
        assert app.cards()


async def test_happened_otherwise_than_expected_raises_unmet(tmp_path: Path, desk: Desk) -> None:
    code = ONE.replace("item=event.data.item)", "item=event.data.item).expecting(item='other')")
    desk.faults.append(fault("lost"))
    async with running(write_project(tmp_path, desk.base, code.format(operation="plain"))) as app:
        run = await app.send()
        await app.answer((await app.card()).id, "happened", {"item": "seen", "key": "k"})
        assert await app.label(run) == "gave_up(Unmet)"


async def test_did_not_is_refused_with_everything_returned(tmp_path: Path, desk: Desk) -> None:
    desk.faults.append(fault("cut_before"))
    async with running(project(tmp_path, desk, "plain", toml=BUDGET)) as app:
        run = await app.send()
        await app.answer((await app.card()).id, "did_not")
        assert await app.label(run) == "gave_up(Refused)"
        assert app.budget() == (0, 0) and len(desk.writes) == 1


async def test_do_it_again_is_a_new_round_with_a_new_key(tmp_path: Path, desk: Desk) -> None:
    desk.faults.append(fault("cut_before"))
    async with running(project(tmp_path, desk, "plain", toml=BUDGET)) as app:
        run = await app.send(item="a")
        await app.answer((await app.card()).id, "do_again")
        assert await app.label(run) == "done(a)"
        first, second = desk.writes
        assert first.key != second.key and first.body == second.body
        assert app.actions(run)["1"].round == 2
        assert app.budget() == (0, 1) and not app.cards()


async def test_do_it_again_is_judged_by_the_rules_in_force_now(tmp_path: Path, desk: Desk) -> None:
    desk.faults.append(fault("cut_before"))
    root = project(tmp_path, desk, "plain", toml=BUDGET)
    async with running(root) as app:
        run = await app.send(item="a")
        await app.card()
    never = '[[rule]]\ntitle = "No more of it"\noperation = "desk.plain"\nnever = true\n'
    with (root / "rules" / "rules.toml").open("a") as rules:
        rules.write(never)
    async with running(root) as app:
        await app.answer((await app.card()).id, "do_again")
        assert await app.label(run) == "gave_up(Refused)"
        assert len(desk.writes) == 1 and app.budget() == (0, 0)


async def test_abandon_counts_the_hold_as_spent_and_stops_the_run(tmp_path: Path, desk: Desk) -> None:
    desk.faults.append(fault("cut_before"))
    async with running(project(tmp_path, desk, "plain", toml=BUDGET)) as app:
        run = await app.send()
        await app.answer((await app.card()).id, "abandon")
        (row,) = await app.ended(run)
        assert row.label == "cancelled" and "maya" in row.reason
        assert app.budget() == (0, 1) and app.actions(run)["1"].state == "abandoned"


async def test_abandoning_starts_nothing_more_of_the_run(tmp_path: Path, desk: Desk) -> None:
    code = """
@automation(on=Ask, agent=worker)
async def one(event: Event[Ask]) -> Outcome:
    await together(desk.plain(item="a"), desk.write(item="taken"))
    return done()
@automation(on=Word, agent=worker)
async def other(event: Event[Word]) -> Outcome:
    await desk.write(item="taken")
    return done()
"""
    async with running(write_project(tmp_path, desk.base, code, settle_s=1)) as app:
        desk.hold = asyncio.Event()
        desk.faults.append(fault("do"))
        holder = await app.send(type="test.word")
        await desk.seen_of(1)
        desk.faults.append(fault("cut_before"))
        desk.hold.set()
        desk.hold = asyncio.Event()
        run = await app.send()
        await app.card()
        await app.answer(f"{run}/1.0", "abandon")
        desk.hold.set()
        await app.ended(run, holder)
        await app.gone()
        after = [e.type for e in app.entries(run)]
        assert after.index("ended") == len(after) - 1


@pytest.mark.parametrize("first", ["happened", "did_not", "do_again", "abandon"])
@pytest.mark.parametrize("second", ["happened", "did_not", "do_again", "abandon"])
async def test_only_the_first_of_two_answers_counts(
    tmp_path: Path, desk: Desk, first: str, second: str
) -> None:
    desk.faults.append(fault("cut_before"))
    result = {"item": "seen", "key": "k"}
    async with running(project(tmp_path, desk, "plain", toml=BUDGET)) as app:
        run = await app.send()
        card = (await app.card()).id
        one = asyncio.ensure_future(app.answer(card, first, result))
        two = asyncio.ensure_future(app.answer(card, second, result, person="tom"))
        outcomes = await asyncio.gather(one, two, return_exceptions=True)
        assert outcomes[0] is None and isinstance(outcomes[1], NotAnswerable)
        await app.ended(run)
        assert app.budget() == {"did_not": (0, 0)}.get(first, (0, 1))


async def test_an_answer_that_comes_while_a_look_up_is_under_way_counts_alone(
    tmp_path: Path, desk: Desk
) -> None:
    desk.faults.append(fault("lost"))
    async with running(project(tmp_path, desk, toml=BUDGET, settle_s=60)) as app:
        answering: list[asyncio.Future[None]] = []

        def found() -> None:
            # After the service has answered, before its receipt is written.
            answering.append(asyncio.ensure_future(app.answer(f"{run}/1", "did_not")))

        app.hooks["resolve.found"] = found
        run = await app.send()
        await app.ended(run)
        outcome = (await asyncio.gather(*answering, return_exceptions=True))[0]
        settled = [e.type for e in app.entries(run, "receipt", "refused")]
        assert len(settled) == 1
        assert (settled == ["receipt"]) == isinstance(outcome, NotAnswerable)
        assert app.budget() == ((0, 1) if settled == ["receipt"] else (0, 0))


async def test_an_answer_that_overtakes_a_look_up_is_the_only_one_taken(tmp_path: Path, desk: Desk) -> None:
    desk.faults.append(fault("lost"))
    desk.look_faults.append(fault("do"))
    async with running(project(tmp_path, desk, toml=BUDGET, settle_s=60)) as app:
        run = await app.send()
        await app.state(run, "doubtful")
        store, write = app.system.store, app.system.store.write
        answered = asyncio.Event()

        def overtaking(work: Any, **more: Any) -> Any:
            # The first write that is not ours is the receipt of the look-up: let the answer go before.
            store.write = write  # type: ignore[method-assign]

            def both(tx: Any) -> Any:
                begun = tx.action(tx.run(run).no, "1")
                assert begun.state == "doubtful"
                app.kernel.people._check(tx, tx.run(run), "1", "did_not", None)
                tx.answer(tx.run(run).no, "1", "did_not", {"result": None, "reason": ""}, "maya")
                app.kernel.people._take_all(tx)
                return work(tx)

            answered.set()
            return write(both, **more)

        app.hooks["resolve.found"] = lambda: setattr(store, "write", overtaking)
        await answered.wait()
        await app.until(lambda view: view.cards() == [] and view.runs(states=["ready", "ended"]))
        app.kernel.scheduler.ready(app.run(run).no)
        await app.ended(run)
        assert not app.entries(run, "receipt")
        assert app.budget() == (0, 0)


async def test_a_doubt_outlives_its_run_and_is_answered_or_found_but_never_repeated(
    tmp_path: Path, desk: Desk
) -> None:
    code = """
@automation(on=Ask, agent=worker)
async def one(event: Event[Ask]) -> Outcome:
    await together(desk.plain(item="a"), desk.plain(item="b"), desk.write(item="c"))
    return done()
"""
    desk.always = fault("cut_before")
    async with running(write_project(tmp_path, desk.base, code, toml=BUDGET, settle_s=0.8)) as app:
        run = await app.send()
        await app.until(lambda view: len(view.cards()) == 2)
        sent = len(desk.writes)
        await app.answer(f"{run}/1.0", "abandon")
        assert app.run(run).state == "ended"
        assert [card.id for card in app.cards()] == [f"{run}/1.1"]
        with pytest.raises(NotAnswerable, match="has ended"):
            await app.answer(f"{run}/1.1", "do_again")
        await app.answer(f"{run}/1.1", "did_not")
        # Whether it was in doubt or open between two attempts: no more of it is sent than was begun.
        await app.action(run, "1.2", "refused")
        assert len([one for one in desk.writes[sent:] if one.path == "/plain"]) == 0
        assert app.budget() == (0, 1) and not app.cards()


BOTH = """
@automation(on=Ask, agent=worker)
async def one(event: Event[Ask]) -> Outcome:
    await together(desk.plain(item="a"), desk.{other})
    return done()
@automation(on=Word, agent=worker)
async def after(event: Event[Word]) -> Outcome:
    await desk.write(item="b")
    return done()
"""


async def test_the_other_doubts_of_an_abandoned_run_keep_their_holds_and_leases_until_each_is_settled(
    tmp_path: Path, desk: Desk
) -> None:
    extra = """
@connector.operation(effect="write", resource="item:{item}", **QUICK)
async def leased(call: Call, item: str) -> Item:
    return Item.model_validate((await call.post("/plain", json={"item": item})).json())
"""
    root = write_project(
        tmp_path, desk.base, BOTH.format(other='leased(item="b")'), toml=BUDGET, connector=extra
    )
    desk.faults.extend([fault("cut_before")] * 2)
    async with running(root) as app:
        run = await app.send()
        await app.until(lambda view: len(view.cards()) == 2)
        await app.answer(f"{run}/1.0", "abandon")
        assert app.run(run).label == "cancelled" and app.budget() == (1, 1)
        app.sound()
    async with running(root) as app:
        assert [card.id for card in app.cards()] == [f"{run}/1.1"]
        assert app.read(lambda view: view.leases()) == [("item:b", run, "1.1")]
        behind = await app.send(type="test.word")
        await so(lambda: app.kernel.parts.leases.waiting)
        await app.answer(f"{run}/1.1", "happened", {"item": "b", "key": ""})
        await app.ended(behind)
        assert app.run(run).label == "cancelled" and app.entries(run)[-1].type == "receipt"
        assert app.budget() == (0, 3) and not app.cards() and len(desk.writes) == 3


async def test_an_answer_that_does_not_fit_does_not_bring_an_ended_run_back(
    tmp_path: Path, desk: Desk
) -> None:
    extra = """
@connector.operation(effect="write", timeout_s=20)
async def slow(call: Call, item: str) -> Item:
    return Item.model_validate((await call.post("/items", json={"item": item})).json())
"""
    root = write_project(tmp_path, desk.base, BOTH.format(other='slow(item="b")'), connector=extra)
    desk.hold, desk.always = asyncio.Event(), fault("body", 200, {"no": 1})
    async with running(root) as app:
        run = await app.send()
        await app.answer((await app.card()).id, "abandon")
        desk.hold.set()
        await app.action(run, "1.1", "drifted")
        assert app.run(run).state == "ended"
        await app.answer((await app.card()).id, "happened", {"item": "b", "key": ""})
        assert app.run(run).state == "ended" and not app.cards()


@pytest.mark.parametrize(("other", "then"), [('write(item="b")', "refused"), ('think(item="b")', "doubtful")])
async def test_what_waits_at_a_halt_to_be_sent_again_is_not_once_its_run_was_abandoned(
    tmp_path: Path, desk: Desk, other: str, then: str
) -> None:
    desk.always = fault("cut_before")
    async with running(write_project(tmp_path, desk.base, BOTH.format(other=other))) as app:
        run = await app.send()
        while len([sent for sent in desk.seen if sent.path != "/keys/"]) < 2:
            desk.changed.clear()
            await desk.changed.wait()
        await app.kernel.people.stop("connector:desk", "", "maya")
        await so(lambda: app.kernel.parts.stops._changed)
        await app.answer((await app.card()).id, "abandon")
        sent = len([one for one in desk.seen if not one.path.startswith("/keys/")])
        await app.kernel.people.lift("connector:desk", "maya")
        if then == "doubtful":
            assert (await app.card()).id == f"{run}/1.1"
        await app.action(run, "1.1", then)
        assert len([one for one in desk.seen if not one.path.startswith("/keys/")]) == sent == 2


# -- priced reads -------------------------------------------------------------------------------------


async def test_a_priced_read_in_doubt_counts_as_spent_and_is_asked_anew(tmp_path: Path, desk: Desk) -> None:
    desk.faults.append(fault("cut_before"))
    async with running(project(tmp_path, desk, "think", toml=COST.format(limit="0.005"))) as app:
        run = await app.send(item="a")
        assert await app.label(run) == "done(a)"
        assert app.budget() == (0, 2000)
        assert app.actions(run)["1"].round == 2


async def test_a_priced_read_is_not_asked_anew_beyond_its_budget(tmp_path: Path, desk: Desk) -> None:
    desk.always = fault("cut_before")
    async with running(project(tmp_path, desk, "think", toml=COST.format(limit="0.002"))) as app:
        run = await app.send(item="a")
        assert await app.label(run) == "gave_up(Refused)"
        assert app.budget() == (0, 2000) and len(desk.seen) == 2


async def test_a_priced_read_is_asked_anew_only_so_often(tmp_path: Path, desk: Desk) -> None:
    desk.always = fault("cut_before")
    async with running(project(tmp_path, desk, "think", toml=COST.format(limit="1.00"))) as app:
        run = await app.send(item="a")
        card = await app.card()
        assert card.id == f"{run}/1" and len(desk.seen) == 3


# -- recovery -----------------------------------------------------------------------------------------


async def test_open_intents_of_a_former_owner_become_doubts_and_are_never_plainly_resent(
    tmp_path: Path, desk: Desk
) -> None:
    desk.hold = asyncio.Event()
    root = project(tmp_path, desk, "plain", toml=BUDGET)
    async with running(root) as app:
        run = await app.send()
        await desk.seen_of(1)
    async with running(root) as app:
        await app.card()
        assert [e.type for e in app.entries(run)] == ["began", "intent", "doubt", "card"]
        assert app.budget() == (1, 0) and len(desk.writes) == 1


async def test_a_doubt_of_a_former_owner_is_looked_up(tmp_path: Path, desk: Desk) -> None:
    desk.faults.append(fault("hang"))
    root = project(tmp_path, desk)
    async with running(root) as app:
        run = await app.send(item="a")
        await desk.seen_of(1)
        key = desk.writes[0].key
        desk.effects[key] = {"item": "a", "key": key}
    async with running(root) as app:
        assert await app.label(run) == "done(a)"
        assert len(desk.writes) == 1


async def test_a_read_that_was_under_way_is_read_again(tmp_path: Path, desk: Desk) -> None:
    desk.faults.append(fault("hang"))
    root = project(tmp_path, desk, "read")
    async with running(root) as app:
        run = await app.send(item="a")
        while not desk.seen:
            desk.changed.clear()
            await desk.changed.wait()
    async with running(root) as app:
        assert await app.label(run) == "done(a)"
        assert not app.entries(run, "doubt", "intent")


async def test_a_doubt_whose_operation_is_gone_is_put_before_a_person(tmp_path: Path, desk: Desk) -> None:
    desk.faults.append(fault("lost"))
    extra = """
@connector.operation(effect="write", timeout_s=0.4, settle_s=30)
async def old(call: Call, item: str) -> Item:
    return Item.model_validate((await call.post("/items", json={"item": item})).json())
"""
    async with running(project(tmp_path, desk, "old", connector=extra)) as app:
        run = await app.send()
        await app.state(run, "doubtful")
    async with running(project(tmp_path, desk, "plain")) as app:
        assert (await app.card()).id == f"{run}/1"
        await app.answer(f"{run}/1", "abandon")
        await app.ended(run)
