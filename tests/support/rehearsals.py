"""Rehearsing in this process: small projects, told what would come of their events."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from deputize.cli.rehearse_child import Wishes, examine
from deputize.project import load_project

CONNECTOR = '''
from deputize import Intent, Verification, agree, disagree

HAPPENED = []

@connector.operation(effect="read")
async def is_fine(call: Call, intent: Intent) -> Verification:
    return disagree("it is odd") if intent.args["item"] == "odd" else agree()

class Note(BaseModel):
    id: str
    item: str

@connector.operation(effect="read")
async def count(call: Call, item: str) -> int:
    return len(item)

async def foretell_note(call: Call, item: str) -> Note:
    return Note(id="preview", item=item)

@connector.operation(effect="write", rehearse=foretell_note)
async def note(call: Call, item: str) -> Note:
    HAPPENED.append(item)
    return Note(id="n-1", item=item)

class Mark(BaseModel):
    item: str
    status: str = "done"

@connector.operation(effect="write")
async def mark(call: Call, item: str) -> Mark:
    """Nothing foretells it, and all of it can be derived."""
    HAPPENED.append(item)
    return Mark(item=item)

@connector.operation(effect="write")
async def guess(call: Call, item: str) -> Note:
    """Nothing foretells it, and its id cannot be derived."""
    HAPPENED.append(item)
    return Note(id="n-2", item=item)
'''
"""Operations without a service: what would call them for an effect is seen in `HAPPENED`."""


def event(number: int = 1, type: str = "test.ask", **data: Any) -> dict[str, Any]:
    """A CloudEvent."""
    return {"specversion": "1.0", "source": "/test", "id": f"e{number}", "type": type, "data": data}


def write_events(path: Path, *events: dict[str, Any]) -> Path:
    """A file with an event a line."""
    path.write_text("".join(json.dumps(one) + "\n" for one in events))
    return path


def rehearsed(root: Path, *events: dict[str, Any], automation: str = "work", **wishes: Any) -> dict[str, Any]:
    """What would come of these events."""
    file = write_events(root / "events.jsonl", *(events or (event(),)))
    return told(root, Wishes(automation, file, **wishes))


def rehearsed_again(root: Path, last: int = 100, automation: str = "work", **wishes: Any) -> dict[str, Any]:
    """What would come of the last events that really came."""
    return told(root, Wishes(automation, None, last, **wishes))


def told(root: Path, wishes: Wishes) -> dict[str, Any]:
    """The report, and that no operation with an effect ran."""
    project = load_project(root)
    report = examine(project, wishes, lambda stage: None)
    happened = next(vars(m).get("HAPPENED") for m in project.modules if m.__name__ == "connectors.desk")
    assert happened == []
    return json.loads(json.dumps(report, default=list))  # type: ignore[no-any-return]
