"""A process whose threads are held restarts itself, and only with a project that would start."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.support.command import deputize, edit, new_project, served

HOLDING = """
import threading

from agents import host
from deputize import Event, EventData, Outcome, automation, done


class Hold(EventData, type="hold"):
    n: int


@automation(on=Hold, agent=host)
async def holds(event: Event[Hold]) -> Outcome:
    threading.Event().wait(60)
    return done("let go")
"""


def send(project: Path, n: int) -> str:
    sent = deputize(project, "send", "hold", "--data", f'{{"n": {n}}}', "--wait", "--json")
    return sent.out


@pytest.mark.parametrize(
    ("file", "slip", "said"),
    [
        ("automations/holding.py", "def f(:\n", "automations/holding.py:17: SyntaxError"),
        ("deputize.toml", '[connectors.desk]\nbase = "env:NOT_SET"\n', "NOT_SET is not set"),
    ],
)
def test_a_process_goes_on_with_what_it_has_until_what_is_on_disk_would_start(
    tmp_path: Path, file: str, slip: str, said: str
) -> None:
    project = new_project(tmp_path)
    holding = project / "automations" / "holding.py"
    holding.write_text(HOLDING)
    with served(project) as process:
        assert process.stdout is not None and process.stderr is not None
        whole = (project / file).read_text()
        (project / file).write_text(f"{whole}\n{slip}")
        for n in range(4):
            assert '"stuck"' in send(project, n)
        assert said in process.stderr.readline()
        assert "not restarting with this: mend it (4 automations hold" in process.stderr.readline()
        (project / file).write_text(whole)
        edit(holding, "threading.Event().wait(60)", "threading.Event().wait(0)")
        # Still the old code, and the next that holds.
        assert '"stuck"' in send(project, 4)
        assert "deputize: restarting: 5 automations hold their threads" in process.stderr.readline()
        assert "comes in, once and within 15 minutes" in process.stdout.readline()
        assert process.stdout.readline().startswith("Deputize is ready: http://")
        # The same process, with the code as it is now.
        assert "let go" in send(project, 5)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert deputize(project, "runs", "--json").out.count("let go") == 6
