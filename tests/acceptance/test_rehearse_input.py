"""What is wrong with what `deputize rehearse` is given is said in lines that tell what to do."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from deputize.cli import event_file
from deputize.cli.rehearse_child import Wishes
from deputize.errors import ProjectError
from tests.support.command import deputize, edit, new_project
from tests.support.project import write_project
from tests.support.rehearsals import CONNECTOR, event, rehearsed, rehearsed_again, told, write_events
from tests.support.running import running

CODE = """
@automation(on=Ask, agent=worker)
async def work(event: Event[Ask]) -> Outcome:
    await desk.note(item=event.data.item).because(event.data.item)
    return done(event.data.item[:100])

@automation(on=Word, agent=worker)
async def listen(event: Event[Word]) -> Outcome:
    return done()
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_project(tmp_path, "http://127.0.0.1:9", CODE, connector=CONNECTOR)
    settings = tmp_path / "deputize.toml"
    settings.write_text(settings.read_text().replace('base = "http://127.0.0.1:9"\n', ""))
    return tmp_path


def wrong(root: Path, *events: dict[str, Any], raw: bytes | None = None) -> str:
    """The error of a file with these events, or with just these bytes."""
    file = root / "given.json"
    if raw is None:
        write_events(file, *events)
    else:
        file.write_bytes(raw)
    with pytest.raises(ProjectError) as caught:
        told(root, Wishes("work", file))
    return str(caught.value)


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "is empty; write a CloudEvent as JSON, or one a line"),
        (b" \n\n", "is empty; write a CloudEvent as JSON, or one a line"),
        (b"{", "is not JSON: "),
        (b"not json\n", "; write a CloudEvent as JSON, or one a line"),
        (b"\xff\xfe{}", "is not UTF-8 (at byte 0)"),
        (b"[" * 5_000, "is not JSON: "),
        (b"[]", "has 0 events; rehearse 1 to 10,000 at once"),
        (b"7", "a CloudEvent is a JSON object with specversion, source, id, type and data"),
        (b"[7]", "event 1: a CloudEvent is a JSON object"),
        (b"{}", "specversion must be '1.0', and is None"),
    ],
)
def test_a_file_that_holds_no_event_is_told_with_what_to_write(root: Path, raw: bytes, said: str) -> None:
    assert said in wrong(root, raw=raw)


def test_a_line_that_is_not_json_is_told_with_its_number(root: Path) -> None:
    raw = json.dumps(event(1)).encode() + b"\n\n{oops\n" + json.dumps(event(2)).encode()
    assert "given.json:3 is not JSON: " in wrong(root, raw=raw)


def test_an_event_of_another_type_is_told_with_who_answers_it_or_the_nearest_name(root: Path) -> None:
    said = wrong(root, event(1), event(2, type="test.word", item="a", text="b"), event(3, type="test.aks"))
    first, second = said.splitlines()
    assert (
        "given.json:2: work answers 'test.ask', and the event's type is 'test.word'; listen answers it"
        in first
    )
    assert "given.json:3: " in second and "is 'test.aks'; did you mean 'test.ask'?" in second


def test_data_that_does_not_fit_is_told_with_its_field(root: Path) -> None:
    said = wrong(root, event(1, item=5), event(2) | {"id": ""}, event(3) | {"time": "noon"})
    assert "given.json:1: event e1 of type test.ask: data.item: " in said
    assert "given.json:2: id must be text of 1 to 500 characters" in said
    assert "given.json:3: time must be ISO 8601" in said


def test_of_many_problems_some_are_shown_and_the_rest_is_counted(root: Path) -> None:
    said = wrong(root, *(event(n, item=n) for n in range(50))).splitlines()
    assert len(said) == 21 and said[-1] == "… and 30 more"


def test_a_file_that_is_too_large_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_file, "FILE_BYTES_MAX", 1_000)
    assert "has more than 1,000 bytes; split it" in wrong(root, *(event(n) for n in range(50)))
    monkeypatch.setattr(event_file, "FILE_BYTES_MAX", 10_000_000)
    monkeypatch.setattr(event_file, "EVENTS_MAX", 49)
    assert "has 50 events; rehearse 1 to 49 at once" in wrong(root, *(event(n) for n in range(50)))
    assert "data is 1,000,012 bytes; at most 1,000,000" in wrong(root, event(1, item="x" * 1_000_000 + "y"))


def test_an_array_a_single_event_and_lines_are_all_events_and_one_that_comes_twice_is_one(root: Path) -> None:
    assert rehearsed(root, event(1), event(2), event(1))["events"] == 2
    (root / "events.jsonl").write_text(json.dumps(event(1), indent=2))
    assert told(root, Wishes("work", root / "events.jsonl"))["events"] == 1
    (root / "events.jsonl").write_text(json.dumps([event(1), event(2), event(3)]))
    assert told(root, Wishes("work", root / "events.jsonl"))["events"] == 3


def test_an_automation_that_is_not_there_is_told_with_the_nearest_name(root: Path) -> None:
    with pytest.raises(ProjectError, match=r"there is no automation 'wrok'; did you mean 'work'\?"):
        rehearsed(root, automation="wrok")


def test_the_command_says_all_of_it_in_lines(tmp_path: Path) -> None:
    project = new_project(tmp_path)
    for words, said, code in (
        (("sell",), "give one of --event FILE, --last N and --run ID", 2),
        (("sell", "--event", "x", "--last", "2"), "give one of --event FILE, --last N and --run ID", 2),
        (("sell", "--last", "x"), "unable to parse string as an integer", 2),
        (("--last", "3"), "Missing argument 'automation'", 2),
        (("sell", "--last", "3"), "yet; `deputize up` makes one", 1),
        (("sel", "--event", "x"), "there is no automation 'sel'; did you mean 'sell'?", 1),
        (
            ("sell", "--event", "nowhere.json"),
            "nowhere.json: No such file or directory; --event takes a file",
            1,
        ),
        (("sell", "--event", "."), "Is a directory; --event takes a file", 1),
    ):
        done = deputize(project, "rehearse", *words)
        assert (done.code, said in done.err) == (code, True), (words, done.err)
        assert len(done.err.splitlines()) == 1
    broken = project / "automations" / "selling.py"
    edit(broken, "async def sell(", "async def sell(:")
    done = deputize(project, "rehearse", "sell", "--last", "1", "--json")
    assert done.code == 1 and "automations/selling.py:" in done.json()["error"]


def test_a_project_that_prints_and_ends_itself_is_told(tmp_path: Path) -> None:
    project = new_project(tmp_path)
    file = write_events(project / "e.json", event(type="item.asked", item="x"))
    with (project / "agents.py").open("a") as agents:
        agents.write('\nprint("{\\"report\\": 1}")\n')
    done = deputize(project, "rehearse", "sell", "--event", str(file))
    assert done.code == 0 and "can be told up to a point" in done.out
    with (project / "agents.py").open("a") as agents:
        agents.write("\nimport os\nos._exit(9)\n")
    done = deputize(project, "rehearse", "sell", "--event", str(file))
    assert done.code == 1 and "ended without a report (exit 9)" in done.err


def test_hostile_text_reaches_no_terminal(tmp_path: Path, root: Path) -> None:
    evil = "\x1b[31mred\x1b[0m\x07\x9b2J‮\nsecond line\r"
    file = write_events(
        root / "e.json", event(1, item=evil) | {"id": "e\x9b2J1", "source": "/t‮", "subject": evil}
    )
    done = deputize(root, "rehearse", "work", "--event", str(file))
    assert done.code == 0, done.err
    assert "would end done(" in done.out and "red" in done.out
    assert all(char.isprintable() for line in done.out.split("\n") for char in line)
    assert (
        deputize(root, "rehearse", "work", "--event", str(file), "--json").json()["told"][0]["event"][
            "subject"
        ]
        == evil
    )


def test_a_secret_in_an_event_is_taken_out_as_it_is_live(root: Path) -> None:
    (root / ".env").write_text("DESK_TOKEN=a-long-enough-secret\n")
    edit(
        root / "deputize.toml",
        "concurrent_max = 200",
        'base = "http://127.0.0.1:9"\ntoken = "env:DESK_TOKEN"',
    )
    report = json.dumps(rehearsed(root, event(1, item="it is a-long-enough-secret")))
    assert "a-long-enough-secret" not in report and "[secret DESK_TOKEN]" in report


def test_a_past_without_events_says_what_else_there_is(root: Path) -> None:
    async def live() -> None:
        async with running(root):
            return

    asyncio.run(live())
    with pytest.raises(ProjectError, match="work has answered no event yet; rehearse one by --event FILE"):
        rehearsed_again(root)
