"""Line 9 to 12: how each answer of a real service is named, and what the run sees of it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.support.desk import Desk, fault
from tests.support.fixtures import desk as desk
from tests.support.project import PERMIT, write_project
from tests.support.running import running

ONE = """
@automation(on=Ask, agent=worker)
async def one(event: Event[Ask]) -> Outcome:
    got = await attempt(desk.{operation}(item=event.data.item))
    if isinstance(got, ActionError):
        return gave_up(type(got).__name__, reason=got.reason)
    return done(got.item)
"""


def project(tmp_path: Path, desk: Desk, operation: str = "write", **options: object) -> Path:
    settings = str(options.pop("desk_settings", "concurrent_max = 200"))
    code = ONE.format(operation=operation)
    return write_project(tmp_path, desk.base, code, desk=settings, **options)  # type: ignore[arg-type]


async def test_an_answer_that_fits_is_done_and_its_receipt_is_kept(tmp_path: Path, desk: Desk) -> None:
    async with running(project(tmp_path, desk)) as app:
        run = await app.send(item="a")
        assert await app.label(run) == "done(a)"
        assert [e.type for e in app.entries(run)] == ["began", "intent", "receipt", "ended"]
        assert app.actions(run)["1"].state == "settled"
        assert len(desk.effects) == 1


@pytest.mark.parametrize("status", [400, 402, 403, 404, 410, 422])
async def test_a_no_for_good_is_declined_once_and_never_retried(
    tmp_path: Path, desk: Desk, status: int
) -> None:
    desk.faults.append(fault("status", status, {"error": "no such thing"}))
    async with running(project(tmp_path, desk)) as app:
        run = await app.send()
        assert await app.label(run) == "gave_up(Declined)"
        assert app.actions(run)["1"].state == "declined"
        assert len(desk.writes) == 1
        assert "no such thing" in (app.entries(run, "declined")[0].body or {})["reason"]


@pytest.mark.parametrize("status", [429])
async def test_an_answer_that_proves_not_done_is_sent_again_with_the_same_key_and_bytes(
    tmp_path: Path, desk: Desk, status: int
) -> None:
    desk.faults.extend([fault("status", status), fault("status", status)])
    async with running(project(tmp_path, desk)) as app:
        run = await app.send(item="a")
        assert await app.label(run) == "done(a)"
        assert len({(sent.key, sent.body) for sent in desk.writes}) == 1 and len(desk.writes) == 3
        assert [e.type for e in app.entries(run)] == [
            "began", "intent", "attempt", "attempt", "receipt", "ended"
        ]  # fmt: skip
        assert app.actions(run)["1"].attempts == 3


async def test_attempts_are_bounded_and_then_it_is_refused_with_everything_returned(
    tmp_path: Path, desk: Desk
) -> None:
    desk.always = fault("status", 429)
    toml = '[[budget]]\nlimit = "5 actions"\n'
    async with running(project(tmp_path, desk, toml=toml)) as app:
        run = await app.send()
        assert await app.label(run) == "gave_up(Refused)"
        assert len(desk.writes) == 3
        assert app.budget() == (0, 0)
        assert "not done after 3 attempts" in (app.entries(run, "refused")[0].body or {})["reason"]


async def test_a_service_that_is_not_there_is_not_done_and_never_doubtful(tmp_path: Path, desk: Desk) -> None:
    write_project(tmp_path, "http://127.0.0.1:9", ONE.format(operation="plain"))
    async with running(tmp_path) as app:
        run = await app.send()
        assert await app.label(run) == "gave_up(Refused)"
        assert not app.entries(run, "doubt")


async def test_retry_after_is_honoured_and_holds_the_whole_connection_off(tmp_path: Path, desk: Desk) -> None:
    desk.faults.append(fault("status", 429, b"{}", "Retry-After: 1"))
    # One at a time, so that the second comes only after the answer to the first.
    async with running(project(tmp_path, desk, desk_settings="concurrent_max = 1")) as app:
        await app.ended(*await app.send_all([("test.ask", {"item": "a"}), ("test.ask", {"item": "b"})]))
        refused, *others = [sent.at for sent in desk.writes]
        assert len(others) == 2 and min(others) - refused >= 0.99


@pytest.mark.parametrize(
    "how", [fault("status", 500), fault("status", 502), fault("lost"), fault("cut_before"), fault("hang")]
)
async def test_an_unknown_outcome_is_a_doubt_and_the_automation_is_not_resumed(
    tmp_path: Path, desk: Desk, how: object
) -> None:
    desk.faults.append(how)  # type: ignore[arg-type]
    toml = '[[budget]]\nlimit = "5 actions"\n'
    async with running(project(tmp_path, desk, "plain", toml=toml)) as app:
        run = await app.send()
        await app.state(run, "doubtful")
        assert app.actions(run)["1"].state == "doubtful"
        assert app.budget() == (1, 0)
        card = await app.card()
        assert card.kind == "doubt" and card.id == f"{run}/1"
        assert len(desk.writes) == 1
        assert not app.entries(run, "ended")


async def test_an_answer_of_200_that_does_not_fit_is_done_with_drift_and_stops_the_run(
    tmp_path: Path, desk: Desk
) -> None:
    desk.faults.append(fault("body", 200, {"surprise": "other"}))
    toml = '[[budget]]\nlimit = "5 actions"\n'
    async with running(project(tmp_path, desk, toml=toml)) as app:
        run = await app.send()
        card = await app.card()
        assert card.kind == "drift"
        assert app.run(run).state == "stuck"
        assert app.budget() == (0, 1)
        assert "surprise" in (app.entries(run, "drift")[0].body or {})["raw"]
        await app.answer(card.id, "happened", {"item": "x", "key": "k"})
        assert await app.label(run) == "done(x)"
        assert len(desk.writes) == 1 and not app.cards()


async def test_an_answer_over_a_megabyte_is_done_with_drift(tmp_path: Path, desk: Desk) -> None:
    desk.faults.append(fault("body", 200, {"item": "x" * 1_100_000, "key": "k"}))
    async with running(project(tmp_path, desk)) as app:
        run = await app.send()
        assert (await app.card()).kind == "drift"
        assert app.run(run).state == "stuck" and len(desk.writes) == 1


async def test_a_read_that_drifts_stops_the_run_until_a_person_says_what_it_is(
    tmp_path: Path, desk: Desk
) -> None:
    desk.faults.append(fault("body", 200, {"surprise": 1}))
    async with running(project(tmp_path, desk, "read")) as app:
        run = await app.send()
        card = await app.card()
        await app.answer(card.id, "happened", {"item": "x", "key": "k"})
        assert await app.label(run) == "done(x)"


async def test_an_unpriced_read_needs_no_intent_and_its_failures_are_tried_again(
    tmp_path: Path, desk: Desk
) -> None:
    desk.faults.extend([fault("status", 500), fault("hang")])
    async with running(project(tmp_path, desk, "read")) as app:
        run = await app.send(item="a")
        assert await app.label(run) == "done(a)"
        assert [e.type for e in app.entries(run)] == ["began", "read", "ended"]
        assert len(desk.seen) == 3


async def test_what_was_expected_and_is_not_raises_unmet_and_is_recorded(tmp_path: Path, desk: Desk) -> None:
    code = """
@automation(on=Ask, agent=worker)
async def one(event: Event[Ask]) -> Outcome:
    try:
        await desk.write(item=event.data.item).expecting(item="other")
    except Unmet as error:
        return gave_up("unmet", reason=error.reason)
    return done("met")
"""
    async with running(write_project(tmp_path, desk.base, code)) as app:
        run = await app.send(item="a")
        assert await app.label(run) == "gave_up(unmet)"
        receipt = app.entries(run, "receipt")[0].body or {}
        assert receipt["unmet"] == {"item": {"expected": "other", "got": "a"}}
        assert app.actions(run)["1"].state == "settled"


@pytest.mark.parametrize(
    ("first", "second", "raised"),
    [
        ('write(item="a").expecting(item="z")', 'put(item="b")', "Unmet"),
        ('put(item="b")', 'write(item="a").expecting(item="z")', "Refused"),
    ],
)
async def test_together_raises_the_first_failure_in_the_order_of_its_arguments(
    tmp_path: Path, desk: Desk, first: str, second: str, raised: str
) -> None:
    code = f"""
@automation(on=Ask, agent=worker)
async def one(event: Event[Ask]) -> Outcome:
    try:
        await together(desk.keyed(item="well"), desk.{first}, desk.{second})
    except ActionError as error:
        return gave_up(type(error).__name__)
    return done()
"""
    never = '[[rule]]\ntitle = "No putting"\noperation = "desk.put"\nnever = true\n'
    desk.hold = asyncio.Event()
    async with running(write_project(tmp_path, desk.base, code, rules=PERMIT + never)) as app:
        run = await app.send()
        # The refusal is there long before the answer that is not as expected.
        await app.until(lambda view: view.counts().get("actions.refused"))
        await desk.seen_of(2)
        desk.hold.set()
        assert await app.label(run) == f"gave_up({raised})"
        assert {row.state for row in app.actions(run).values()} == {"settled", "refused"}
