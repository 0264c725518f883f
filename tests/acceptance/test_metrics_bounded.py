"""Metrics: every family says what it is, no label holds what came from outside, and what waits is told."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from deputize.api.metrics_waiting import KINDS, of_kinds
from deputize.health import ENDS, STATES
from tests.acceptance.test_telemetry_traces import ASK, CODE
from tests.support.collector import collecting
from tests.support.desk import Desk, fault
from tests.support.fixtures import desk as desk
from tests.support.project import write_project
from tests.support.running import so
from tests.support.serving import PEOPLE, SERVER, Served, serving

BUDGET = '[[budget]]\nname = "a\\nstrange \\"name\\""\nlimit = "8 actions"\n'
HOSTILE = ('x"} 1\ndeputize_evil{a="', "\\", "é\u202e\x00", "maya@example.com", "z" * 3_000, "<script>")


async def scrape(served: Served) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Every series, by name and labels; read anew."""
    text = (await served.http.get("/metrics")).text
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def labels(series: Iterable[tuple[str, tuple[tuple[str, str], ...]]]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for _, pairs in series:
        for name, value in pairs:
            found.setdefault(name, set()).add(value)
    return found


async def test_nothing_from_outside_is_ever_a_label(tmp_path: Path, desk: Desk, monkeypatch: Any) -> None:
    monkeypatch.setattr("deputize.api.metrics.KEPT_S", 0.0)
    root = write_project(tmp_path, desk.base, CODE, rules=ASK, toml=SERVER + PEOPLE + BUDGET)
    async with serving(root) as served:
        before = await scrape(served)
        accepted = 0
        for n, text in enumerate(HOSTILE):
            event = {
                "specversion": "1.0",
                "source": f"/{n}",
                "id": text,
                "type": "test.word",
                "subject": text,
                "data": {"item": text, "text": text},
            }
            # Some of it is no event, which is a good answer, too.
            sent = await served.http.post("/v1/events", json=event)
            assert sent.status_code in (202, 400)
            accepted += sent.status_code == 202
            unanswered = event | {"type": f"{text}.kind"}
            await served.http.post("/v1/events", json=unanswered)
        desk.faults.append(fault("status", 422, {"error": HOSTILE[0]}))
        await served.http.post("/v1/events", json=event | {"type": "test.ask", "data": {"n": 1}})
        cards = await served.app.until(lambda view: view.open_cards() == accepted and view.cards())
        for card in cards[:2]:
            await served.app.kernel.approving.refuse(
                card.id, binding=card.body["binding"], reason=HOSTILE[0], person="maya"
            )
        assert accepted >= 3
        await served.app.ended(*{card.run_id for card in cards[:2]})
        after = await scrape(served)
        project = served.app.system.project
        budgets = {budget.key for budget in served.app.kernel.parts.force.budgets}
    known = labels(after)
    assert known.pop("le")
    assert known.pop("kind") <= {*KINDS, "other", *ENDS}
    assert known.pop("state") <= {
        *STATES,
        "ended",
        "ready",
        "waiting",
        "asking",
        "settled",
        "open",
        "refused",
    }
    assert known.pop("automation") == set(project.automations)
    assert known.pop("connector") == set(project.connectors)
    assert known.pop("by") <= {"model", "agent", "automation"}
    assert known.pop("name") <= {*project.automations, *project.agents, *project.models}
    assert known.pop("direction") == {"in", "out"}
    assert known.pop("budget") == budgets
    assert known == {}
    # What is new are states and kinds that were not there before, and of those there are few.
    assert {name for name, _ in after.keys() - before.keys()} <= {
        "deputize_runs",
        "deputize_actions",
        "deputize_cards_opened_total",
    }


def test_a_kind_of_card_that_nobody_knows_is_one_of_others() -> None:
    assert of_kinds([(text, 2) for text in HOSTILE] + [("doubt", 1)]) == {"other": 12, "doubt": 1}


async def test_every_family_says_what_it_is(tmp_path: Path, desk: Desk) -> None:
    with collecting() as collector:
        telemetry = f'[telemetry]\nendpoint = "{collector.address}"\n'
        root = write_project(tmp_path, desk.base, CODE, toml=SERVER + BUDGET + telemetry)
        async with serving(root) as served:
            text = (await served.http.get("/metrics")).text
    families = list(text_string_to_metric_families(text))
    assert len(families) > 30
    assert [one.name for one in families if not one.documentation.strip()] == []
    assert {one.name for one in families} >= {
        "deputize_trace_spans_sent",
        "deputize_trace_spans_dropped",
        "deputize_trace_entries_passed",
        "deputize_trace_entries_behind",
    }


async def test_what_waits_and_what_is_used_is_told(tmp_path: Path, desk: Desk, monkeypatch: Any) -> None:
    monkeypatch.setattr("deputize.api.metrics.KEPT_S", 0.0)
    with collecting() as collector:
        telemetry = f'[telemetry]\nendpoint = "{collector.address}"\n'
        settings = SERVER + PEOPLE + BUDGET + telemetry
        root = write_project(tmp_path, desk.base, CODE, rules=ASK, toml=settings)
        async with serving(root) as served:
            world = served.app
            first = await scrape(served)
            assert first["deputize_card_oldest_seconds", ()] == 0
            assert first["deputize_cards_open", (("kind", "approval"),)] == 0
            for _ in range(2):
                await world.ended(await served.send(f"w{_}", n=1))
            await served.send("asks", "test.word")
            card = await world.card()
            await so(lambda: world.system.telemetry.figures.sent == 4)
            await world.kernel.people.stop("agent:worker", "because", "maya")
            now = await scrape(served)
            assert now["deputize_cards_open", (("kind", "approval"),)] == 1
            waited_s = (world.system.time.now_us() - card.at) / 1e6
            assert 0 < now["deputize_card_oldest_seconds", ()] <= waited_s
            [budget] = world.kernel.parts.force.budgets
            assert now["deputize_budget_used_ratio", (("budget", budget.key),)] == 2 / 8
            assert now["deputize_trace_spans_sent_total", ()] == 4
            assert now["deputize_trace_spans_dropped_total", ()] == 0
            assert now["deputize_stops", ()] == 1
            assert now["deputize_viewers", ()] == 0
            await served.speak_as("maya")
            async with served.http.stream("GET", "/live") as stream:
                assert stream.status_code == 200
                pieces = stream.aiter_bytes()
                assert await anext(pieces)
                assert (await scrape(served))["deputize_viewers", ()] == 1
            assert now["deputize_writes_waiting", ()] == 0
