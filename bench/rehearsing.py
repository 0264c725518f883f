"""Deputize rehearsing: 1,000 past events of the example shop, against the time that they took live.

Live as `make demo` runs it, without faults: the example project, and the real town in a process of its own.
The orders are such that nobody is asked, for what people take would make the live time as long as one
likes.
"""

import asyncio
import json
import shutil
import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from bench.measure import Measure, WorkNotDone, main
from deputize import canonical, longlived
from deputize.cli.rehearse_child import Wishes, examine
from deputize.clock import SystemClock
from deputize.event import Occurrence
from deputize.kernel.live import LiveRun
from deputize.processor import OneProcessor
from deputize.project import load_project
from deputize.system import System
from deputize.town import Town

EXAMPLE = Path(__file__).parent.parent / "examples" / "returns"
WARM_UP = 20
SERVICES = ("shop", "payments", "mail", "model")
REFUNDED, TOO_LATE, OVER_LIMIT = 140_00, 60, 1_200_00


def measure_rehearse_share(runs: int, concurrency: int, directory: Path) -> float:
    """Seconds to rehearse `runs` past returns, over the seconds in which they were answered live.

    The rehearsal is that of `deputize rehearse handle_return --last N`, inside this process: from the
    ledger's file to the whole report, without the import of the project, which the live time has not either.
    """
    with Town.start(directory / "town", customers=5, faults="none") as town:
        project = _project(directory, town)
        for number in range(runs + WARM_UP):
            _plant(town, number)
        live_s = asyncio.run(_answered(project, runs, concurrency))
        last = int(town.access_log()[-1]["seq"])
        loaded = load_project(project)
        longlived.settle()
        began = time.perf_counter()
        report = examine(loaded, Wishes("handle_return", None, runs), lambda stage: None)
        took_s = time.perf_counter() - began
        if report["events"] != runs or report["differ"] != {"same": runs}:
            raise WorkNotDone(f"not every event was rehearsed, and the same: {json.dumps(report['differ'])}")
        if [row for row in town.access_log(last) if row["method"] != "GET"]:
            raise WorkNotDone("the rehearsal has reached an operation with an effect")
    return took_s / live_s


def _project(directory: Path, town: Town) -> Path:
    project = directory / "shop"
    shutil.copytree(EXAMPLE, project, ignore=shutil.ignore_patterns("data", "tests", ".*", "__pycache__"))
    (project / ".env").write_text(
        "".join(f"TOWN_{name.upper()}_URL={town.urls[name]}\n" for name in SERVICES)
    )
    return project


def _plant(town: Town, number: int) -> None:
    """An order: of ten, seven are refunded (some after a look into the books), two too late, one too dear."""
    kind = number % 10
    total = OVER_LIMIT if kind == 0 else REFUNDED if kind in (1, 2) else 20_00 + number % 7_000
    days = TOO_LATE if kind in (8, 9) else 3
    town.plant(f"o{number}", total, charge=f"ch{number}", days_since_delivery=days)


async def _answered(project: Path, runs: int, concurrency: int) -> float:
    """Answer all returns, so many at once; the seconds it took, but for the first few."""
    system = System.open(project, processor=OneProcessor(SystemClock()))
    places, ended = asyncio.Semaphore(concurrency), 0
    all_ended = asyncio.Event()
    target = WARM_UP

    def left(_: LiveRun) -> None:
        nonlocal ended
        ended += 1
        places.release()
        if ended == target:
            all_ended.set()

    async def send(first: int, last: int) -> None:
        tasks = []
        for number in range(first, last):
            await places.acquire()
            tasks.append(asyncio.create_task(system.kernel.intake.accept([_returned(system, number)])))
        await asyncio.gather(*tasks)
        await all_ended.wait()

    system.kernel.watchers.append(left)
    await system.start()
    longlived.settle()
    await send(0, WARM_UP)
    all_ended.clear()
    target += runs
    began = time.perf_counter()
    await send(WARM_UP, WARM_UP + runs)
    took = time.perf_counter() - began
    counts = system.store.read(lambda view: view.counts())
    if counts.get("runs.ended") != WARM_UP + runs or counts.get("cards"):
        raise WorkNotDone(f"not every return was answered without people: {counts}")
    await system.stop()
    return took


def _returned(system: System, number: int) -> Occurrence:
    data = canonical.encode({"order_id": f"o{number}", "reason": "it does not fit"})
    return Occurrence("/bench", f"r{number}", "shop.return.requested", "", system.time.now_us(), data)


MEASURES: Mapping[str, Measure] = {"rehearse_share": measure_rehearse_share}

if __name__ == "__main__":
    main("ours", version("deputize"), MEASURES)
