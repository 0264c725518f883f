"""Line 7 and 8, and item 2: through the real gate and a real HTTP connector, the intent's sync has
finished before the first byte of its sending leaves; read from the system calls."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from deputize.testing import trace

CODE = """
@automation(on=Ask, agent=worker)
async def one(event: Event[Ask]) -> Outcome:
    await desk.write(item="this-is-the-item")
    return done()
"""

CHILD = """
import asyncio, sys
from pathlib import Path
from tests.support.desk import desk_service
from tests.support.project import write_project
from tests.support.running import running

async def main():
    async with desk_service() as service:
        root = write_project(Path(sys.argv[1]), service.base, sys.argv[2])
        async with running(root) as app:
            if sys.argv[3] == "no sync":
                app.system.store._file.db.execute("PRAGMA synchronous=OFF")
            await app.ended(await app.send())

asyncio.run(main())
"""


@pytest.mark.parametrize(("mode", "durable"), [("real", True), ("no sync", False)])
def test_the_intents_sync_has_finished_before_its_http_request_leaves(
    tmp_path: Path, mode: str, durable: bool
) -> None:
    if why := trace.missing():
        pytest.skip(why)
    output = tmp_path / "trace"
    program = [sys.executable, "-c", CHILD, str(tmp_path / "project"), CODE, mode]
    subprocess.run(trace.command(program, output), check=True, timeout=120, cwd=Path(__file__).parents[2])
    calls = trace.parse(output.read_text())
    told = trace.unsynced(calls, log="ledger.db-wal", written="this-is-the-item", sent="this-is-the-item")
    assert (told == "") == durable, told
