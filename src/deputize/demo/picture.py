"""The live picture in the terminal; plain lines where there is no terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from deputize.demo.balance import Check, show_approvals, show_money
from deputize.demo.mails import READERS, Mails

LINE_EVERY_S = 5.0
WIDTH_MAX = 110


@dataclass(frozen=True)
class Frame:
    """What there is to see at one moment. Money is minor units by currency."""

    title: str
    sent: int
    of: int
    answered: int
    states: Mapping[str, int]
    actions: int
    actions_per_s: float
    refused: Mapping[str, int]
    doubts: int
    doubts_open: int
    resolved: Mapping[str, int]
    faults: Mapping[str, int]
    book: Mapping[str, int]
    ledger: Mapping[str, int]
    book_effects: int
    ledger_effects: int
    cards_answered: int
    approvals: Mapping[str, int]
    approvals_waited_min: float
    reader: str
    mails: Mails
    starts: int
    stories: Sequence[str]
    hint: str = ""


class Picture:
    """Shows frames until it is closed. `say` writes a line that stays."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None
        self._next_line_s = 0.0

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, frame: Frame, now_s: float) -> None:
        """Show a frame; as a line now and then where there is no terminal."""
        if self._live is not None:
            self._live.update(_panel(frame), refresh=True)
        elif frame.of and now_s >= self._next_line_s:
            self._next_line_s = now_s + LINE_EVERY_S
            self.say(_line(frame))

    def say(self, text: str) -> None:
        """Write a line."""
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def sum_up(self, checks: Iterable[Check]) -> None:
        """Write what held and what did not."""
        for check in checks:
            mark = Text("✓ " if check.holds else "✗ ", style="green" if check.holds else "bold red")
            self._console.print(mark + Text(check.says), soft_wrap=True)


def _line(frame: Frame) -> str:
    states = ", ".join(f"{count} {state}" for state, count in sorted(frame.states.items())) or "none open"
    return (
        f"{frame.sent}/{frame.of} events in, {frame.answered} answered; runs: {states}; "
        f"{frame.actions} actions ({frame.actions_per_s:.1f}/s), "
        f"{sum(frame.refused.values())} refused by rule; "
        f"doubts: {frame.doubts} met, {frame.doubts_open} open; "
        f"{sum(frame.faults.values())} faults survived; "
        f"book {show_money(frame.book)}, ledger {show_money(frame.ledger)}"
    )


def _panel(frame: Frame) -> RenderableType:
    parts: list[RenderableType] = [_progress(frame), Text(), _figures(frame), Text()]
    parts += [Text(f"  {story}", style="dim", no_wrap=True, overflow="ellipsis") for story in frame.stories]
    if frame.hint:
        parts += [Text(), Text(frame.hint, style="dim")]
    return Panel(Group(*parts), title=frame.title, title_align="left", padding=(1, 2), width=WIDTH_MAX)


def _progress(frame: Frame) -> RenderableType:
    row = Table.grid(padding=(0, 2), expand=True)
    row.add_column(no_wrap=True)
    row.add_column(ratio=1)
    row.add_row(
        f"[bold]{frame.sent}[/] of {frame.of} events in, [bold]{frame.answered}[/] answered",
        ProgressBar(total=max(1, frame.of), completed=frame.answered),
    )
    return row


def _figures(frame: Frame) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="cyan", no_wrap=True)
    table.add_column()
    agree = frame.book == frame.ledger and frame.book_effects == frame.ledger_effects
    lines = {
        "Runs": _counts(frame.states) or "none open",
        "Actions": f"{frame.actions}, {frame.actions_per_s:.1f} a second",
        "Refused by rule": _counts(frame.refused) or "none",
        "Doubts": f"{frame.doubts} met, {frame.doubts_open} open"
        + (f"; resolved {_counts(frame.resolved)}" if frame.resolved else ""),
        "Faults survived": _counts({kind.replace("_", " "): n for kind, n in frame.faults.items()}) or "none",
        "Money given back": f"book {show_money(frame.book)} · ledger {show_money(frame.ledger)}",
        "Effects": f"book {frame.book_effects} · ledger {frame.ledger_effects}"
        + (" · [green]they agree[/]" if agree else " · [dim]some are under way[/]"),
    }
    if frame.approvals:
        lines["Approvals"] = show_approvals(frame.approvals, frame.approvals_waited_min)
    if frame.mails.total:
        lines["Mails"] = f"{_mails(frame.mails)}; read by {READERS[frame.reader]}"
    if frame.cards_answered:
        lines["Inbox"] = f"{frame.cards_answered} cards answered by a person (played by this demo)"
    if frame.starts > 1:
        lines["Server"] = f"started {frame.starts} times on this ledger"
    for name, value in lines.items():
        table.add_row(name, value)
    return table


def _mails(mails: Mails) -> str:
    stopped = sum(mails.stopped.values())
    return (
        f"{mails.right} of {mails.total} right, {mails.passed_on} to a person, {mails.otherwise} otherwise; "
        f"{stopped} steps stopped; {mails.cost_usd_micros / 1_000_000:.4f} USD"
    )


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(
        f"{count} {escape(name)}" for name, count in sorted(counts.items(), key=lambda each: -each[1])
    )
