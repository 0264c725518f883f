"""A process that writes to a store and tells what was acknowledged, until it is killed.

`python -m deputize.testing.store_child MODULE:FUNCTION PLACE SEED`, where the function opens a
store at a place. Each acknowledged run is a line on standard output, written after its future.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import random
import sys
from collections.abc import Callable
from pathlib import Path

from deputize.clock import Clock, SystemClock
from deputize.store.protocol import Store, Tx
from deputize.testing import entries

OpenStore = Callable[[Path, Clock], Store]

RUNS_MAX = 100_000
"""So many, and a child that nobody kills ends by itself."""


def resolve(factory: str) -> OpenStore:
    """The function that `module:function` names."""
    module, _, function = factory.partition(":")
    found: OpenStore = getattr(importlib.import_module(module), function)
    return found


async def write_until_killed(store: Store, seed: int) -> None:
    """Runs in groups of random size, some of them refused; prints each one's id once it is durable."""
    chance = random.Random(seed)
    done = 0
    while done < RUNS_MAX:
        names = [f"{seed}-{done + n}" for n in range(chance.randint(1, 40))]
        done += len(names)
        results = await asyncio.gather(
            *(store.write(_work(name, fails=chance.random() < 0.2)) for name in names), return_exceptions=True
        )
        told = "".join(f"run-{name}\n" for name, result in zip(names, results, strict=True) if result is None)
        os.write(1, told.encode())


def _work(name: str, *, fails: bool) -> Callable[[Tx], None]:
    def work(tx: Tx) -> None:
        no, _ = entries.begin(tx, name)
        tx.append(no, 1, [entries.intent("1", leases=[f"charge:{name}"], holds=[("day", 0, 3)])])
        if fails:
            raise ValueError("this work is refused")

    return work


async def _main(factory: str, place: str, seed: str) -> None:
    store = resolve(factory)(Path(place), SystemClock())
    await write_until_killed(store, int(seed))


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
