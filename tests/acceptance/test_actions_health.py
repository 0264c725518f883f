"""Rates and times are what one counts by hand, over rebuilds too; and a full inbox slows what fills it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from deputize.health import BOUNDS_S, since_of
from deputize.kernel import slowing
from deputize.ledger import Entry
from deputize.store.erasure import erase_run
from deputize.store.telling import read_health
from tests.support.command import deputize
from tests.support.desk import Desk, fault
from tests.support.fixtures import desk as desk
from tests.support.project import PERMIT, write_project
from tests.support.running import Running, running, so
from tests.support.serving import PEOPLE, SERVER, serving

WORK = """
@automation(on=Ask, agent=worker, failures_max=1)
async def puts(event: Event[Ask]) -> Outcome:
    item = event.data.item
    if item == "bad":
        raise ValueError("no")
    if item == "given up":
        return gave_up("no")
    if item == "read":
        await attempt(desk.read(item="x"))
        return done("read")
    if item == "ask":
        await ask("keeper", "Well?")
    if item == "pay":
        await attempt(desk.pay(account="a", amount=Money(100 * event.data.n, "EUR")))
        return done("paid")
    got = await attempt(desk.put(item=item))
    return done(type(got).__name__)
"""

RULES = (
    PERMIT
    + """
[[rule]]
title = "Never more than 10 euros"
operation = "desk.pay"
never_above = { amount = "10.00 EUR" }
[[rule]]
title = "More than 5 euros waits"
operation = "desk.pay"
ask_above = { amount = "5.00 EUR" }
"""
)


def project(root: Path, desk: Desk, automations: str = WORK, **more: Any) -> Path:
    toml = PEOPLE + '[keepers]\ndefault = "maya"\n' + more.pop("toml", "")
    return write_project(root, desk.base, automations, rules=RULES, toml=toml, **more)


async def history(app: Running, desk: Desk) -> list[str]:
    """Some of everything."""
    runs = []

    async def one(item: str, *faults: Any, n: int = 0) -> str:
        desk.faults.extend(faults)
        runs.append(await app.send(item=item, n=n))
        return runs[-1]

    await app.ended(await one("a"))
    await app.ended(await one("bad"), await one("bad"))
    await app.ended(await one("given up"))
    await app.ended(await one("b", fault("status", 429), fault("status", 429)))
    await app.ended(await one("c", fault("status", 422)))
    await app.ended(await one("d", *[fault("status", 429)] * 3))
    await app.ended(await one("e", fault("lost")))
    await app.ended(await one("read"))
    desk.always = None
    await app.ended(await one("pay", n=20))
    asked = await one("pay", n=7)
    card = await app.card()
    await app.kernel.approving.approve(card.id, binding=card.body["binding"], person="maya")
    await app.ended(asked)
    run = await one("ask")
    await app.card()
    await app.kernel.people.cancel(run, "maya")
    await app.ended(run)
    drifted = await one("f", fault("body", 200, b"no"))
    await app.state(drifted, "stuck")
    await app.answer(f"{drifted}/1", "happened", {"item": "f", "key": ""})
    await app.ended(*runs)
    return runs


def by_hand(app: Running, runs: list[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The figures from nothing but entries."""
    entries = sorted((e for run in runs for e in app.entries(run)), key=lambda e: e.seq)
    ends = [e for e in entries if e.type == "ended"]
    kinds = Counter(_body(e)["kind"] for e in ends)
    cards = Counter(
        {"stuck": "stuck", "drift": "drift", "asked": "approval", "card": "doubt"}.get(e.type, "question")
        for e in entries
        if e.type in ("stuck", "drift", "asked", "card")
        or (e.type == "waiting" and _body(e)["kind"] == "question")
    )
    unsent = [e for e in entries if e.type == "refused" and _body(e)["was"] in ("new", "asking")]
    goes = [(e.at_us, e.type == "stuck" or _body(e)["kind"] == "failed") for e in entries if _is_end(e)]
    goes += [(e.at_us, True) for e in entries if e.type == "drift"]
    automation = {
        "runs": len(ends),
        **{kind: kinds[kind] for kind in ("done", "gave_up", "failed", "cancelled")},
        "failure_rate": round(kinds["failed"] / len(ends), 6),
        "cards": dict(sorted(cards.items())),
        "escalation_rate": round(cards.total() / len(ends), 6),
        "refusals": len(unsent),
        "refusal_rate": round(len(unsent) / len(ends), 6),
        **_mended(goes),
    }
    failed = [e for e in entries if e.type == "doubt" or (e.type == "attempt" and _body(e)["was"] == "open")]
    failed += [e for e in entries if e.type == "refused" and _body(e)["was"] == "open"]
    good = [e for e in entries if e.type in ("read", "declined", "drift")]
    good += [e for e in entries if e.type == "receipt" and not isinstance(_body(e)["by"], dict)]
    settled = [e for e in good if e.type in ("read", "receipt")]
    connector = {
        "settled": len(settled),
        "declined": sum(1 for e in entries if e.type == "declined"),
        "refused": sum(1 for e in entries if e.type == "refused" and _body(e)["was"] == "open"),
        "drifted": sum(1 for e in entries if e.type == "drift"),
        "abandoned": 0,
        "calls_failed": len(failed),
        "failure_rate": round(len(failed) / (len(failed) + len(good)), 6),
        **_mended([(e.at_us, e in failed) for e in (*failed, *good)]),
    }
    return automation, connector


def _is_end(entry: Entry) -> bool:
    return entry.type == "stuck" or (entry.type == "ended" and _body(entry)["kind"] != "cancelled")


def _mended(goes: list[tuple[int, bool]]) -> dict[str, Any]:
    """From each first failure to the next success."""
    took, down = [], 0
    for at, failed in sorted(goes):
        if failed:
            down = down or at
        elif down:
            took, down = [*took, at - down], 0
    return {"mended": len(took), "mttr_s": round(sum(took) / len(took) / 1e6, 6)}


def _body(entry: Entry) -> dict[str, Any]:
    assert entry.body is not None
    return dict(entry.body)


def figures(app: Running, since: int = 0) -> tuple[dict[str, Any], dict[str, Any]]:
    told = app.read(lambda view: read_health(view, since))
    return told["automations"][0], told["connectors"][0]


async def test_figures_are_what_one_counts_by_hand(tmp_path: Path, desk: Desk) -> None:
    async with running(project(tmp_path, desk)) as app:
        runs = await history(app, desk)
        automation, connector = figures(app)
        by_run, by_send = by_hand(app, runs)
        assert {name: automation[name] for name in by_run} == by_run
        assert {name: connector[name] for name in by_send} == by_send
        assert (automation["stuck"], automation["mended"], connector["mended"]) == (1, 2, 2)
        assert automation["down_since"] is None
        assert 0 < automation["p50_s"] <= automation["p95_s"]
        assert figures(app, since_of(1, app.system.time.now_us())) == (automation, connector)


async def test_the_time_to_mend_is_from_the_first_failure_to_the_next_success(
    tmp_path: Path, desk: Desk
) -> None:
    async with running(project(tmp_path, desk)) as app:
        runs = [await app.send(item=item) for item in ("bad", "bad", "bad")]
        await app.ended(*runs)
        down = min(e.at_us for run in runs for e in app.entries(run, "ended"))
        good = await app.send(item="a")
        await app.ended(good)
        (end,) = app.entries(good, "ended")
        automation, _ = figures(app)
        assert automation["mended"] == 1 and automation["down_since"] is None
        assert automation["mttr_s"] == round((end.at_us - down) / 1e6, 6)


async def test_latencies_lie_where_the_runs_do(tmp_path: Path, desk: Desk) -> None:
    desk.latency_s = 0.12
    async with running(project(tmp_path, desk)) as app:
        runs = [await app.send(item=str(n)) for n in range(10)]
        await app.ended(*runs)
        automation, connector = figures(app)
        took = sorted((app.run(run).ended_at or 0) - app.run(run).began_at for run in runs)
        low = max(bound for bound in (0, *BOUNDS_S) if bound * 1e6 < took[4])
        high = min(bound for bound in BOUNDS_S if bound * 1e6 >= took[4])
        assert low < automation["p50_s"] <= high
        assert connector["p50_s"] >= 0.1


async def test_erased_runs_stay_in_the_figures_and_a_rebuild_finds_the_same(
    tmp_path: Path, desk: Desk
) -> None:
    root = project(tmp_path, desk)
    async with running(root) as app:
        runs = await history(app, desk)
        before = figures(app)
        for run in runs:
            no = app.run(run).no
            await app.system.store.write(lambda tx, no=no: erase_run(tx, no, tx.version(0)))
        assert app.system.store.rebuild(replace=False) == []
        assert app.system.store.rebuild(replace=True) == []
        assert figures(app) == before
    async with running(root) as app:
        await app.ended(await app.send(item="a"))
        assert figures(app)[0]["runs"] == before[0]["runs"] + 1


async def test_they_are_told_over_http_by_metrics_and_by_the_command(tmp_path: Path, desk: Desk) -> None:
    root = project(tmp_path, desk, toml=SERVER)
    async with serving(root) as served:
        await served.app.ended(await served.send("a", item="a"), await served.send("b", item="bad"))
        told = (await served.http.get("/v1/health", params={"days": 1})).json()
        (one,) = told["automations"]
        assert (one["name"], one["runs"], one["failed"], one["failure_rate"]) == ("puts", 2, 1, 0.5)
        assert told["circuits"]["desk"]["state"] == "closed" and told["slowed"] == []
        metrics = (await served.http.get("/metrics")).text
        for line in (
            'deputize_runs_ended_total{automation="puts",kind="failed"} 1.0',
            'deputize_run_seconds_count{automation="puts"} 2.0',
            'deputize_actions_ended_total{connector="desk",state="settled"} 1.0',
            'deputize_action_seconds_count{connector="desk"} 1.0',
        ):
            assert line in metrics
    done = deputize(root, "health")
    assert done.code == 0 and "puts" in done.out and "1 (50.0%)" in done.out
    assert deputize(root, "health", "--json").json()["automations"][0]["failed"] == 1


ADDS = """
@automation(on=Ask, agent=worker)
async def asks(event: Event[Ask]) -> Outcome:
    await ask("keeper", "Well?")
    return done("answered")
@automation(on=Word, agent=worker)
async def other(event: Event[Word]) -> Outcome:
    await desk.put(item=event.data.item)
    return done("other")
"""


async def fill(app: Running, cards: int) -> list[str]:
    runs = [await app.send(item=str(n)) for n in range(cards)]
    await app.until(lambda view: len(view.cards()) >= cards)
    return runs


async def test_a_full_inbox_slows_what_only_adds_to_it_and_nothing_else(
    tmp_path: Path, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slowing, "BEGIN_EVERY_S", 3600.0)
    root = project(tmp_path, desk, ADDS, toml="[inbox]\nfull_at = 5\n")
    async with running(root) as app:
        first = await fill(app, 5)
        await so(lambda: app.system.time.monotonic() - app.kernel.scheduler.slowing._looked_s > 1)
        held = [await app.send(item=f"new/{n}") for n in range(4)]
        assert app.kernel.scheduler.slowing.held() == {"asks": 4}
        assert await app.label(await app.send(type="test.word", item="c")) == "done(other)"
        assert len(app.cards()) == 5
        assert await app.kernel.people.cancel(held[0], "maya") == "is being cancelled"
        assert await app.label(held[0]) == "cancelled"
        # What has begun goes on, and makes room for what waits.
        await app.kernel.answering.answer(f"{first[0]}/1", "yes", person="maya")
        assert await app.label(first[0]) == "done(answered)"
        await app.until(lambda view: len(view.cards()) == 7)
        assert app.kernel.scheduler.slowing.held() == {}


async def test_it_goes_on_slowly_and_a_restart_holds_them_back_as_well(
    tmp_path: Path, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slowing, "BEGIN_EVERY_S", 3600.0)
    root = project(tmp_path, desk, ADDS, toml="[inbox]\nfull_at = 5\n")
    async with running(root) as app:
        await fill(app, 5)
        await so(lambda: app.system.time.monotonic() - app.kernel.scheduler.slowing._looked_s > 1)
        for n in range(3):
            await app.send(item=f"new/{n}")
        assert len(app.kernel.scheduler.slowing) == 3
    async with running(root) as app:
        assert app.kernel.scheduler.slowing.held() == {"asks": 3}
    monkeypatch.setattr(slowing, "BEGIN_EVERY_S", 0.5)
    async with running(root) as app:
        await app.until(lambda view: len(view.cards()) == 8)
