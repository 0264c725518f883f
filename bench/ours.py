"""Deputize itself, on the work its peers do: three steps, each an in-process no-op write.

Everything is on: 50 rules over five operations (a dozen of them judge each write), two facts, a
budget, a lease, receipts. A measure is a function `measure_…(runs, concurrency, directory) -> float`
(see `bench.measure.Measure`), entered below under the name its section knows.
"""

import asyncio
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path

import psutil

from bench.measure import WARM_UP_RUNS, Measure, WorkNotDone, main
from deputize import canonical, longlived
from deputize.clock import SystemClock
from deputize.event import Occurrence
from deputize.kernel.live import LiveRun
from deputize.ledger import Draft
from deputize.processor import OneProcessor
from deputize.store.protocol import Tx
from deputize.system import System

PROJECT = Path(__file__).parent / "project"
IDLE_S = 20.0
FILL_TOGETHER = 2_000
GROWN_ENTRIES = 3_000_000
SMALL_ENTRIES = 10_000
GROWTH_ROUNDS = 5
PARK_TOGETHER = 500


class Bench:
    """A system on a fresh copy of the bench's project, and the runs that have ended in it."""

    def __init__(self, directory: Path, more: Callable[[Path], None] | None = None) -> None:
        root = directory / "project"
        if not root.exists():
            shutil.copytree(PROJECT, root, ignore=shutil.ignore_patterns("__pycache__", "data"))
            if more is not None:
                more(root)
        self.root = root
        # As `deputize up` does it.
        self.system = System.open(root, processor=OneProcessor(SystemClock()))
        self.ended = 0
        self._changed = asyncio.Event()
        self._serial = 0
        self.system.kernel.watchers.append(self._saw)

    def _saw(self, run: LiveRun) -> None:
        self.ended += 1
        self._changed.set()

    async def reach(self, ended: int) -> None:
        """Wait until so many runs have left memory."""
        while self.ended < ended:
            self._changed.clear()
            await self._changed.wait()

    async def run(self, runs: int, concurrency: int) -> None:
        """So many runs, so many at once."""
        first = self.ended
        places = asyncio.Semaphore(concurrency)

        async def one() -> None:
            self._serial += 1
            await self.system.kernel.intake.accept([asked(self._serial)])

        self.system.kernel.watchers.append(lambda run: places.release())
        tasks = []
        for _ in range(runs):
            await places.acquire()
            tasks.append(asyncio.create_task(one()))
        await asyncio.gather(*tasks)
        await self.reach(first + runs)
        self.system.kernel.watchers.pop()

    def expect(self, runs: int) -> None:
        """Raise `WorkNotDone` unless the ledger holds that many ended runs and three receipts of each."""
        counts = self.system.store.read(lambda view: view.counts())
        if counts.get("runs.ended") != runs or counts.get("actions.settled") != 3 * runs:
            raise WorkNotDone(f"expected {runs} runs of three writes, and the ledger has {counts}")


def asked(number: int, prefix: str = "a") -> Occurrence:
    """An event that begins one run of three writes."""
    return Occurrence(
        "/bench", f"{prefix}{number}", "bench.asked", "", 1, canonical.encode({"item": f"i{number}"})
    )


def measure_throughput(runs: int, concurrency: int, directory: Path) -> float:
    """Runs a second, `concurrency` at once."""

    async def work() -> float:
        bench = Bench(directory)
        await bench.system.start()
        longlived.settle()
        await bench.run(WARM_UP_RUNS, concurrency)
        began = time.perf_counter()
        await bench.run(runs, concurrency)
        took = time.perf_counter() - began
        bench.expect(runs + WARM_UP_RUNS)
        await bench.system.stop()
        return runs / took

    return asyncio.run(work())


def measure_latency(runs: int, concurrency: int, directory: Path) -> float:
    """The median of milliseconds from giving an event to its run's end on disk, one run at a time."""

    async def work() -> float:
        bench = Bench(directory)
        await bench.system.start()
        longlived.settle()
        await bench.run(WARM_UP_RUNS, 1)
        times = []
        for _ in range(runs):
            began = time.perf_counter()
            await bench.run(1, 1)
            times.append(time.perf_counter() - began)
        bench.expect(runs + WARM_UP_RUNS)
        await bench.system.stop()
        return statistics.median(times) * 1_000

    return asyncio.run(work())


def measure_recovery_extra_s(runs: int, concurrency: int, directory: Path) -> float:
    """`kill -9` with `runs` runs in flight, restart, all done: seconds beyond the work itself.

    From the new process's start to the last run's end, less the time the same runs take undisturbed.
    """
    undisturbed = runs / measure_throughput(runs, concurrency, directory / "plain")
    place = directory / "killed"
    child = _child("hold", place, runs)
    _read_signal(child, "in flight")
    child.kill()
    child.wait()
    began = time.perf_counter()
    child = _child("finish", place, runs)
    _read_signal(child, "all done")
    took = time.perf_counter() - began
    child.wait()
    return took - undisturbed


def measure_cold_start_s(runs: int, concurrency: int, directory: Path) -> float:
    """From starting the process that serves a project to its first run's end, its event waiting there."""
    place = directory / "project"
    shutil.copytree(PROJECT, place, ignore=shutil.ignore_patterns("__pycache__", "data"))
    times = []
    for number in range(3):
        # The first start compiles the project's files; a user's second start is the usual one.
        began = time.perf_counter()
        with _server(place) as served:
            _post(served.url, number)
            _await_ended(served.url, number + 1)
            times.append(time.perf_counter() - began)
    return min(times[1:])


def measure_idle_cpu_pct(runs: int, concurrency: int, directory: Path) -> float:
    """Processor time of an idle server, in per cent of one processor, over 20 seconds."""
    return _idle(directory)[0]


def measure_idle_rss_mb(runs: int, concurrency: int, directory: Path) -> float:
    """Resident memory of an idle server that has done some work, in MB."""
    return _idle(directory)[1]


def measure_verify_entries_per_s(runs: int, concurrency: int, directory: Path) -> float:
    """Entries verified a second, chain, bodies and salts."""

    async def work() -> float:
        bench = Bench(directory)
        await bench.system.start()
        await _fill(bench.system, 200_000)
        entries = bench.system.store.read(lambda view: view.counts())["entries"]
        began = time.perf_counter()
        flaws = list(bench.system.store.verify())
        took = time.perf_counter() - began
        if flaws:
            raise WorkNotDone(f"verify found {flaws[:3]}")
        await bench.system.stop()
        return entries / took

    return asyncio.run(work())


def measure_growth_ratio(runs: int, concurrency: int, directory: Path) -> float:
    """Throughput at 3 million entries over that at 10 thousand, the median of five alternated pairs."""

    async def work() -> float:
        benches = []
        for name, entries in (("grown", GROWN_ENTRIES), ("small", SMALL_ENTRIES)):
            bench = Bench(directory / name)
            await bench.system.start()
            await _fill(bench.system, entries)
            await bench.run(WARM_UP_RUNS, concurrency)
            benches.append(bench)
        ratios = []
        for _ in range(GROWTH_ROUNDS):
            rates = []
            for bench in benches:
                began = time.perf_counter()
                await bench.run(runs // GROWTH_ROUNDS, concurrency)
                rates.append(1 / (time.perf_counter() - began))
            ratios.append(rates[0] / rates[1])
        for bench in benches:
            await bench.system.stop()
        return statistics.median(ratios)

    return asyncio.run(work())


def measure_waiting_100k_mb(runs: int, concurrency: int, directory: Path) -> float:
    """Resident memory with `runs` waiting runs, in MB; all of them wake afterwards, or it is no figure."""

    async def work() -> float:
        bench = Bench(directory)
        await bench.system.start()
        wait_s = max(30, runs // 800)
        for first in range(0, runs, PARK_TOGETHER):
            data = [
                canonical.encode({"item": f"i{n}", "for_s": wait_s})
                for n in range(first, first + PARK_TOGETHER)
            ]
            events = [
                Occurrence("/bench", f"p{first + n}", "bench.parked", "", 1, one)
                for n, one in enumerate(data)
            ]
            await bench.system.kernel.intake.accept(events)
            await bench.reach(first + len(events))
        rss_mb = psutil.Process().memory_info().rss / 1e6
        counts = bench.system.store.read(lambda view: view.counts())
        if counts.get("runs.waiting", 0) < runs * 0.99 and counts.get("runs.ended", 0) == 0:
            raise WorkNotDone(f"not all runs wait: {counts}")
        await bench.reach(2 * runs)
        ended = bench.system.store.read(lambda view: view.counts()).get("runs.ended")
        if ended != runs:
            raise WorkNotDone(f"{runs} runs waited and {ended} were woken")
        await bench.system.stop()
        return rss_mb

    return asyncio.run(work())


# -- helpers ------------------------------------------------------------------------------------------


async def _fill(system: System, entries: int) -> None:
    """Entries in bulk, through the store: whole runs as they are written, chain and projections included."""
    rounds = entries // 8
    for first in range(0, rounds, FILL_TOGETHER):
        last = min(first + FILL_TOGETHER, rounds)
        futures = [system.store.write(lambda tx, n=n: fill_run(tx, n)) for n in range(first, last)]  # type: ignore[misc]
        await asyncio.gather(*futures)


def fill_run(tx: Tx, number: int, steps: int = 3) -> None:
    """One run as it is written, with so many writes."""
    occurrence = asked(number, "f")
    seq = tx.keep_event(occurrence, "answered")
    event = {
        "seq": seq,
        "source": "/bench",
        "id": occurrence.id,
        "type": occurrence.type,
        "digest": occurrence.digest,
    }
    began = {
        "automation": "three",
        "code": "",
        "agent": "worker",
        "event": event,
        "params": {},
        "key": None,
        "priority": 1,
    }
    run_id = canonical.name("filled", number)
    no, _ = tx.begin_run(run_id, began)
    drafts = []
    for step in range(1, steps + 1):
        path = str(step)
        drafts.append(Draft("intent", _intent(run_id, path, tx.at_us)))
        part = {"path": path, "was": "open", "leased": True, "holds": [], "counted": []}
        drafts.append(Draft("receipt", part | {"result": {"id": run_id}, "by": "answer", "at": tx.at_us}))
    ended: dict[str, object] = {
        "kind": "done", "label": "written", "details": {}, "reason": "", "causes": [],
        "automation": "three", "key": None, "waited": False, "carded": False,
    }  # fmt: skip
    tx.append(no, 1, [*drafts, Draft("ended", ended)])


def _intent(run_id: str, path: str, at: int) -> dict[str, object]:
    return {
        "path": path, "op": "desk.write", "digest": canonical.digest(run_id.encode()), "contract": "c" * 16,
        "version": "1", "args": {"item": run_id, "customer": "c1"},
        "key": run_id, "round": 1, "first_sent": at, "start_by": at, "give_up_at": at, "agent": "worker",
        "why": "the bench asks for it", "expects": {}, "rules": ["the-worker-may-use-the-desk"],
        "ruleset": "r" * 16, "facts": {"a": 1, "b": 2}, "leases": [f"item:{run_id}/{path}"], "holds": [],
        "counted": [],
    }  # fmt: skip


def _child(what: str, directory: Path, runs: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "bench.recovering", what, str(directory), str(runs)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent.parent)


def _read_signal(child: subprocess.Popen[str], expected: str) -> None:
    assert child.stdout is not None
    line = child.stdout.readline().strip()
    if line != expected:
        raise WorkNotDone(f"expected {expected!r} and the child said {line!r}")


class _server:
    """`deputize up` on a project, until the block ends."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.url = ""

    def __enter__(self) -> "_server":
        command = [str(Path(sys.executable).parent / "deputize"), "up", "--project", str(self._root)]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        place = self._root / "data" / "server.json"
        for _ in range(10_000):
            if place.exists():
                told = json.loads(place.read_text())
                if told["pid"] == self.process.pid:
                    self.url = told["url"]
                    return self
            if self.process.poll() is not None:
                raise WorkNotDone(
                    f"the server ended: {self.process.stderr.read() if self.process.stderr else ''}"
                )
            time.sleep(0.002)
        raise WorkNotDone("the server did not start")

    def __exit__(self, *error: object) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)


def _post(url: str, number: int) -> None:
    import httpx2

    event = {
        "specversion": "1.0", "source": "/bench", "id": f"c{number}", "type": "bench.asked",
        "data": {"item": f"c{number}"},
    }  # fmt: skip
    httpx2.post(
        f"{url}/v1/events",
        json=event,
        headers={"content-type": "application/cloudevents+json"},
        trust_env=False,
    ).raise_for_status()


def _await_ended(url: str, runs: int) -> None:
    import httpx2

    for _ in range(5_000):
        found = httpx2.get(f"{url}/v1/runs", params={"state": "ended"}, trust_env=False).json()
        if len(found["runs"]) >= runs:
            return
        time.sleep(0.002)
    raise WorkNotDone("the run did not end")


def _idle(directory: Path) -> tuple[float, float]:
    place = directory / "project"
    shutil.copytree(PROJECT, place, ignore=shutil.ignore_patterns("__pycache__", "data"))
    with _server(place) as served:
        for number in range(20):
            _post(served.url, number)
        _await_ended(served.url, 20)
        process = psutil.Process(served.process.pid)
        time.sleep(2)
        before = process.cpu_times()
        time.sleep(IDLE_S)
        after = process.cpu_times()
        used = (after.user + after.system) - (before.user + before.system)
        return 100 * used / IDLE_S, process.memory_info().rss / 1e6


MEASURES: Mapping[str, Measure] = {
    "throughput": measure_throughput,
    "latency": measure_latency,
    "recovery_extra_s": measure_recovery_extra_s,
    "cold_start_s": measure_cold_start_s,
    "idle_cpu_pct": measure_idle_cpu_pct,
    "idle_rss_mb": measure_idle_rss_mb,
    "verify_entries_per_s": measure_verify_entries_per_s,
    "growth_ratio": measure_growth_ratio,
    "waiting_100k_mb": measure_waiting_100k_mb,
}

if __name__ == "__main__":
    os.environ.pop("DEPUTIZE_PROJECT", None)
    main("ours", version("deputize"), MEASURES)
