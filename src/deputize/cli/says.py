"""Saying things: tables for people, one JSON document for programs, progress while it takes a while."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import orjson
from rich.cells import cell_len
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

FREE_WIDTH_MIN = 30
UNFINISHED_SHOWN = 50
CELL_CHARS_MAX = 2_000
"""Of a cell in a terminal: a megabyte would push everything else out of sight."""

_FREE = ("REASON", "DATA", "WHAT", "ID", "SOURCE", "OUTCOME", "TERMS", "REACHABLE", "WHAT IS WRONG")
"""Columns that are wrapped first in a narrow terminal: never a name that another command is given."""

_COLOURS = {
    "ended": "dim",
    "ok": "green",
    "settled": "green",
    "ready": "cyan",
    "open": "cyan",
    "waiting": "blue",
    "behind": "blue",
    "doubtful": "yellow",
    "warn": "yellow",
    "drifted": "yellow",
    "stuck": "red",
    "refused": "red",
    "declined": "red",
    "bad": "red",
    "abandoned": "red",
}


def say(text: str) -> None:
    """Lines for people, with nothing in them that a terminal would obey."""
    sys.stdout.write("\n".join(map(_printable, text.split("\n"))) + "\n")


def say_json(document: Any) -> None:
    """The one document of a command with --json."""
    sys.stdout.write(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode() + "\n")


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]], empty: str) -> None:
    """A table for people; `empty` is said where there are no rows. Long values are wrapped in a terminal
    (up to a bound that is told); elsewhere nothing is cut and a row is one line, whatever its length."""
    if not rows:
        say(empty)
    elif sys.stdout.isatty():
        screen = Console(highlight=False)
        screen.print(made_table(columns, rows, screen.width))
    else:
        say(_lines(columns, rows))


def made_table(columns: Sequence[str], rows: Sequence[Sequence[Any]], width: int) -> Table:
    """The table itself for a terminal of `width` columns, for a live picture too."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    cells = [[_shortened(one_line(value)) for value in row] for row in rows]
    whole = sum(w + 1 for name, w in zip(columns, _widths(columns, cells), strict=True) if name not in _FREE)
    narrow = width - whole < FREE_WIDTH_MIN
    for column in columns:
        made.add_column(column, no_wrap=column not in _FREE and not narrow, overflow="fold")
    for row in cells:
        made.add_row(*(Text(cell, style=_COLOURS.get(cell, "")) for cell in row))
    return made


def _lines(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    cells = [[one_line(value) for value in row] for row in rows]
    widths = _widths(columns, cells)
    return "\n".join(
        "  ".join(
            cell + " " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True)
        ).rstrip()
        for row in (columns, *cells)
    )


def _shortened(cell: str) -> str:
    return cell if len(cell) <= CELL_CHARS_MAX else f"{cell[:CELL_CHARS_MAX]}… (--json has the rest)"


def _widths(columns: Sequence[str], cells: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(cell_len, column)) for column in zip(columns, *cells, strict=True)]


def one_line(value: Any) -> str:
    """A value as a cell: whole, in one line, and nothing in it that a terminal would obey."""
    text = value if isinstance(value, str) else "" if value is None else plain(value)
    return _printable(" ".join(text.split()))


def _printable(line: str) -> str:
    # What a service or a sender wrote reaches a person's terminal here.
    return line if line.isprintable() else "".join(c if c.isprintable() or c == "\t" else "�" for c in line)


def plain(value: Any) -> str:
    """A value in people's form: money as money, everything else as short JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict) and value.keys() == {"minor", "currency"}:
        from deputize.money import Money

        return str(Money(value["minor"], value["currency"]))
    return orjson.dumps(value).decode()


def count(n: int, what: str) -> str:
    """`1 run`, `2 runs`."""
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def moment(iso: str | None, zone: ZoneInfo) -> str:
    """A time of the API (ISO 8601, UTC) in the project's zone."""
    if not iso:
        return ""
    return datetime.fromisoformat(iso).astimezone(zone).strftime("%Y-%m-%d %H:%M:%S")


def source_line(source: Mapping[str, Any], zone: ZoneInfo) -> str:
    """What is wrong with a poll or a schedule (as the API shows it), and when it is tried next."""
    again = f"; next {moment(source['next_at'], zone)}" if source["next_at"] else ""
    failures = source["failures"]
    often = f" (failed {count(failures, 'time')}{again})" if failures else ""
    return f"{source['kind']} {source['name']}: {one_line(source['trouble'])}{often}"


def say_unfinished(unfinished: Sequence[Mapping[str, Any]], zone: ZoneInfo) -> None:
    """The writes from before a restore, each with how its outcome comes to be known."""
    if unfinished:
        are = "1 write is" if len(unfinished) == 1 else f"{len(unfinished):,} writes are"
        say(f"{are} unfinished from before this ledger was restored; nothing new starts until each is known:")
    for one in unfinished[:UNFINISHED_SHOWN]:
        say(f"  {one['id']}  {one_line(one['about'])}")
        say(f"      first sent {moment(one['first_sent_at'], zone)}, key {one['key']}; {one['how']}")
    if len(unfinished) > UNFINISHED_SHOWN:
        say(f"  … and {len(unfinished) - UNFINISHED_SHOWN:,} more (--json has all of them)")


@contextmanager
def progress(what: str, total: int | None = None) -> Iterator[Any]:
    """A bar (or a spinner, without `total`) on standard error while something takes a while.

    Yields a function that is called with how much is done. Silent where nobody watches.
    """
    columns = [SpinnerColumn(), TextColumn("{task.description}")]
    if total is not None:
        columns += [BarColumn(), TextColumn("{task.completed:,.0f}/{task.total:,.0f}")]
    errors = Console(stderr=True)
    with Progress(
        *columns, TimeElapsedColumn(), console=errors, transient=True, disable=not errors.is_terminal
    ) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.update(task, completed=done)
