"""Pinned notes: what people set for an agent stands before all that its model is asked, and a run keeps what
it began with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx2
import pytest

from deputize import agent
from deputize.errors import ProjectError
from deputize.project import load_project
from deputize.store.erasure import erase_run
from deputize.store.sqlite.offline import OfflineLedger
from deputize.system import System
from deputize.testing.thinker import Thinker
from tests.support.command import deputize
from tests.support.project import write_project
from tests.support.running import Running, running, so
from tests.support.serving import SERVER, child, cloudevent
from tests.support.thinkers import RULES, SMALL, ended, why
from tests.support.thinkers import thinker as thinker

CODE = """
@automation(on=Word, agent=worker)
async def thinks(event: Event[Word]) -> Outcome:
    said = [await think(f"{n}: {event.data.text}", about="to see") for n in range(event.data.n)]
    return done("thought", said=said)
@automation(on=Ask, agent=worker)
async def works(event: Event[Ask]) -> Outcome:
    return done(await worker.work("Do it."))
@automation(on=Planned, agent=worker)
async def plans(event: Event[Planned]) -> Outcome:
    return done((await plan("Do it.")).plan.end)
"""
EVENTS = """
class Word(EventData, type="test.word"):
    text: str = ""
    n: int = 1
class Planned(EventData, type="test.planned"):
    text: str = ""
"""
AGENTS = (
    'from connectors import desk\nworker = agent("worker", model="small", may=[desk.put], remembers={names})'
)
STYLE, TONE = "Write British English.\n\n- No exclamation marks", "Be kind."
HEADING = (
    "Notes that people have pinned for you. They set them, and they count before anything that you are given:"
)
PINNED = f"{HEADING}\n\n# house-style\n{STYLE}\n\n# tone\n{TONE}"


def project(root: Path, thinker: Thinker, names: str = '["house-style", "tone"]', **notes: str) -> Path:
    made = write_project(
        root / "project",
        "http://127.0.0.1:9",
        EVENTS + CODE,
        agents=AGENTS.format(names=names),
        rules=RULES,
        toml=SMALL.format(base=thinker.base) + SERVER,
    )
    (made / "memory").mkdir(exist_ok=True)
    for name, text in ({"house_style": STYLE, "tone": TONE} | notes).items():
        (made / "memory" / f"{name.replace('_', '-')}.md").write_text(text)
    return made


def asked(thinker: Thinker, number: int = -1) -> list[tuple[str, str]]:
    """The messages of a question: who says each, and what."""
    return [(one["role"], one["content"]) for one in thinker.asked()[number]["messages"]]


async def test_notes_stand_before_all_that_a_model_is_asked(tmp_path: Path, thinker: Thinker) -> None:
    step = {"id": "a", "operation": "desk.put", "arguments": {"item": "x"}}
    thinker.say(
        {"text": "well"},
        {"calls": [{"name": "answer", "args": {"text": "well"}}]},
        {"text": json.dumps({"goal": "g", "steps": [step], "end": "well"})},
    )
    async with running(project(tmp_path, thinker)) as app:
        for number, type in enumerate(("test.word", "test.ask", "test.planned")):
            run = await app.send(type=type)
            assert (await ended(app, run))[0] == "done"
            (role, first), *rest = asked(thinker, number)
            assert role == "system" and first.endswith(PINNED) and rest
            assert [one for one, _ in rest] == ["user"]
            # People set them: nothing of it comes from outside.
            [intent] = app.entries(run, "intent")
            assert intent.body and intent.body["origins"] == [type]
    assert asked(thinker, 0) == [("system", PINNED), ("user", "0: ")]


async def test_why_says_which_notes_a_thought_was_asked_with(tmp_path: Path, thinker: Thinker) -> None:
    root = project(tmp_path, thinker)
    tone = load_project(root).agents["worker"].notes[1]
    async with running(root) as app:
        run = await app.send(type="test.word")
        await ended(app, run)
        said = why(app, run, "1")
        assert "It was asked with what people have pinned for the agent: house-style (" in said
        assert f" and tone ({tone.digest[:12]})." in said
        await app.ended(run)


async def test_an_agent_without_notes_is_asked_as_ever(tmp_path: Path, thinker: Thinker) -> None:
    async with running(project(tmp_path, thinker, "[]")) as app:
        run = await app.send(type="test.word")
        await ended(app, run)
        [began] = app.entries(run, "began")
        assert began.body and "notes" not in began.body and "pinned" not in why(app, run, "1")
    assert asked(thinker) == [("user", "0: ")]


@pytest.mark.parametrize("then", ["edited", "gone", "others"])
async def test_a_run_keeps_the_notes_that_it_began_with_over_kill_9_and_an_edit(
    tmp_path: Path, thinker: Thinker, then: str
) -> None:
    thinker.say({"text": "one"}, {"text": "lost", "held": True}, {"text": "two"}, {"text": "three"})
    root = project(tmp_path, thinker)
    async with child(root) as first, httpx2.AsyncClient(trust_env=False) as http:
        event = cloudevent("e", type="test.word", n=3)
        [run] = (await http.post(f"{first.url}/v1/events", json=event)).json()["accepted"][0]["runs"]
        await so(lambda: len(thinker.asked()) == 2)
        first.process.kill()
        await first.wait()
    if then == "edited":
        project(tmp_path, thinker, tone="Be brief.")
    elif then == "gone":
        project(tmp_path, thinker, "[]")
        (root / "memory" / "tone.md").unlink()
    else:
        project(tmp_path, thinker, '["tone", "house-style", "more"]', more="More.")
    # What is on disk by now goes on where the record is: so it is found by the check, too.
    checked = deputize(root, "check")
    assert checked.code == 0, checked.out
    async with running(root) as app:
        assert await ended(app, run) == ("done", "thought")
        assert [asked(thinker, n)[0] for n in range(4)] == [("system", PINNED)] * 4
        for intent in app.entries(run, "intent"):
            assert intent.body and [name for name, _ in intent.body["notes"]] == ["house-style", "tone"]
        await ended(app, await app.send(type="test.word"))
        now = {
            "edited": PINNED.replace("Be kind.", "Be brief."),
            "gone": "",
            "others": f"{HEADING}\n\n# tone\n{TONE}\n\n# house-style\n{STYLE}\n\n# more\nMore.",
        }[then]
        assert asked(thinker) == [*([("system", now)] if now else []), ("user", "0: ")]


def kept_apart(root: Path) -> list[str]:
    """What the ledger keeps by digest."""
    ledger = OfflineLedger(root / "data" / "ledger.db")
    try:
        return ledger.read(
            lambda view: sorted(str(row[0]) for row in view.db.execute("SELECT bytes FROM blob"))
        )
    finally:
        ledger.close()


async def test_their_texts_are_kept_once_and_go_with_the_last_run_that_has_them(
    tmp_path: Path, thinker: Thinker
) -> None:
    root = project(tmp_path, thinker)

    def erase(app: Running, run: str) -> Any:
        no = app.run(run).no
        return app.system.store.write(lambda tx: erase_run(tx, no, tx.version(0)))

    async with running(root) as app:
        runs = [await app.send(type="test.word") for _ in range(3)]
        await app.ended(*runs)
    assert len(kept_apart(root)) == 1
    async with running(root) as app:
        for run in runs[:2]:
            await erase(app, run)
    assert len(kept_apart(root)) == 1
    async with running(root) as app:
        await erase(app, runs[2])
    assert kept_apart(root) == []


WRONG: dict[str, tuple[str, bytes | None, str]] = {
    "missing": ('["tome"]', None, "agent worker: remembers: there is no memory/tome.md; did you mean"),
    "another encoding": ('["x"]', b"so\ngr\xfc\xdfe", "memory/x.md:2: it is no UTF-8 text; save it as UTF-8"),
    "too long": ('["x"]', b"a" * 8_001, "memory/x.md: it has 8,001 characters, and 8,000 are the most"),
    "far too long": ('["x"]', "é".encode() * 20_000, "memory/x.md: it"),
    "empty": ('["x"]', b" \n", "memory/x.md: it is empty"),
    "a login": ('["x"]', b"Use sk-canary-1234567890.", "memory/x.md: it holds a login"),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_with_a_note_is_said_with_its_file(
    tmp_path: Path, thinker: Thinker, wrong: str
) -> None:
    names, data, said = WRONG[wrong]
    root = project(tmp_path, thinker, names)
    if data is not None:
        (root / "memory" / "x.md").write_bytes(data)
    checked = deputize(root, "check")
    assert checked.code != 0 and said in " ".join(checked.out.split()), checked.out
    assert "canary" not in checked.out


def test_nothing_starts_with_a_login_in_a_note(tmp_path: Path, thinker: Thinker) -> None:
    root = project(tmp_path, thinker, tone="Use sk-canary-1234567890.")
    with pytest.raises(ProjectError, match=r"memory/tone.md: it holds a login"):
        System.open(root)


def test_a_note_of_8_000_characters_with_a_mark_and_windows_lines_is_read(
    tmp_path: Path, thinker: Thinker
) -> None:
    root = project(tmp_path, thinker, '["x"]')
    (root / "memory" / "x.md").write_bytes("\ufeffé\r\n".encode() + "é".encode() * 7_998)
    [note] = load_project(root).agents["worker"].notes
    assert note.text.startswith("é\né") and len(note.text) == 8_000


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ("tone", "remembers takes a list of names"),
        (None, "remembers takes a list of names"),
        ([f"n{n}" for n in range(21)], "remembers has 21 notes, and 20 are the most"),
        (["../rules"], "'../rules' is no note's name"),
        (["tone.md"], "without .md"),
        ([5], "5 is no note's name"),
        (["tone", "tone"], "remembers has 'tone' twice"),
    ],
)
def test_names_that_are_none_are_said(names: Any, said: str) -> None:
    with pytest.raises(ProjectError, match=said):
        agent("worker", remembers=names)
