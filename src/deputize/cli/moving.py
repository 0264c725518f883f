"""`deputize move`: pack a project with its ledger and its keys, unpack it elsewhere, or bring it back."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from deputize.cli.here import USAGE, Here, Said
from deputize.cli.process import find_process
from deputize.cli.restoring import operations_of, unfinished_of
from deputize.cli.says import count, progress, say, say_json, say_unfinished
from deputize.store.sqlite.offline import owner_of

ENDS_WITHIN_S = 30.0
LOOK_EVERY_S = 0.05


def move(
    ctx: typer.Context,
    file: Annotated[Path | None, typer.Argument(help="The archive to pack, or to unpack.")] = None,
    into: Annotated[
        Path | None, typer.Option(help="Unpack FILE into this folder, which is not there yet.")
    ] = None,
    back: Annotated[
        bool, typer.Option("--back", help="The archive is lost: let the copy that stayed here start again.")
    ] = False,
    within_s: Annotated[
        float, typer.Option(min=0, max=600, help="How long to wait for what is being sent.")
    ] = 60.0,
    reason: Annotated[str, typer.Option("--reason", help="Why, for the record.")] = "",
) -> None:
    """Pack the project, its ledger and its keys into FILE, and let this copy start no more."""
    here: Here = ctx.obj
    if back:
        if file is not None or into is not None:
            raise Said("--back takes neither FILE nor --into: it is about the copy in this folder", USAGE)
        _back(here, reason)
    elif file is None:
        raise Said("name the archive: deputize move FILE, or deputize move FILE --into DIR", USAGE)
    elif into is not None:
        _arrive(here, file, into)
    else:
        _leave(here, file.absolute(), within_s, reason)


def _leave(here: Here, target: Path, within_s: float, reason: str) -> None:
    from deputize.moving.leaving import leave, look_ahead, settle_move

    settle_move(here.settings)
    look_ahead(here.settings, target)
    process = find_process(here)
    open: list[str] = []
    if process is not None:
        with progress("waiting for what is being sent"):
            body = {"within_s": within_s, "reason": reason}
            open = process.post("v1", "leaving", body=body, long=True)["open"]
            _wait_for_end(here)
    with progress(f"packing {target}"):
        left = leave(here.settings, target, "deputize move")
    shown: dict[str, Any] = {
        "archive": str(left.archive),
        "files": left.files,
        "bytes": left.bytes,
        "private": list(left.private),
        "elsewhere": list(left.elsewhere),
        "open": open,
    }
    if here.json:
        say_json(shown)
        return
    say(f"Moved to {target}: {count(left.files, 'file')}, {left.bytes:,} bytes. This copy starts no more.")
    say(f"It holds what is secret ({', '.join(left.private)}): its mode is 0600, carry it so.")
    if left.elsewhere:
        say(f"Not in it, and to be put in place there by hand: {', '.join(left.elsewhere)}.")
    if open:
        say(f"Still being sent, and looked up or answered there: {', '.join(open)}.")
    say(f"There: deputize move {target.name} --into DIR. Remove it once that is done.")


def _wait_for_end(here: Here) -> None:
    ledger, until = here.settings.ledger, time.monotonic() + ENDS_WITHIN_S
    while (owner := owner_of(ledger)) is not None:
        if time.monotonic() > until:
            raise Said(
                f"the process {owner} has the ledger, still or again: stop what starts it, then move again"
            )
        time.sleep(LOOK_EVERY_S)


def _arrive(here: Here, archive: Path, into: Path) -> None:
    from deputize.moving.arriving import arrive

    with progress(f"unpacking {archive}"):
        arrived = arrive(archive, into)
    there = replace(here, root=arrived.root)
    # Unpacking runs none of the code that was unpacked.
    unfinished = unfinished_of(there, None)
    if here.json:
        shown = {"project": str(arrived.root), "files": arrived.files, "unfinished": unfinished}
        say_json(shown | {"halted": "all"})
        return
    say(f"Unpacked {arrived.name} into {arrived.root}: {count(arrived.files, 'file')}.")
    say_unfinished(unfinished, there.settings.zone)
    say(
        "It is halted: `deputize check`, `deputize up`, look at `deputize inbox`, then `deputize resume all`."
    )
    say(f"Remove {archive}: it holds what is secret.")


def _back(here: Here, reason: str) -> None:
    from deputize.moving.copies import mark_copy
    from deputize.moving.gone import gone_from

    if not reason:
        raise Said(
            "say why: --reason …; should the other copy be started as well, both act on the world", USAGE
        )
    path = here.settings.ledger
    moved = gone_from(path)
    if moved is None:
        raise Said("this copy was not moved: start it with `deputize up`")
    asyncio.run(mark_copy(path, f"brought back: {reason}", "deputize move --back", void=True))
    unfinished = unfinished_of(here, operations_of(here))
    if here.json:
        say_json(
            {"ledger": str(path), "was_moved_to": moved["to"], "halted": "all", "unfinished": unfinished}
        )
        return
    say(f"This copy is the ledger again; what was moved to {moved['to']} must never start.")
    say_unfinished(unfinished, here.settings.zone)
    say("It is halted, and no token of before is known to it: `deputize up`, `deputize login NAME`, look at")
    say("`deputize inbox`, then `deputize resume all`.")
