"""Projects with a model, which is a real server of the OpenAI protocol on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from deputize.store.telling import read_telling
from deputize.testing.thinker import Thinker
from deputize.why import why_action
from tests.support.project import PERMIT
from tests.support.running import Running

RULES = PERMIT + '\n[[rule]]\ntitle = "All may think"\noperation = "*.think"\npermit = true\n'
SMALL = """
[models.small]
model = "openai-chat:tiny"
base = "{base}"
key = "env:SMALL_KEY"
price = {{input = 1.0, output = 4.0}}
output_tokens_max = 100
overhead_tokens = 50
timeout_s = 5
"""


@pytest.fixture
def thinker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Thinker]:
    """A model's server, and the key to it in the environment."""
    monkeypatch.setenv("SMALL_KEY", "sk-canary-1234567890")
    with Thinker.start(tmp_path) as found:
        yield found


async def ended(world: Running, run: str) -> tuple[str, str]:
    """How a run ended: the kind and the label."""
    await world.ended(run)
    [entry] = world.entries(run, "ended")
    assert entry.body
    return entry.body["kind"], entry.body["label"]


def why(world: Running, run: str, path: str) -> str:
    """What `deputize why` says of an action, as one text."""
    budgets = {budget.key: budget for budget in world.kernel.parts.force.budgets}
    row = world.run(run)
    told = world.read(lambda view: read_telling(view, row, ZoneInfo("UTC"), budgets))
    return "\n".join(why_action(told, path)["sentences"])
