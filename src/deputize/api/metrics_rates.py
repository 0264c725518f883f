"""How work goes, for Prometheus: counted by the ledger, so that no restart takes anything back.

Labels are bounded: the automations, connectors, models and agents of the project, the ways to end, the kinds
of cards.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from deputize.api.metrics_waiting import of_kinds
from deputize.health import (
    AUTOMATION,
    BOUNDS_S,
    CONNECTOR,
    ENDS,
    STATES,
    THINKERS,
    Counted,
    counted,
    of_thoughts,
)
from deputize.system import System

if TYPE_CHECKING:
    from prometheus_client.core import Metric


def rate_families(system: System) -> Iterable[Metric]:
    """Every family, over all there was."""
    had = counted(system.store.read(lambda view: view.rates(0)))
    automations = {name: had.get(AUTOMATION + name, Counted()) for name in system.project.automations}
    connectors = {name: had.get(CONNECTOR + name, Counted()) for name in system.project.connectors}
    yield from _of_automations(automations, system.kernel.scheduler.slowing.held())
    yield from _of_connectors(connectors)
    agents = {one.agent.name for one in system.project.automations.values()}
    known = {"model": system.project.models, "agent": sorted(agents), "automation": automations}
    yield from _of_thoughts(
        {(by, name): had.get(THINKERS[by] + name, Counted()) for by, names in known.items() for name in names}
    )


def _of_automations(automations: dict[str, Counted], held: dict[str, int]) -> Iterable[Metric]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

    label = ["automation"]
    ended = CounterMetricFamily("deputize_runs_ended", "Runs by how they ended", labels=[*label, "kind"])
    stuck = CounterMetricFamily("deputize_runs_stuck", "How often runs got stuck", labels=label)
    cards = CounterMetricFamily("deputize_cards_opened", "Cards by kind", labels=[*label, "kind"])
    refused = CounterMetricFamily(
        "deputize_actions_refused", "Actions refused before they started", labels=label
    )
    waits = GaugeMetricFamily("deputize_runs_held", "Runs held back as the inbox is full", labels=label)
    took = HistogramMetricFamily("deputize_run_seconds", "From an event to its run's end", labels=label)
    for name, had in automations.items():
        for kind in ENDS:
            ended.add_metric([name, kind], had.of(kind))
        for kind, n in of_kinds(had.starting("card").items()).items():
            cards.add_metric([name, kind], n)
        stuck.add_metric([name], had.of("stuck"))
        refused.add_metric([name], had.of("refused"))
        waits.add_metric([name], held.get(name, 0))
        took.add_metric([name], buckets(had.among(*ENDS)), _seconds(had, *ENDS))
    yield from (ended, stuck, cards, refused, waits, took, *_mended("automation", automations))


def _of_connectors(connectors: dict[str, Counted]) -> Iterable[Metric]:
    from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily

    label = ["connector"]
    ended = CounterMetricFamily(
        "deputize_actions_ended", "Actions by how they ended", labels=[*label, "state"]
    )
    failed = CounterMetricFamily("deputize_calls_failed", "Calls not done, or in doubt", labels=label)
    took = HistogramMetricFamily("deputize_action_seconds", "From an intent to its receipt", labels=label)
    for name, had in connectors.items():
        for state in STATES:
            ended.add_metric([name, state], had.of(state))
        failed.add_metric([name], had.of("failed"))
        took.add_metric([name], buckets(had.among("settled")), _seconds(had, "settled"))
    yield from (ended, failed, took, *_mended("connector", connectors))


def _of_thoughts(thinkers: dict[tuple[str, str], Counted]) -> Iterable[Metric]:
    from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily

    label = ["by", "name"]
    took = HistogramMetricFamily(
        "deputize_thought_seconds", "From asking a model to its answer", labels=label
    )
    lost = CounterMetricFamily("deputize_thoughts_lost", "Answers that never came", labels=label)
    tokens = CounterMetricFamily(
        "deputize_tokens", "Tokens as providers count them", labels=[*label, "direction"]
    )
    paid = CounterMetricFamily(
        "deputize_thinking_usd", "US dollars for thoughts, lost ones at their most", labels=label
    )
    for (by, name), had in thinkers.items():
        told = of_thoughts(had)
        took.add_metric([by, name], buckets(had.among("thought")), _seconds(had, "thought"))
        lost.add_metric([by, name], told["lost"])
        tokens.add_metric([by, name, "in"], told["input_tokens"])
        tokens.add_metric([by, name, "out"], told["output_tokens"])
        paid.add_metric([by, name], told["cost_usd_micros"] / 1e6)
    return took, lost, tokens, paid


def _mended(label: str, named: dict[str, Counted]) -> Iterable[Metric]:
    from prometheus_client.core import CounterMetricFamily

    often = CounterMetricFamily(f"deputize_{label}_mended", "Recoveries from failing", labels=[label])
    took = CounterMetricFamily(
        f"deputize_{label}_mended_seconds",
        "From the first failure to the next success, in all",
        labels=[label],
    )
    for name, had in named.items():
        often.add_metric([name], had.of("mended"))
        took.add_metric([name], _seconds(had, "mended"))
    return often, took


def buckets(within: list[int]) -> list[tuple[str, float]]:
    """Counts within each bound as Prometheus has them: each with all below it."""
    total, found = 0, []
    for bound, n in zip([*map(str, BOUNDS_S), "+Inf"], within, strict=True):
        total += n
        found.append((bound, float(total)))
    return found


def _seconds(had: Counted, *words: str) -> float:
    return sum(had.took_us.get(word, 0) for word in words) / 1_000_000
