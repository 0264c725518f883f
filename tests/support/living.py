"""Automations of a test, alone (one step at a time) or in a system of their own on the running loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

from deputize import canonical
from deputize.automation import Automation
from deputize.awaiting import Step
from deputize.config import read_settings
from deputize.connector import Connector
from deputize.event import Occurrence
from deputize.kernel.live import LiveRun, Stepped
from deputize.kernel.result import Record
from deputize.kernel.stepping import advance
from deputize.project import Project
from deputize.rules import load_rules
from deputize.system import System
from tests.support.running import Running

WAIT_S = 20.0
BEGAN_US = 1_700_000_000_000_000


def lone_run(automation: Automation, data: Mapping[str, Any] | None = None, **more: Any) -> LiveRun:
    """A run that no system knows of, for stepping it by hand."""
    record: Record = more.pop("record", {})
    run_id: str = more.pop("run_id", "r1")
    event = Occurrence("/test", "e1", automation.on.event_type, "", BEGAN_US, canonical.encode(data or {}))
    return LiveRun(
        1, run_id, automation, event, 1, {}, None, BEGAN_US, 1, record, Step(run_id, BEGAN_US), **more
    )


def step(run: LiveRun) -> Stepped:
    """One step, on a thread of its own as the driver does it."""
    stepped: list[Stepped] = []
    thread = threading.Thread(target=lambda: stepped.append(advance(run)))
    thread.start()
    thread.join(WAIT_S)
    assert stepped, "the step did not come to an end"
    return stepped[0]


def project_of(root: Path, automations: Iterable[Automation], connectors: Iterable[Connector]) -> Project:
    """A project made of objects, on a ledger below `root`; every operation is permitted."""
    root.mkdir(exist_ok=True)
    (root / "deputize.toml").write_text('[project]\nname = "living"\n')
    (root / "rules").mkdir(exist_ok=True)
    named = {a.name: a for a in automations}
    agents = {a.agent.name: a.agent for a in named.values()}
    own = {c.name: c for c in connectors}
    operations = {name: operation for c in own.values() for name, operation in c.operations.items()}
    rules = [
        f'[[rule]]\ntitle = "{name} is permitted"\noperation = "{name}"\npermit = true\n'
        for name in operations
    ]
    (root / "rules" / "all.toml").write_text("\n".join(rules))
    found = load_rules(root / "rules", operations, agents=list(agents), automations=list(named))
    given = {
        "settings": read_settings(root, {}),
        "connectors": own,
        "operations": operations,
        "agents": agents,
        "automations": named,
        "rules": found,
        "modules": (),
    }
    return Project(**{f.name: {} for f in fields(Project)} | given)  # type: ignore[arg-type]


@asynccontextmanager
async def living(
    root: Path,
    automations: Iterable[Automation],
    connectors: Iterable[Connector] = (),
    *,
    sound: bool = True,
    **options: Any,
) -> AsyncIterator[Running]:
    """A started system on such a project; its ledger is checked at the end."""
    found = Running()
    found.system = System(
        project_of(root, automations, connectors), boundary=found.boundary, seed=1, **options
    )
    try:
        await found.system.start()
        yield found
        if sound:
            await asyncio.sleep(0)
            found.sound()
    finally:
        await found.system.stop()
