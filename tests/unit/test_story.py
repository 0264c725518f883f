"""A story from entries alone: what stands together, what leads where, and what was erased."""

from __future__ import annotations

from typing import Any

from deputize.ledger import Entry
from deputize.sought import Sought, holds, people_in
from deputize.story import line_of, story
from deputize.systemwide import told_systemwide
from tests.unit.test_why import DAY, INTENT, SETTLED, telling

READ = {"path": "1", "op": "shop.find", "args": {}, "agent": "desk", "rules": [], "result": 1}
ASKED = {
    "path": "2", "op": "shop.refund", "args": {}, "again": False, "rules": [], "facts": {},
    "demands": [{"title": "Large", "people": 1, "whom": ["kim"], "then": [], "then_after_s": 0}],
}  # fmt: skip


def told(*entries: tuple[str, dict[str, Any] | None], until: int = 99, whole: str = "") -> Any:
    return story(telling(*entries), until, whole)


def test_what_is_of_one_action_stands_together_where_it_began() -> None:
    found = told(
        ("began", {"state": "ready", "event": {}}),
        ("intent", INTENT),
        ("read", READ | {"path": "2"}),
        ("receipt", SETTLED | {"by": "answer", "result": {"status": "ok"}}),
        ("ended", {"kind": "done", "label": "", "reason": ""}),
    )
    assert [one.get("path", one["kind"]) for one in found] == ["run", "1", "2", "run"]
    said = [step["said"] for step in found[1]["steps"]]
    assert (
        said[0].startswith("It asked for shop.refund with") and said[1] == "It was recorded, and then sent."
    )
    assert said[2] == 'The service answered: status "ok".'
    assert found[1]["parts"]["rules"][0] == 'The rules allowed it by "Old title".'
    assert (
        found[0]["said"].startswith("The automation returns began")
        and found[3]["said"] == "It ended as done."
    )


def test_a_page_ends_with_what_began_on_it_and_has_its_end() -> None:
    entries = [("intent", INTENT), ("read", READ | {"path": "2"}), ("receipt", SETTLED | {"result": 1})]
    (one,) = told(*entries, until=1)
    assert one["path"] == "1" and one["steps"][-1]["type"] == "receipt"
    (rest,) = told(entries[2])
    assert rest["began_before"] and rest["operation"] == "" and rest["steps"][-1]["type"] == "receipt"


def test_links_go_both_ways_within_a_run() -> None:
    found = told(
        ("read", READ | {"path": "1"}),
        ("read", READ | {"path": "2/1"}),
        ("asked", ASKED),
        ("refused", {"path": "2", "reason": "", "changed": {"path": "2~1"}, "changed_args": {}}),
        ("intent", INTENT | {"path": "2~1", "cause": "1"}),
        ("intent", INTENT | {"path": "undo/2~1"}),
    )
    by_path = {one["path"]: one for one in found}
    assert by_path["1"]["called"] == ["2~1"] and by_path["2~1"]["cause"] == "1"
    assert "caused" not in by_path["2~1"]["parts"], "the link says it"
    assert by_path["2"]["inquiries"] == ["2/1"] and by_path["2/1"]["about"] == "2"
    assert by_path["2"]["went_on_as"] == ["2~1"] and by_path["2~1"]["about"] == "2"
    assert by_path["2~1"]["undone_by"] == ["undo/2~1"] and by_path["undo/2~1"]["about"] == "2~1"
    assert by_path["2"]["changed"] and not by_path["2~1"]["changed"]
    assert [step["card"] for step in by_path["2"]["steps"] if step["type"] == "asked"] == [4]


def test_what_was_erased_is_counted_and_not_told() -> None:
    found = told(("began", None), ("read", None), ("read", READ), ("ended", None))
    assert [(one["kind"], one.get("entries")) for one in found] == [
        ("erased", 2),
        ("action", None),
        ("erased", 1),
    ]


def test_a_conversation_is_told_of_the_thought_that_is_asked_for_alone() -> None:
    args = {"messages": [{"role": "user", "text": "hello", "calls": []}], "choices": [], "answer": None}
    thought = READ | {"op": "reader.think", "args": args}
    assert told(("read", thought))[0]["conversation"] == [] and told(("read", thought))[0]["is_thought"]
    assert any("user: hello" in line for line in told(("read", thought), whole="1")[0]["conversation"])


def test_every_entry_has_a_line_by_itself() -> None:
    for type, body, said in (
        ("read", READ, "It asked for shop.find and got 1."),
        ("noted", {"by": {"person": "kim"}}, "Kim has read that."),
        ("woke", {"kind": "timer"}, "The time had come."),
        ("read", None, "Its content has been erased."),
    ):
        made = telling((type, body))
        assert line_of(made, made.entries[0]) == said


def test_what_happened_to_the_project_is_told() -> None:
    def said(type: str, body: dict[str, Any] | None) -> str:
        return told_systemwide(Entry(1, 0, 1, type, DAY, body), str)  # type: ignore[arg-type]

    assert said("opened", {"by": {"person": "", "account": "root"}}) == "The process was started, by root."
    assert (
        said("rules", {"by": {"person": "maya", "account": "x"}}) == "Other rules came into force, by maya."
    )
    assert (
        said("halted", {"scope": "all", "reason": "a fire.", "person": "kim"})
        == "kim paused everything: a fire."
    )
    assert said("resumed", {"scope": "agent:desk", "person": ""}) == 'Somebody let "agent desk" go on.'
    assert said("erased", {"run": "r1"}) == "What run r1 held of people was erased."
    assert said("moved", {"to": "", "nonce": "x"}) == "A move was taken back; the project goes on here."
    assert "7 of its last 9 calls failed" in said(
        "circuit", {"connector": "mail", "state": "open", "calls": 9, "failures": 7}
    )
    token = {"what": "token issued", "person": "kim", "by": "the operator's key"}
    assert said("person", token) == "kim was given a token, by the operator's key."
    assert said("opened", None) == "Its content has been erased."
    assert said("params", {"a": 1}) == "params: a 1"


def test_a_text_is_sought_in_values_and_people_where_they_act() -> None:
    body = {
        "path": "1",
        "args": {"name": "Ünal", "n": 42, "in": [{"deep": "Straße"}]},
        "by": {"person": "kim"},
    }
    assert holds(body, "ünal") and holds(body, "STRASSE") and holds(body, "42")
    assert not holds(body, "deep") and not holds(body, "person")
    assert people_in(body) == {"kim"}
    entry = Entry(1, 1, 1, "read", DAY, None)
    assert Sought(run=1).is_in(entry) and not Sought(text="x").is_in(entry)
