"""Line 13: a key is sent again with the same bytes, so never by other code than first sent it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.desk import Desk, fault
from tests.support.fixtures import desk as desk
from tests.support.project import write_project
from tests.support.running import running

CODE = """
@automation(on=Ask, agent=worker)
async def one(event: Event[Ask]) -> Outcome:
    await desk.{operation}(item="a")
    return done()
"""
SHAPED = """
from connectors._shapes import body
@connector.operation(effect="write", **KEYED)
async def shaped(call: Call, item: str) -> Item:
    return Item.model_validate((await call.post("/items", json=body(item))).json())
"""
SHAPE = "def body(item: str) -> dict[str, str]:\n    return {'item': item}\n"


def project(root: Path, desk: Desk, operation: str) -> Path:
    (root / "connectors").mkdir(exist_ok=True)
    (root / "connectors" / "_shapes.py").write_text(SHAPE)
    code = CODE.format(operation=operation)
    return write_project(root, desk.base, code, connector=SHAPED, settle_s=1.0)


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("operation", "file", "old"),
    [
        ("keyed", "desk.py", 'json={"item": item}'),
        ("put", "desk.py", 'json={"item": item}'),
        ("shaped", "_shapes.py", "'item': item"),
    ],
)
async def test_what_other_code_has_sent_is_not_repeated_and_becomes_a_card(
    tmp_path: Path, desk: Desk, operation: str, file: str, old: str
) -> None:
    desk.faults.append(fault("lost"))
    root = project(tmp_path, desk, operation)
    async with running(root) as app:
        run = await app.send()
        await app.state(run, "doubtful")
    # The version is as it was; what it sends is not.
    edit(root / "connectors" / file, old, old.replace(": item", ": item + '!'"))
    async with running(root) as app:
        card = await app.card()
        assert card.id == f"{run}/1" and len(desk.writes) == 1
        assert "the code of desk has changed since" in card.title


async def test_an_intent_that_was_open_when_the_process_ended_is_not_repeated_by_other_code(
    tmp_path: Path, desk: Desk
) -> None:
    desk.faults.append(fault("hang"))
    root = project(tmp_path, desk, "keyed")
    async with running(root) as app:
        run = await app.send()
        await desk.seen_of(1)
    edit(root / "connectors" / "desk.py", 'json={"item": item}', 'json={"item": "b"}')
    async with running(root) as app:
        assert (await app.card()).id == f"{run}/1" and len(desk.writes) == 1


@pytest.mark.parametrize("operation", ["keyed", "shaped"])
async def test_the_same_code_repeats_though_other_files_of_the_project_have_changed(
    tmp_path: Path, desk: Desk, operation: str
) -> None:
    desk.faults.append(fault("lost"))
    root = project(tmp_path, desk, operation)
    async with running(root) as app:
        run = await app.send()
        await app.state(run, "doubtful")
    (root / "connectors" / "other.py").write_text("from connectors import desk\n")
    (root / "automations" / "more.py").write_text("from connectors import desk\n")
    async with running(root) as app:
        assert await app.label(run) == "done"
        assert len({(sent.key, sent.body) for sent in desk.writes}) == 1 and len(desk.writes) == 2
