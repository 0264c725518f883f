"""What waits and what is used, for Prometheus: cards, lines, budgets, who looks, and what is told outside."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from deputize.system import System

if TYPE_CHECKING:
    from prometheus_client.core import Metric

KINDS = ("approval", "question", "doubt", "drift", "stuck", "unwind", "lowered", "budget")
"""The kinds of cards; whatever else a ledger may hold is `other`."""


def waiting_families(system: System, viewers: int | None) -> Iterable[Metric]:
    """Every family. `viewers` is None where no pages are served."""
    yield from _of_cards(system)
    yield from _of_budgets(system)
    yield from _of_telling(system)
    from prometheus_client.core import GaugeMetricFamily

    writes = system.store.waiting
    yield GaugeMetricFamily("deputize_writes_waiting", "Writes that wait for the ledger", value=writes)
    yield GaugeMetricFamily("deputize_stops", "Halts and pauses in force", value=_stops(system))
    if viewers is not None:
        yield GaugeMetricFamily("deputize_viewers", "Pages that show what happens as it does", value=viewers)


def of_kinds(counts: Iterable[tuple[str, int]]) -> Counter[str]:
    """Numbers by kind of card."""
    found: Counter[str] = Counter()
    for kind, n in counts:
        found[kind if kind in KINDS else "other"] += n
    return found


def _of_cards(system: System) -> Iterable[Metric]:
    from prometheus_client.core import GaugeMetricFamily

    rows = system.store.read(lambda view: view.waiting_cards())
    waiting = of_kinds((kind, n) for kind, n, _ in rows)
    cards = GaugeMetricFamily("deputize_cards_open", "Cards that wait for a person, by kind", labels=["kind"])
    for kind in (*KINDS, "other"):
        cards.add_metric([kind], waiting[kind])
    since = min((at for _, _, at in rows), default=None)
    oldest_s = 0.0 if since is None else max(0.0, (system.time.now_us() - since) / 1e6)
    yield cards
    what = "How long the oldest card has waited"
    yield GaugeMetricFamily("deputize_card_oldest_seconds", what, value=oldest_s)


def _of_budgets(system: System) -> Iterable[Metric]:
    """Of those with a window: of others each call or run has one of its own."""
    from prometheus_client.core import GaugeMetricFamily

    force, now_us = system.kernel.parts.force, system.time.now_us()
    used = system.store.read(lambda view: {(row[0], row[1]): row[2] + row[3] for row in view.budgets()})
    what = "Share of a budget that is spent or held in its window"
    share = GaugeMetricFamily("deputize_budget_used_ratio", what, labels=["budget"])
    for budget in force.budgets:
        if budget.per != "call" and budget.per != "run":
            taken = used.get((budget.key, force.calendar.start(budget.per, now_us)), 0)
            share.add_metric([budget.key], taken / budget.limit if budget.limit else 1.0)
    yield share


def _of_telling(system: System) -> Iterable[Metric]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    figures = system.telemetry.figures
    dropped = system.lines.dropped + figures.unwritten
    yield CounterMetricFamily("deputize_log_lines_dropped", "Lines that the log did not take", value=dropped)
    if not system.telemetry.traces:
        return
    for name, what, value in (
        ("spans_sent", "Spans that the collector took", figures.sent),
        ("spans_dropped", "Spans given up, as the collector did not take them in time", figures.dropped),
        ("entries_passed", "Entries passed over by traces that were too far behind", figures.passed),
    ):
        yield CounterMetricFamily(f"deputize_trace_{name}", what, value=value)
    behind = max(0, system.store.read(lambda view: view.last_seq()) - figures.traces)
    what = "Entries that the collector is not told of yet"
    yield GaugeMetricFamily("deputize_trace_entries_behind", what, value=behind)


def _stops(system: System) -> int:
    return len(system.kernel.parts.stops.scopes)
