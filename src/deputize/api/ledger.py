"""Looking after the ledger through the process that owns it. Long work is done in a thread."""

from __future__ import annotations

import asyncio
from itertools import islice
from pathlib import Path

from fastapi import APIRouter, Request
from starlette.responses import Response

from deputize.api.body import read_object, text_of
from deputize.api.here import Here, find_run
from deputize.api.problem import Problem, answer
from deputize.api.who import Keeping
from deputize.ledger import SYSTEM, Flaw
from deputize.store.erasure import erase_run
from deputize.store.protocol import Tx

FLAWS_MAX = 1_000

router = APIRouter(prefix="/v1")


@router.post("/backup")
async def back_up(request: Request, system: Here, _: Keeping) -> Response:
    """Copy the ledger, while it is in use, to a file that is not there yet: `{"target": absolute path}`."""
    target = Path(text_of(await read_object(request), "target"))
    if not target.is_absolute():
        raise Problem(422, "target must be an absolute path: this process has a folder of its own")
    await asyncio.to_thread(system.store.backup, target)
    return answer(system, {"target": str(target), "bytes": target.stat().st_size})


@router.post("/ledger/verify")
async def verify_ledger(system: Here, _: Keeping) -> Response:
    """Check every entry, body, salt and blob; lists at most 1,000 flaws."""
    checked = 0

    def progress(count: int) -> None:
        nonlocal checked
        checked = count

    def verify() -> list[Flaw]:
        return list(islice(system.store.verify(progress), FLAWS_MAX))

    flaws = await asyncio.to_thread(verify)
    shown = [{"run": flaw.stream, "version": flaw.version, "what": flaw.what} for flaw in flaws]
    return answer(system, {"ok": not flaws, "checked": checked, "flaws": shown})


@router.post("/ledger/rebuild")
async def rebuild_ledger(request: Request, system: Here, _: Keeping) -> Response:
    """Fold all entries anew and list the differences.

    `{"replace": true}` puts what came of it in place.
    """
    replace = (await read_object(request)).get("replace", False)
    if not isinstance(replace, bool):
        raise Problem(422, "replace must be true or false", field="replace")
    differences = await asyncio.to_thread(lambda: system.store.rebuild(replace=replace))
    return answer(system, {"ok": not differences, "replaced": replace, "differences": differences})


@router.post("/erase")
async def erase(request: Request, system: Here, _: Keeping) -> Response:
    """Erase what an ended run holds of people: `{"run": id}`. Its chain and its books stay."""
    run = find_run(system, text_of(await read_object(request), "run", chars_max=200))

    def work(tx: Tx) -> bool:
        before = tx.version(SYSTEM)
        return erase_run(tx, run.no, before) != before

    return answer(system, {"run": run.id, "erased": await system.store.write(work)})
