"""The real `deputize` executable, run on a project of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

EXECUTABLE = str(Path(sys.executable).parent / "deputize")
COMMAND_S_MAX = 90


@dataclass(frozen=True)
class Done:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """Its one document. Fails the test where standard output is anything else."""
        return json.loads(self.out)


def deputize(project: Path, *words: str, **environ: str) -> Done:
    """Run one command on a project, from another folder."""
    done = subprocess.run(
        [EXECUTABLE, *words, "--project", str(project)],
        cwd=project.parent,
        env=os.environ | {"COLUMNS": "200"} | environ,
        capture_output=True,
        text=True,
        timeout=COMMAND_S_MAX,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return Done(done.returncode, done.stdout, done.stderr)


@contextmanager
def served(project: Path) -> Iterator[subprocess.Popen[str]]:
    """A running `deputize up`; it is stopped at the end, unless the test has ended it."""
    process = subprocess.Popen(
        [EXECUTABLE, "up", "--project", str(project)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None and process.stderr is not None
        line = process.stdout.readline()
        assert line.startswith("Deputize is ready: http://"), line + process.stderr.read()
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)


def new_project(folder: Path, name: str = "shop") -> Path:
    """A project from the blank template, on any free port, with a desk whose answers get lost."""
    made = subprocess.run([EXECUTABLE, "init", name], cwd=folder, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    project = folder / name
    edit(project / "deputize.toml", "port = 8477", "port = 0")
    with (project / "deputize.toml").open("a") as settings:
        settings.write(PEOPLE)
    (project / "connectors" / "desk.py").write_text(DESK)
    (project / "automations" / "selling.py").write_text(SELLING)
    (project / "rules" / "desk.toml").write_text(RULES)
    return project


def login(project: Path, name: str = "maya") -> None:
    """Let later commands on a served project speak for a person."""
    done = deputize(project, "login", name)
    assert done.code == 0, done.err


def edit(path: Path, old: str, new: str) -> None:
    """Replace one piece of a file that is in it."""
    text = path.read_text()
    assert old in text, (path, old)
    path.write_text(text.replace(old, new))


PEOPLE = """
[people.maya]
roles = ["finance", "admin"]
[people.kim]
roles = ["finance"]
[people.otto]
"""

DESK = """
from pydantic import BaseModel
from deputize import Call, CallUnknown, Connector
connector = Connector("desk", version="1")
class Sale(BaseModel):
    number: int
@connector.operation(effect="write", timeout_s=0.2, settle_s=0.0)
async def sell(call: Call, item: str) -> Sale:
    raise CallUnknown("the line went dead")
"""

SELLING = """
from datetime import timedelta
from agents import host
from connectors import desk
from deputize import Agent, Event, EventData, Outcome, agent, automation, done, wait_for
clerk = agent("clerk")
class Asked(EventData, type="item.asked"):
    item: str
class Paid(EventData, type="item.paid"):
    item: str
@automation(on=Asked, agent=clerk)
async def sell(event: Event[Asked]) -> Outcome:
    sale = await desk.sell(item=event.data.item).because("it was asked for")
    return done(f"sold {sale.number}")
@automation(on=Paid, agent=clerk)
async def hold(event: Event[Paid]) -> Outcome:
    await wait_for(Asked, matching={"item": event.data.item + "!"}, within=timedelta(days=1))
    return done("held")
"""

RULES = """
[[rule]]
title = "The clerk may sell"
operation = "desk.sell"
permit = true
"""
