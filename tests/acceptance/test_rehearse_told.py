"""What a rehearsal tells of each thing that an automation may await, of a new event and of a past one."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from deputize.store.erasure import erase_run
from tests.support.project import PERMIT, write_project
from tests.support.rehearsals import CONNECTOR, event, rehearsed, rehearsed_again
from tests.support.running import running

PEOPLE = '[people.maya]\nroles = ["finance"]\n[people.kim]\nroles = ["finance"]\n'
ASK = (
    PERMIT
    + '\n[[rule]]\ntitle = "Notes wait for finance"\noperation = "desk.note"\n'
    + 'ask_always = true\nask = "finance"\n'
)


def project(
    root: Path, body: str, *, rules: str = PERMIT, toml: str = PEOPLE, more: str = "", **kind: Any
) -> Path:
    """A project with one automation; it can be written again over the same ledger."""
    code = (
        f"{more}\n@automation(on=Ask, agent=worker)\nasync def work(event: Event[Ask]) -> Outcome:\n"
        + "".join(f"    {line}\n" for line in body.strip().splitlines())
    )
    write_project(root, "http://127.0.0.1:9", code, rules=rules, toml=toml, connector=CONNECTOR, **kind)
    # The operations without a service: their connection has no address.
    settings = root / "deputize.toml"
    settings.write_text(settings.read_text().replace('base = "http://127.0.0.1:9"\n', ""))
    return root


def actions(report: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [(a["operation"], a["would"], a["how"]) for one in report["told"] for a in one["actions"]]


def end(report: dict[str, Any]) -> tuple[str, str]:
    (one,) = report["told"]
    return one["came"], one["end"] or one["reason"]


# -- a new event ---------------------------------------------------------------------------------------


def test_reads_are_read_previews_are_asked_and_the_rest_is_derived(tmp_path: Path) -> None:
    body = """
n = await desk.count(item="abc")
note = await desk.note(item=str(n)).because("so")
mark = await desk.mark(item=note.id).expecting(status="done")
return done(mark.item)
"""
    report = rehearsed(project(tmp_path, body))
    assert actions(report) == [
        ("desk.count", "read", "read now"),
        ("desk.note", "done", "foretold"),
        ("desk.mark", "done", "derived"),
    ]
    assert end(report) == ("ended", "done(preview)")
    assert report["told"][0]["actions"][2]["origins"] == {"item": "argument", "status": "expected"}


def test_where_nothing_tells_the_result_the_rehearsal_ends_and_says_so(tmp_path: Path) -> None:
    body = 'note = await desk.guess(item="a")\nawait desk.note(item=note.id)\nreturn done()'
    report = rehearsed(project(tmp_path, body))
    assert actions(report) == [("desk.guess", "untold", "")]
    came, reason = end(report)
    assert came == "untold" and "what comes after desk.guess cannot be told" in reason
    assert "nothing tells id of its result before; give its contract rehearse=" in reason


def test_side_by_side_all_parts_are_told_though_one_cannot_be(tmp_path: Path) -> None:
    body = 'await together(desk.guess(item="a"), desk.note(item="b"), sleep(seconds(5)))\nreturn done()'
    report = rehearsed(project(tmp_path, body))
    assert [(what, would) for what, would, _ in actions(report)] == [
        ("desk.guess", "untold"),
        ("desk.note", "done"),
        ("sleep", "passed"),
    ]
    assert end(report)[0] == "untold"


def test_an_unmet_expectation_and_a_refusal_are_raised_as_they_are_live(tmp_path: Path) -> None:
    rules = PERMIT + '\n[[rule]]\ntitle = "No marks"\noperation = "desk.mark"\nnever = true\n'
    body = """
unmet = await attempt(desk.note(item="a").expecting(id="n-1"))
no = await attempt(desk.mark(item="a"))
return done(type(unmet).__name__ + type(no).__name__ + ": " + no.reason)
"""
    report = rehearsed(project(tmp_path, body, rules=rules))
    assert end(report) == ("ended", 'done(UnmetRefused: refused by "No marks")')
    assert report["refused"] == 1 and report["told"][0]["actions"][1]["rules"] == ["No marks"]


def test_what_the_agent_may_not_and_what_no_rule_permits_is_refused(tmp_path: Path) -> None:
    body = 'return done((await attempt(desk.note(item="a"))).reason)'
    agents = 'worker = agent("worker", may=["desk.mark"])'
    assert end(rehearsed(project(tmp_path, body, agents=agents)))[1] == (
        "done(the agent worker may not use desk.note)"
    )
    assert end(rehearsed(project(tmp_path, body, rules="")))[1] == "done(no rule permits it)"


def test_a_plan_of_ones_own_that_rules_bar_is_refused_whole(tmp_path: Path) -> None:
    body = """
plan = Plan.from_yaml('goal: g\\nsteps:\\n' + ''.join(
    f'  - {{id: {id}, operation: desk.{id}, arguments: {{item: x}}}}\\n' for id in ('note', 'mark')
))
return done((await attempt(carry_out(plan))).reason)
"""
    rules = PERMIT + '[[rule]]\ntitle = "No marks"\noperation = "desk.mark"\nnever = true\n'
    report = rehearsed(project(tmp_path, body, rules=rules))
    barred = 'nothing of its plan is done: step mark: "No marks" forbids desk.mark always'
    assert end(report)[1] == f"done(the plan stopped at the step note: {barred})"
    assert [one[:2] for one in actions(report)] == [("desk.note", "refused")]


def test_budgets_and_counts_are_those_of_the_events_before(tmp_path: Path) -> None:
    rules = PERMIT + (
        '\n[[rule]]\ntitle = "Two a day"\noperation = "desk.note"\nat_most = { times = 2, per = "day" }\n'
    )
    body = 'await desk.note(item="a")\nreturn done()'
    report = rehearsed(project(tmp_path, body, rules=rules), *(event(n) for n in range(4)))
    assert report["ends"] == {"done": 2, "failed": 2} and report["refused"] == 2
    agents = 'worker = agent("worker", budgets=[budget("3 actions", per="day")])'
    report = rehearsed(project(tmp_path, body, agents=agents), *(event(n) for n in range(4)))
    assert report["ends"] == {"done": 3, "failed": 1}


def test_what_rules_ask_of_people_is_told_and_taken_as_granted(tmp_path: Path) -> None:
    root = project(tmp_path, 'await desk.note(item="a")\nreturn done("noted")', rules=ASK)
    report = rehearsed(root)
    (note,) = report["told"][0]["actions"]
    assert (note["asks"], note["as"], note["rules"]) == (
        ["finance"],
        "as if approved",
        ["Notes wait for finance"],
    )
    assert end(report) == ("ended", "done(noted)") and report["asking"] == 1
    refused = rehearsed(root, as_refused=True)
    assert end(refused)[0] == "ended" and "people are taken to refuse it" in refused["told"][0]["reason"]


VERIFY = PERMIT + (
    '\n[[rule]]\ntitle = "Notes are looked at"\noperation = "desk.note"\n'
    'verify_with = "desk.is_fine"\nask = "finance"\n'
)
REHEARSE = PERMIT + (
    '\n[[rule]]\ntitle = "Notes are rehearsed"\noperation = "desk.note"\nrehearse = true\nask = "finance"\n'
)
TWO_NOTES = 'await desk.note(item="fine")\nawait desk.note(item="odd")\nreturn done()'


def test_what_rules_want_to_be_found_out_is_found_out(tmp_path: Path) -> None:
    report = rehearsed(project(tmp_path, TWO_NOTES, rules=VERIFY))
    fine, odd = report["told"][0]["actions"]
    assert (fine["checks"], fine["asks"]) == (["desk.is_fine agrees (now)"], [])
    assert (odd["checks"], odd["asks"]) == (["desk.is_fine does not agree (now): it is odd"], ["finance"])
    body = (
        'await desk.note(item="a").expecting(item="a")\nawait attempt(desk.note(item="a").expecting(id="x"))'
    )
    report = rehearsed(project(tmp_path, body + "\nreturn done()", rules=REHEARSE))
    met, unmet = report["told"][0]["actions"]
    assert (met["checks"], met["asks"]) == (["a rehearsal agrees (now)"], [])
    assert unmet["asks"] == ["finance"] and "does not agree (now): id was expected" in unmet["checks"][0]


def test_where_nobody_can_be_asked_it_is_refused(tmp_path: Path) -> None:
    rules = VERIFY.replace('ask = "finance"\n', "")
    report = rehearsed(project(tmp_path, 'await desk.note(item="odd")\nreturn done()', rules=rules, toml=""))
    assert report["told"][0]["end"] == "failed" and report["asking"] == 0
    assert "there is nobody to ask: add [people.NAME]" in report["told"][0]["actions"][0]["reason"]


def test_what_was_found_out_then_is_not_asked_again(tmp_path: Path) -> None:
    root = project(tmp_path, TWO_NOTES, rules=VERIFY)

    async def live() -> None:
        async with running(root) as it:
            run = await it.send()
            card = await it.card()
            await it.kernel.approving.approve(card.id, binding=card.body["binding"], person="maya")
            await it.ended(run)

    asyncio.run(live())
    report = rehearsed_again(root)
    assert report["differ"] == {"same": 1}
    assert [a["checks"] for a in report["told"][0]["actions"]] == [
        ["desk.is_fine agrees (as recorded)"],
        ["desk.is_fine does not agree (as recorded): it is odd"],
    ]
    assert [a["asks"] for a in report["told"][0]["actions"]] == [[], ["finance"]]


def test_a_new_look_at_what_is_done_by_now_is_taken_for_granted(tmp_path: Path) -> None:
    root = project(tmp_path, TWO_NOTES)

    async def live() -> None:
        async with running(root) as it:
            await it.ended(await it.send())

    asyncio.run(live())
    report = rehearsed_again(project(tmp_path, TWO_NOTES, rules=VERIFY))
    assert report["differ"] == {"same": 1}
    checks = [check for a in report["told"][0]["actions"] for check in a["checks"]]
    assert checks == ["desk.is_fine agrees (taken for granted)"] * 2


@pytest.mark.parametrize(
    ("body", "what", "said"),
    [
        (
            'await wait_for(Word, matching={"item": "i"}, within=days(1))\nreturn done()',
            "wait_for test.word",
            "waits for an event test.word",
        ),
        (
            'await ask("finance", "May we?")\nreturn done()',
            "ask",
            "waits for the answer of finance to 'May we?'",
        ),
    ],
)
def test_a_wait_is_told_and_ends_the_rehearsal(tmp_path: Path, body: str, what: str, said: str) -> None:
    report = rehearsed(project(tmp_path, body))
    assert [a[:2] for a in actions(report)] == [(what, "waits")]
    assert end(report)[0] == "waits" and said in end(report)[1]


def test_sleeps_pass_at_once_and_time_moves(tmp_path: Path) -> None:
    body = """
before = now()
await sleep(days(40))
await until(before + days(50))
return done(str((now() - before).days))
"""
    assert end(rehearsed(project(tmp_path, body))) == ("ended", "done(50)")


def test_an_event_is_told_and_not_sent_and_must_be_readable(tmp_path: Path) -> None:
    other = (
        "@automation(on=Word, agent=worker)\nasync def hears(event: Event[Word]) -> Outcome:\n"
        "    return done()\n"
    )
    root = project(tmp_path, 'sent = await send(Word(item="x"))\nreturn done(sent.id)', more=other)
    report = rehearsed(root)
    assert actions(report) == [("send test.word", "sent", "")] and end(report) == ("ended", "done(1)")
    body = 'class Odd(EventData, type="test.word"):\n    item: int = 1\nawait send(Odd())\nreturn done()'
    report = rehearsed(project(tmp_path, body, more=other))
    assert end(report)[0] == "ended" and "data.item" in report["told"][0]["reason"]


def test_a_question_to_nobody_fails_as_live(tmp_path: Path) -> None:
    report = rehearsed(project(tmp_path, 'await ask("finnance", "May we?")\nreturn done()'))
    assert report["told"][0]["end"] == "failed"
    assert "did you mean 'finance'?" in report["told"][0]["reason"]


# -- a past event --------------------------------------------------------------------------------------

STORY = """
note = await desk.note(item="a").because("so")
await sleep(seconds(0.05))
word = await wait_for(Word, matching={"item": "i"}, within=days(1))
answer = await ask("finance", "May we?", choices=["yes", "no"])
sent = await send(Word(item="else"))
mark = await desk.mark(item=note.id + word.data.text + answer)
return done(mark.item)
"""


async def lived(root: Path) -> None:
    """One run that has waited for everything, and been answered."""
    async with running(root) as it:
        run = await it.send()
        await it.until(lambda view: [w for w in view.waits(1) if w.kind == "event"])
        await it.send(type="test.word", item="i", text="-b-")
        card = await it.card()
        await it.kernel.answering.answer(card.id, value="yes", person="maya")
        assert await it.label(run) == "done(n-1-b-yes)"


def test_a_past_event_is_told_as_it_was_waits_and_answers_too(tmp_path: Path) -> None:
    asyncio.run(lived(project(tmp_path, STORY)))
    report = rehearsed_again(tmp_path)
    assert end(report) == ("ended", "done(n-1-b-yes)") and report["differ"] == {"same": 1}
    assert [would for _, would, _ in actions(report)] == [
        "done",
        "passed",
        "answered",
        "answered",
        "sent",
        "done",
    ]


def test_a_wait_of_new_code_is_no_wait_of_then(tmp_path: Path) -> None:
    asyncio.run(lived(project(tmp_path, STORY)))
    project(tmp_path, STORY.replace('"May we?"', '"May we now?"'))
    report = rehearsed_again(tmp_path)
    assert end(report)[0] == "waits" and report["differ"] == {"same": 0, "now_waits": 1}


def test_an_answer_of_then_is_taken_where_people_were_asked(tmp_path: Path) -> None:
    root = project(tmp_path, 'note = await desk.note(item="a")\nreturn done(note.item)', rules=ASK)

    async def live() -> None:
        async with running(root) as it:
            runs = [await it.send() for _ in range(3)]
            await it.until(lambda view: len(view.cards()) == 3)
            cards = {card.run_id: card for card in it.cards()}
            say = it.kernel.approving
            binding = {run: cards[run].body["binding"] for run in runs}
            await say.approve(cards[runs[0]].id, binding=binding[runs[0]], person="maya")
            await say.refuse(cards[runs[1]].id, binding=binding[runs[1]], reason="no", person="maya")
            args = {"item": "other"}
            await say.change(cards[runs[2]].id, binding=binding[runs[2]], args=args, reason="", person="maya")
            again = await it.until(lambda view: [c for c in view.cards() if "~" in c.path])
            await say.approve(again[0].id, binding=again[0].body["binding"], person="kim")
            assert [row.label for row in await it.ended(*runs)] == ["done(a)", "failed", "done(other)"]

    asyncio.run(live())
    report = rehearsed_again(root)
    assert report["differ"] == {"same": 3}
    assert [(a["would"], a["as"]) for one in report["told"] for a in one["actions"]] == [
        ("done", "as then"),
        ("refused", "as then"),
        ("refused", "as then"),
        ("done", "as then"),
    ]
    project(tmp_path, 'note = await desk.note(item="a")\nreturn done(note.item)', rules=PERMIT)
    assert rehearsed_again(root)["differ"]["no_longer_asks"] == 3


def test_an_event_that_came_before_is_rehearsed_and_said_to_count_once(tmp_path: Path) -> None:
    root = project(tmp_path, 'await desk.note(item="a")\nreturn done()')

    async def live() -> None:
        async with running(root) as it:
            await it.ended(await it.send("e1"))

    asyncio.run(live())
    report = rehearsed(root, event(1) | {"source": "test"}, event(2))
    assert (report["events"], report["known"]) == (2, 1)


def test_what_was_erased_cannot_be_rehearsed_and_is_counted(tmp_path: Path) -> None:
    root = project(tmp_path, 'await desk.note(item="a")\nreturn done()')

    async def live() -> None:
        async with running(root) as it:
            runs = [await it.send() for _ in range(2)]
            await it.ended(*runs)
            await it.system.store.write(lambda tx: erase_run(tx, it.run(runs[0]).no, tx.version(0)))

    asyncio.run(live())
    report = rehearsed_again(root)
    assert (report["events"], report["erased"]) == (1, 1)


def test_a_run_that_has_not_ended_is_compared_as_far_as_it_came(tmp_path: Path) -> None:
    root = project(tmp_path, 'await desk.note(item="a")\nawait sleep(days(1))\nreturn done()')

    async def live() -> None:
        async with running(root) as it:
            run = await it.send()
            await it.state(run, "waiting")

    asyncio.run(live())
    report = rehearsed_again(root)
    assert report["differ"] == {"same": 1} and report["told"][0]["really"] == ""


def test_a_ledger_is_as_it_was_for_each_event_and_not_as_it_is_now(tmp_path: Path) -> None:
    rules = PERMIT + (
        '\n[[rule]]\ntitle = "Three a day"\noperation = "desk.note"\nat_most = { times = 3, per = "day" }\n'
    )
    body = 'no = await attempt(desk.note(item="a"))\nreturn done(type(no).__name__)'
    root = project(tmp_path, body, rules=rules)

    async def live() -> None:
        async with running(root) as it:
            for _ in range(5):
                await it.ended(await it.send())

    asyncio.run(live())
    ends = {"done(Note)": 3, "done(Refused)": 2}
    assert rehearsed_again(root)["ends"] == ends and rehearsed_again(root)["differ"] == {"same": 5}
    # Of the last three, the first was the third of its day.
    assert rehearsed_again(root, 3)["ends"] == {"done(Note)": 1, "done(Refused)": 2}
    project(tmp_path, body, rules=rules.replace("times = 3", "times = 4"))
    report = rehearsed_again(root)
    assert report["ends"] == {"done(Note)": 4, "done(Refused)": 1}
    assert report["differ"] == {"same": 4, "no_longer_refused": 1, "other_end": 1}
    project(tmp_path, body.replace('"a"', '"b"'), rules=rules.replace("times = 3", "times = 2"))
    report = rehearsed_again(root)
    assert report["ends"] == {"done(Note)": 2, "done(Refused)": 3}


def test_what_is_new_in_the_code_comes_after_what_was_waited_for(tmp_path: Path) -> None:
    rules = PERMIT + (
        '\n[[rule]]\ntitle = "One note"\noperation = "desk.note"\nat_most = { times = 1, per = "ever" }\n'
    )
    first = 'await wait_for(Word, matching={"item": event.data.item}, within=days(1))\n'
    body = first + 'if event.data.item == "b":\n    await desk.note(item="b")\nreturn done()'
    root = project(tmp_path, body, rules=rules)

    async def live() -> None:
        async with running(root) as it:
            waits = await it.send(item="a")
            await it.state(waits, "waiting")
            other = await it.send(item="b")
            await it.send(type="test.word", item="b")
            await it.ended(other)
            await it.send(type="test.word", item="a")
            await it.ended(waits)

    asyncio.run(live())
    assert rehearsed_again(root)["differ"] == {"same": 2}
    # The other has taken the only note before this one comes to it.
    project(tmp_path, first + "await attempt(desk.note(item=event.data.item))\nreturn done()", rules=rules)
    report = rehearsed_again(root)
    assert [one["actions"][1]["would"] for one in report["told"]] == ["refused", "done"]
    assert report["differ"] == {"same": 1, "also": 1}
