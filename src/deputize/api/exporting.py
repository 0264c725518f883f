"""All of a history as a stream of lines: a stretch at a time, so that little is in memory at once."""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.responses import Response, StreamingResponse

from deputize import canonical
from deputize.api.lines import Teller
from deputize.api.problem import Problem
from deputize.api.searching import Bounds, Wanted, bounds_of
from deputize.store.protocol import View
from deputize.system import System

EXPORTS_MAX = 2
STRETCH = 1_000
LINES_A_PIECE = 50
RETRY_AFTER_S = 30
COLUMNS = ("at", "run", "automation", "agent", "path", "operation", "type", "said")
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the beginning of a formula."""


@dataclass
class Exports:
    """Those of this process: how many there are, and the places at which so many go on at once."""

    under_way: int = 0
    places: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(EXPORTS_MAX))


@dataclass(frozen=True)
class _Form:
    """How lines are written: their type, what comes first, and one of them with its end."""

    media_type: str
    head: bytes
    line: Callable[[Mapping[str, Any]], bytes]
    end: bytes


def export(exports: Exports, system: System, wanted: Wanted, format: str) -> Response:
    """All that is found, newest first. Raises `Problem`: 429 while as many are under way as may be."""
    form, bounds = _FORMS[format], bounds_of(system, wanted)
    if exports.under_way >= EXPORTS_MAX:
        said = f"{EXPORTS_MAX} exports are under way; send it again when one of them has ended"
        raise Problem(429, said, retry_after_s=RETRY_AFTER_S)
    headers = {
        "Cache-Control": "no-store",
        "Content-Disposition": f'attachment; filename="history.{format}"',
    }
    stream = _stream(exports, system, bounds, form)
    return StreamingResponse(stream, headers=headers, media_type=form.media_type)


async def _stream(exports: Exports, system: System, bounds: Bounds, form: _Form) -> AsyncIterator[bytes]:
    """Piece by piece: whoever reads slowly is waited for, and the loop does other things meanwhile."""
    exports.under_way += 1
    try:
        async with exports.places:
            yield form.head
            below = bounds.below
            while below > bounds.down_to:
                lines, below = await asyncio.to_thread(_piece, system, bounds, below)
                # Each by itself: JSON without its secrets stays JSON.
                yield b"".join(system.secrets.scrub(form.line(line)) + form.end for line in lines)
    finally:
        exports.under_way -= 1


def _piece(system: System, bounds: Bounds, below: int) -> tuple[list[dict[str, Any]], int]:
    """What is found in the next stretch, and where the one after it ends."""

    def read(view: View) -> tuple[list[dict[str, Any]], int]:
        begins = max(bounds.down_to, view.stretch(bounds.sought.run, below, STRETCH))
        found = view.sought(bounds.sought, below, begins, LINES_A_PIECE)
        teller = Teller(view, system.project.settings.zone)
        lines = [teller.line(one) | {"body": one.entry.body} for one in found]
        return lines, found[-1].entry.seq if len(found) == LINES_A_PIECE else begins

    return system.store.read(read)


def _ndjson(line: Mapping[str, Any]) -> bytes:
    return canonical.encode(dict(line))


def _csv(line: Mapping[str, Any]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow([_cell(line[name]) for name in COLUMNS])
    return text.getvalue().encode()


def _cell(value: str) -> str:
    """A text that no spreadsheet takes for a formula."""
    return f"'{value}" if value.startswith(FORMULA) else value


_FORMS = {
    "ndjson": _Form("application/x-ndjson", b"", _ndjson, b"\n"),
    "csv": _Form("text/csv; charset=utf-8", (",".join(COLUMNS) + "\r\n").encode(), _csv, b"\r\n"),
}
