"""Line 17: what an ended run did is undone in reverse order, through the gate, and never around a doubt."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from deputize.errors import StoreError, StoreFull
from deputize.kernel import recording, unwinding
from deputize.kernel.people import NotAnswerable
from deputize.ledger import SYSTEM
from deputize.store.erasure import erase_run
from deputize.store.protocol import CardRow
from tests.support.desk import Desk, fault
from tests.support.fixtures import desk as desk
from tests.support.project import PERMIT, write_project
from tests.support.running import Running, running, so

UNDOABLE = """
from deputize import undone_by

@connector.operation(effect="write", resource="item:{item}", lookup=find, lookup_conclusive=True, **KEYED)
async def take_back(call: Call, item: str) -> Item:
    return Item.model_validate((await call.post("/items", json={"item": "-" + item})).json())

BACK = undone_by(take_back, lambda args, result: {"item": result.item})
NO_BACK = undone_by(take_back, lambda args, result: {"item": result.nothing})

@connector.operation(effect="write", undo=BACK, **KEYED)
async def make(call: Call, item: str) -> Item:
    return Item.model_validate((await call.post("/items", json={"item": item})).json())

@connector.operation(effect="write", undo=NO_BACK, **KEYED)
async def muddle(call: Call, item: str) -> Item:
    return Item.model_validate((await call.post("/items", json={"item": item})).json())
"""

MAKES = """
@automation(on=Ask, agent=worker, unwind=UNWIND)
async def makes(event: Event[Ask]) -> Outcome:
    await desk.make(item="a")
    await desk.read(item="x")
    await together(desk.make(item="b"), desk.make(item="c"))
    MORE
    return done()
"""

PEOPLE = "[people.maya]\n[people.kim]\n"


def project(
    root: Path, desk: Desk, more: str = "pass", *, unwind: bool = False, rules: str = PERMIT, agents: str = ""
) -> Path:
    automations = MAKES.replace("UNWIND", str(unwind)).replace("MORE", more)
    return write_project(
        root,
        desk.base,
        automations,
        rules=rules,
        toml=PEOPLE,
        connector=UNDOABLE,
        agents=agents or 'worker = agent("worker")',
    )


def made(desk: Desk) -> list[str]:
    return [effect["item"] for effect in desk.effects.values() if effect["item"]]


async def undo(app: Running, target: str) -> str:
    said: str = await app.kernel.unwinding.undo(target, reason="a mistake", person="maya")
    return said


async def unwound(app: Running, run: str) -> dict[str, object]:
    no = app.run(run).no
    entries = await app.until(lambda view: [e for e in view.entries(no) if e.type == "unwound"])
    assert entries[-1].body is not None
    return dict(entries[-1].body)


async def card_of(app: Running, kind: str) -> CardRow:
    return (await app.until(lambda view: [card for card in view.cards() if card.kind == kind]))[0]


async def test_a_run_is_undone_latest_first(tmp_path: Path, desk: Desk) -> None:
    async with running(project(tmp_path, desk)) as app:
        run = await app.send()
        await app.ended(run)
        assert await undo(app, run) == "undoing 3 of its actions"
        body = await unwound(app, run)
        assert body["undone"] == ["3.1", "3.0", "1"] and body["left"] == []
        assert made(desk)[-3:] == ["-c", "-b", "-a"]
        assert app.cards() == []
        (step,) = [e for e in app.entries(run, "intent") if e.body and e.body["path"] == "undo/1"]
        assert step.body is not None and step.body["rules"] and step.body["leases"] == ["item:a"]
        with pytest.raises(NotAnswerable, match="has done nothing that is not undone already"):
            await undo(app, run)


async def test_one_action_is_undone_alone_and_the_rest_after_it(tmp_path: Path, desk: Desk) -> None:
    async with running(project(tmp_path, desk)) as app:
        run = await app.send()
        await app.ended(run)
        assert await undo(app, f"{run}/3.0") == "undoing 1 action"
        await unwound(app, run)
        assert made(desk)[-1] == "-b"
        await so(app.kernel.idle)
        assert await undo(app, run) == "undoing 2 of its actions"
        await app.action(run, "undo/1", "settled")
        assert made(desk)[-2:] == ["-c", "-a"]


async def test_a_failed_run_is_undone_by_itself_where_its_automation_wants_it(
    tmp_path: Path, desk: Desk
) -> None:
    async with running(project(tmp_path, desk, "raise ValueError('no')", unwind=True)) as app:
        run = await app.send()
        assert await app.label(run) == "failed"
        assert (await unwound(app, run))["undone"] == ["3.1", "3.0", "1"]
        assert len(made(desk)) == 6


@pytest.mark.parametrize(("more", "unwind"), [("raise ValueError('no')", False), ("pass", True)])
async def test_nothing_else_is_undone_by_itself(tmp_path: Path, desk: Desk, more: str, unwind: bool) -> None:
    async with running(project(tmp_path, desk, more, unwind=unwind)) as app:
        run = await app.send()
        await app.ended(run)
        await app.gone()
        assert app.entries(run, "unwinding") == [] and made(desk) == ["a", "b", "c"]


async def test_what_has_no_undo_is_told_and_the_rest_is_undone(tmp_path: Path, desk: Desk) -> None:
    async with running(project(tmp_path, desk, 'await desk.put(item="p")')) as app:
        run = await app.send()
        await app.ended(run)
        await undo(app, run)
        body = await unwound(app, run)
        assert body["undone"] == ["3.1", "3.0", "1"]
        assert body["left"] == [{"path": "4", "op": "desk.put", "why": "there is no undo for it"}]
        card = await card_of(app, "unwind")
        assert card.title == "3 of 4 actions are undone; not desk.put (4): there is no undo for it"
        await app.kernel.noting.noted(card.id, person="maya")
        assert app.cards() == []
        with pytest.raises(NotAnswerable, match="no such card"):
            await app.kernel.noting.noted(card.id, person="maya")


async def test_an_undo_whose_arguments_cannot_be_made_is_told(tmp_path: Path, desk: Desk) -> None:
    async with running(project(tmp_path, desk, 'await desk.muddle(item="m")')) as app:
        run = await app.send()
        await app.ended(run)
        await undo(app, run)
        left = (await unwound(app, run))["left"]
        assert isinstance(left, list) and "could not be made: AttributeError" in left[0]["why"]


async def test_a_refused_undo_stops_it_with_a_card_that_says_what_is_left(tmp_path: Path, desk: Desk) -> None:
    never = '[[rule]]\ntitle = "b stays"\noperation = "desk.take_back"\nwhen = { item = "b" }\nnever = true\n'
    async with running(project(tmp_path, desk, rules=PERMIT + never)) as app:
        run = await app.send()
        await app.ended(run)
        await undo(app, run)
        body = await unwound(app, run)
        assert body["undone"] == ["3.1"]
        assert [(one["path"], one["why"]) for one in body["left"]] == [  # type: ignore[attr-defined]
            ("3.0", "desk.take_back was refused"),
            ("1", "it was done before that"),
        ]
        assert made(desk) == ["a", "b", "c", "-c"]
        assert "1 of 3 actions are undone" in (await card_of(app, "unwind")).title
    project(tmp_path, desk)
    async with running(tmp_path) as app:
        await undo(app, run)
        await app.action(run, "undo/1", "settled")
        assert app.actions(run)["undo/3.0#2"].state == "settled"
        assert made(desk) == ["a", "b", "c", "-c", "-b", "-a"]


async def test_a_declined_undo_stops_it_too(tmp_path: Path, desk: Desk) -> None:
    async with running(project(tmp_path, desk)) as app:
        run = await app.send()
        await app.ended(run)
        desk.faults.append(fault("status", 422))
        await undo(app, run)
        body = await unwound(app, run)
        assert body["undone"] == [] and made(desk) == ["a", "b", "c"]


async def test_a_doubt_about_an_undo_keeps_it_waiting_and_it_goes_on_when_that_is_known(
    tmp_path: Path, desk: Desk
) -> None:
    async with running(project(tmp_path, desk)) as app:
        run = await app.send()
        await app.ended(run)
        desk.faults.append(fault("lost"))
        await undo(app, run)
        assert (await unwound(app, run))["undone"] == ["3.1", "3.0", "1"]
        assert app.entries(run, "doubt")
        assert made(desk) == ["a", "b", "c", "-c", "-b", "-a"]


async def test_an_undo_that_was_not_done_is_sent_again_though_its_run_has_ended(
    tmp_path: Path, desk: Desk
) -> None:
    async with running(project(tmp_path, desk)) as app:
        run = await app.send()
        await app.ended(run)
        desk.faults.append(fault("status", 429))
        await undo(app, run)
        assert (await unwound(app, run))["undone"] == ["3.1", "3.0", "1"]
        assert app.actions(run)["undo/3.1"].attempts == 2


async def test_nothing_is_undone_around_a_doubt(tmp_path: Path, desk: Desk) -> None:
    more = 'await together(desk.plain(item="p"), desk.plain(item="q"))'
    async with running(project(tmp_path, desk, more)) as app:
        desk.faults.extend([fault("do")] * 4 + [fault("lost")] * 2)
        run = await app.send()
        first, second = await app.until(lambda v: (cards := v.cards()) and len(cards) == 2 and cards)
        with pytest.raises(NotAnswerable, match="is doubtful; cancel it first"):
            await undo(app, run)
        await app.answer(first.id, "abandon")
        await app.ended(run)
        with pytest.raises(NotAnswerable, match=f"{second.id} is not settled; answer its card first"):
            await undo(app, run)
        assert made(desk) == ["a", "b", "c"], "nobody knows yet whether the last of it happened"
        await app.answer(second.id, "did_not")
        await undo(app, run)
        left = (await unwound(app, run))["left"]
        assert left == [{"path": first.path, "op": "desk.plain", "why": "nobody knows whether it happened"}]
        assert made(desk)[-3:] == ["-c", "-b", "-a"]


async def test_an_undo_whose_answer_could_not_be_written_at_once_goes_on(
    tmp_path: Path, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "WRITE_AGAIN_S", 0.01)
    async with running(project(tmp_path, desk)) as app:
        run = await app.send()
        await app.ended(run)
        left = iter([StoreFull()])

        def full() -> None:
            error = next(left, None)
            if error is not None:
                raise error

        app.hooks["t3.in"] = full
        await undo(app, run)
        assert (await unwound(app, run))["undone"] == ["3.1", "3.0", "1"]


async def test_a_run_that_ended_before_its_cancellation_came_is_undone_with_approval(
    tmp_path: Path, desk: Desk
) -> None:
    asks = '[[rule]]\ntitle = "Taking back is asked for"\noperation = "desk.take_back"\nask_always = true\n'
    async with running(project(tmp_path, desk, rules=PERMIT + asks)) as app:
        desk.hold = asyncio.Event()
        run = await app.send()
        await app.action(run, "1", "open")
        await app.system.store.write(lambda tx: tx.set_wish(tx.run(run).no, "cancel"))  # type: ignore[union-attr]
        desk.hold.set()
        await app.ended(run)
        await undo(app, f"{run}/1")
        card = await card_of(app, "approval")
        await app.kernel.approving.approve(card.id, binding=card.body["binding"], person="kim")
        assert (await unwound(app, run))["undone"] == ["1"]


async def test_an_undo_waits_for_approval_where_rules_ask(tmp_path: Path, desk: Desk) -> None:
    asks = '[[rule]]\ntitle = "Taking back is asked for"\noperation = "desk.take_back"\nask_always = true\n'
    async with running(project(tmp_path, desk, rules=PERMIT + asks)) as app:
        run = await app.send()
        await app.ended(run)
        await undo(app, f"{run}/1")
        card = await card_of(app, "approval")
        assert card.id == f"{run}/undo/1"
        await app.gone()
        with pytest.raises(NotAnswerable, match="approved or refused as it is"):
            await app.kernel.approving.change(
                card.id, binding=card.body["binding"], args={}, reason="", person="kim"
            )
        with pytest.raises(NotAnswerable, match="nobody approves their own request"):
            await app.kernel.approving.approve(card.id, binding=card.body["binding"], person="maya")
        await app.kernel.approving.approve(card.id, binding=card.body["binding"], person="kim")
        assert (await unwound(app, run))["undone"] == ["1"]
        assert made(desk)[-1] == "-a"


async def test_it_goes_on_after_a_stop_and_after_a_halt(tmp_path: Path, desk: Desk) -> None:
    async with running(project(tmp_path, desk)) as app:
        run = await app.send()
        await app.ended(run)
        await app.kernel.people.stop("all", "", "maya")
        await undo(app, run)
        await so(app.kernel.idle)
        assert made(desk) == ["a", "b", "c"]
        with pytest.raises(NotAnswerable, match="is being undone already"):
            await undo(app, run)
        with pytest.raises(StoreError, match="is being undone; erase it when"):
            await app.system.store.write(lambda tx: erase_run(tx, app.run(run).no, tx.version(SYSTEM)))
    async with running(tmp_path) as app:
        await app.kernel.people.lift("all", "maya")
        assert (await unwound(app, run))["undone"] == ["3.1", "3.0", "1"]
        assert made(desk) == ["a", "b", "c", "-c", "-b", "-a"]


async def test_a_run_that_goes_on_is_not_undone(tmp_path: Path, desk: Desk) -> None:
    sleeps = "from datetime import timedelta\n    await sleep(timedelta(hours=1))"
    async with running(project(tmp_path, desk, sleeps)) as app:
        run = await app.send()
        await app.state(run, "waiting")
        with pytest.raises(NotAnswerable, match="is waiting; cancel it first"):
            await undo(app, run)
        with pytest.raises(NotAnswerable, match="there is no run 'nope'"):
            await undo(app, "nope")


async def test_an_undo_that_could_not_be_written_is_tried_again(
    tmp_path: Path, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unwinding, "RETRY_S", 0.01)
    async with running(project(tmp_path, desk)) as app:
        run = await app.send()
        await app.ended(run)
        left = iter([StoreFull(), None])

        def full() -> None:
            error = next(left, None)
            if error is not None:
                raise error

        app.hooks["t2.in"] = full
        await undo(app, run)
        assert (await unwound(app, run))["undone"] == ["3.1", "3.0", "1"]


async def test_a_read_that_a_person_has_read_for_us_is_nothing_to_undo(tmp_path: Path, desk: Desk) -> None:
    """Its receipt has no intent."""
    async with running(project(tmp_path, desk, 'await desk.read(item="again")')) as app:
        desk.faults.extend([fault("do"), fault("do"), fault("do"), fault("do"), fault("body", 200, b"{}")])
        run = await app.send()
        drift = await card_of(app, "drift")
        await app.answer(drift.id, "happened", {"item": "x", "key": ""})
        await app.ended(run)
        await undo(app, run)
        assert (await unwound(app, run))["undone"] == ["3.1", "3.0", "1"]
