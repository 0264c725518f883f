"""The child of the recovery measure: `hold` begins runs and waits to be killed, `finish` ends them.

Operations of the held process never answer, so that every run is killed with an open intent.
"""

import asyncio
import sys
from pathlib import Path
from typing import Any

from bench.ours import Bench, asked
from deputize.operation import Operation


class _NeverAnswers:
    """Performs nothing and says nothing, and counts what it was asked."""

    def __init__(self, wanted: int) -> None:
        self.asked = 0
        self._wanted = wanted
        self.all_asked = asyncio.Event()

    async def perform(self, operation: Operation[..., Any], args: bytes, *, key: str, attempt: int) -> bytes:
        self.asked += 1
        if self.asked == self._wanted:
            self.all_asked.set()
        await asyncio.Event().wait()
        return b""

    async def look_up(self, operation: Operation[..., Any], args: bytes, *, key: str) -> bytes | None:
        return None

    async def rehearse(self, operation: Operation[..., Any], args: bytes) -> bytes:
        return b""


async def hold(directory: Path, runs: int) -> None:
    """Begin `runs` runs and say so once each of them waits for an answer."""
    bench = Bench(directory)
    performer = _NeverAnswers(runs)
    bench.system.kernel.parts.performer = performer
    await bench.system.start()
    await bench.system.kernel.intake.accept([asked(n) for n in range(runs)])
    await performer.all_asked.wait()
    print("in flight", flush=True)
    await asyncio.Event().wait()


async def finish(directory: Path, runs: int) -> None:
    """Recover, and say so once all are done."""
    bench = Bench(directory)
    await bench.system.start()
    await bench.reach(runs)
    bench.expect(runs)
    print("all done", flush=True)
    await bench.system.stop()


if __name__ == "__main__":
    asyncio.run({"hold": hold, "finish": finish}[sys.argv[1]](Path(sys.argv[2]), int(sys.argv[3])))
