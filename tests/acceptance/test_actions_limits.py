"""Line 5 and 6: budgets, facts and leases, taken in the starting transaction and returned by its end."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deputize.clock import to_us
from tests.support.desk import Desk, desk_service, fault
from tests.support.fixtures import desk as desk
from tests.support.project import PERMIT, write_project
from tests.support.running import Running, SetClock, running, so

TRY = """
@automation(on=Ask, agent=worker)
async def one(event: Event[Ask]) -> Outcome:
    got = await attempt({action})
    return gave_up(type(got).__name__, reason=got.reason) if isinstance(got, ActionError) else done()
"""
WRITE = TRY.format(action="desk.write(item=event.data.item)")
PAY = TRY.format(action='desk.pay(account=event.data.item, amount=Money(event.data.n, "EUR"))')
THINK = TRY.format(action="desk.think(item=event.data.item)")


def labels(rows: list[Any]) -> dict[str, int]:
    found: dict[str, int] = {}
    for row in rows:
        found[row.label] = found.get(row.label, 0) + 1
    return found


BUDGETS = [
    pytest.param(WRITE, 'limit = "37 actions"', 37, 37, "day", id="count of the whole"),
    pytest.param(WRITE, 'limit = "37 actions"\nagent = "worker"', 37, 37, "day", id="count of an agent"),
    pytest.param(
        WRITE, 'limit = "37 actions"\nautomation = "one"', 37, 37, "day", id="count of an automation"
    ),
    pytest.param(
        WRITE, 'limit = "37 actions"\noperation = "desk.write"', 37, 37, "day", id="count of an operation"
    ),
    pytest.param(
        WRITE, 'limit = "37 actions"\noperations = ["desk.w*"]', 37, 37, "day", id="count by pattern"
    ),
    pytest.param(PAY, 'limit = "37.50 EUR"', 37, 3700, "day", id="money"),
    pytest.param(THINK, 'limit = "0.0375 USD cost"', 37, 37_000, "day", id="cost"),
    pytest.param(WRITE, 'limit = "37 actions"', 37, 37, "hour", id="count by hour"),
    pytest.param(WRITE, 'limit = "37 actions"', 37, 37, "week", id="count by week"),
    pytest.param(WRITE, 'limit = "37 actions"', 37, 37, "month", id="count by month"),
    pytest.param(WRITE, 'limit = "37 actions"', 37, 37, "ever", id="count by ever"),
]


@pytest.mark.parametrize(("code", "limit", "fit", "spent", "per"), BUDGETS)
async def test_two_hundred_at_once_spend_a_budget_to_its_edge_and_not_beyond(
    tmp_path: Path, desk: Desk, code: str, limit: str, fit: int, spent: int, per: str
) -> None:
    toml = f'[[budget]]\nname = "b"\nper = "{per}"\n{limit}\n'
    root = write_project(
        tmp_path, desk.base, code, toml=toml, agents='worker = agent("worker", concurrent_max=200)'
    )
    async with running(root) as app:
        runs = await app.send_all([("test.ask", {"item": f"i{n}", "n": 100}) for n in range(200)])
        assert labels(await app.ended(*runs)) == {"done": fit, "gave_up(Refused)": 200 - fit}
        assert app.budget("b") == (0, spent)
        assert len(desk.seen) == fit
        refused = next(e for run in runs for e in app.entries(run, "refused"))
        assert 'the budget "b" has' in (refused.body or {})["reason"]


TWO = """
other = agent("other")
@automation(on=Word, agent=other)
async def two(event: Event[Word]) -> Outcome:
    return done()
"""


@pytest.mark.parametrize(
    "limit", ['agent = "other"', 'automation = "two"', 'operation = "desk.put"', 'operations = ["desk.p*"]']
)
async def test_a_budget_concerns_nobody_else(tmp_path: Path, desk: Desk, limit: str) -> None:
    toml = f'[[budget]]\nlimit = "0 actions"\n{limit}\n'
    async with running(write_project(tmp_path, desk.base, WRITE + TWO, toml=toml)) as app:
        assert await app.label(await app.send()) == "done"


@pytest.mark.parametrize(
    "agents", ['worker = agent("worker")', 'worker = agent("worker", budgets=[{budget}])']
)
async def test_what_was_spent_is_remembered_when_a_limit_or_a_name_is_edited(
    tmp_path: Path, desk: Desk, agents: str
) -> None:
    for limit, name, fit in ((2, "", 2), (3, "Writes", 1), (1, "", 0)):
        toml = f'[[budget]]\nlimit = "{limit} actions"\nname = "{name}"\n' if "{" not in agents else ""
        code = agents.format(budget=f'budget("{limit} actions", name="{name}")')
        async with running(write_project(tmp_path, desk.base, WRITE, toml=toml, agents=code)) as app:
            runs = [await app.send(item=f"{limit}-{n}") for n in range(4)]
            assert labels(await app.ended(*runs)).get("done", 0) == fit
    assert len(desk.seen) == 3


async def test_budgets_of_one_limit_and_other_operations_are_two(tmp_path: Path, desk: Desk) -> None:
    toml = '[[budget]]\nlimit = "2 actions"\n'
    toml = "".join(f'{toml}operations = ["{pattern}"]\n' for pattern in ("desk.write", "desk.*"))
    async with running(write_project(tmp_path, desk.base, WRITE, toml=toml)) as app:
        runs = [await app.send(item=f"i{n}") for n in range(3)]
        assert labels(await app.ended(*runs)) == {"done": 2, "gave_up(Refused)": 1}
        assert [row[3] for row in app.read(lambda view: view.budgets())] == [2, 2]


SO_MANY = """
[[rule]]
title = "At most {n} a day"
operation = "desk.write"
at_most = {{ times = {n}, per = "day" }}
"""


async def test_a_rules_count_is_remembered_when_its_numbers_and_title_are_edited(
    tmp_path: Path, desk: Desk
) -> None:
    for n, fit in ((2, 2), (3, 1), (1, 0)):
        rules = PERMIT + SO_MANY.format(n=n)
        async with running(write_project(tmp_path, desk.base, WRITE, rules=rules)) as app:
            runs = [await app.send(item=f"{n}-{i}") for i in range(4)]
            assert labels(await app.ended(*runs)).get("done", 0) == fit
    assert len(desk.seen) == 3


async def test_two_rules_that_count_the_same_count_it_once(tmp_path: Path, desk: Desk) -> None:
    rules = PERMIT + SO_MANY.format(n=3) + SO_MANY.format(n=4)
    async with running(write_project(tmp_path, desk.base, WRITE, rules=rules)) as app:
        runs = [await app.send(item=f"i{n}") for n in range(5)]
        assert labels(await app.ended(*runs)) == {"done": 3, "gave_up(Refused)": 2}


async def test_money_in_another_currency_is_above_every_limit(tmp_path: Path, desk: Desk) -> None:
    toml = '[[budget]]\nlimit = "1000.00 USD"\n'
    async with running(write_project(tmp_path, desk.base, PAY, toml=toml)) as app:
        run = await app.send(n=1)
        assert await app.label(run) == "gave_up(Refused)"
        assert "is in USD" in (app.entries(run, "refused")[0].body or {})["reason"]
        assert not desk.seen


async def test_the_worst_case_is_held_while_it_is_open_and_spent_when_it_is_done(
    tmp_path: Path, desk: Desk
) -> None:
    desk.hold = asyncio.Event()
    toml = '[[budget]]\nlimit = "10.00 EUR"\n'
    async with running(write_project(tmp_path, desk.base, PAY, toml=toml)) as app:
        run = await app.send(item="a", n=700)
        await desk.seen_of(1)
        assert app.budget() == (700, 0)
        assert await app.label(await app.send(item="b", n=400)) == "gave_up(Refused)"
        desk.hold.set()
        await app.ended(run)
        assert app.budget() == (0, 700)


@pytest.mark.parametrize("how", [fault("status", 404), fault("status", 429)])
async def test_what_was_not_done_gives_everything_back(tmp_path: Path, desk: Desk, how: Any) -> None:
    desk.faults.extend([how] * (3 if how.status == 429 else 1))
    toml = '[[budget]]\nlimit = "10.00 EUR"\n'
    rules = PERMIT + AT_MOST.format(per="day")
    async with running(write_project(tmp_path, desk.base, PAY, toml=toml, rules=rules)) as app:
        assert (await app.label(await app.send(item="a", n=1000))).startswith("gave_up")
        assert app.budget() == (0, 0) and not app.read(lambda view: view.leases())
        assert await app.label(await app.send(item="a", n=1000)) == "done"


AT_MOST = """
[[rule]]
title = "Once per account"
operation = "desk.pay"
at_most = {{ times = 1, per = "{per}", by = "account" }}
"""


async def test_a_fact_is_counted_by_its_subject_and_doubts_count_too(tmp_path: Path, desk: Desk) -> None:
    desk.hold = asyncio.Event()
    rules = PERMIT + AT_MOST.format(per="day")
    async with running(write_project(tmp_path, desk.base, PAY, rules=rules, settle_s=60)) as app:
        desk.faults.append(fault("hang"))
        doubtful = await app.send(item="a", n=1)
        await app.state(doubtful, "doubtful")
        desk.hold.set()
        rows = app.read(lambda view: view.leases())
        assert [row[0] for row in rows] == ["account:a"]
        await app.answer(f"{doubtful}/1", "happened", {"item": "a", "key": ""})
        assert await app.label(await app.send(item="a", n=1)) == "gave_up(Refused)"
        assert await app.label(await app.send(item="b", n=1)) == "done"


async def test_two_hundred_at_once_pass_a_count_exactly_as_often_as_it_allows(
    tmp_path: Path, desk: Desk
) -> None:
    rules = (
        PERMIT
        + '\n[[rule]]\ntitle = "Few"\noperation = "desk.write"\nat_most = { times = 11, per = "day" }\n'
    )
    async with running(write_project(tmp_path, desk.base, WRITE, rules=rules)) as app:
        runs = await app.send_all([("test.ask", {"item": f"i{n}"}) for n in range(200)])
        assert labels(await app.ended(*runs)) == {"done": 11, "gave_up(Refused)": 189}


async def test_a_count_on_a_read_is_counted_as_well(tmp_path: Path, desk: Desk) -> None:
    rules = (
        PERMIT + '\n[[rule]]\ntitle = "Few"\noperation = "desk.read"\nat_most = { times = 2, per = "day" }\n'
    )
    code = TRY.format(action="desk.read(item=event.data.item)")
    async with running(write_project(tmp_path, desk.base, code, rules=rules)) as app:
        runs = [await app.send() for _ in range(4)]
        assert labels(await app.ended(*runs)) == {"done": 2, "gave_up(Refused)": 2}


def at(text: str) -> int:
    return to_us(datetime.fromisoformat(text).replace(tzinfo=UTC))


@pytest.mark.parametrize(
    ("per", "before", "last", "after"),
    [
        ("hour", "2026-05-01T10:00:00", "2026-05-01T10:59:59.999999", "2026-05-01T11:00:00"),
        ("day", "2026-05-01T22:00:00", "2026-05-02T21:59:59.999999", "2026-05-02T22:00:00"),
        # The night in which the clocks go forward in Berlin: a day of 23 hours.
        ("day", "2026-03-28T23:00:00", "2026-03-29T21:59:59.999999", "2026-03-29T22:00:00"),
        # And back: a day of 25 hours, whose repeated hour is two windows of an hour.
        ("day", "2026-10-24T22:00:00", "2026-10-25T22:59:59.999999", "2026-10-25T23:00:00"),
        ("hour", "2026-10-25T00:30:00", "2026-10-25T00:59:59", "2026-10-25T01:00:00"),
        ("week", "2026-05-03T22:00:00", "2026-05-10T21:59:59", "2026-05-10T22:00:00"),
        ("month", "2026-04-30T22:00:00", "2026-05-31T21:59:59", "2026-05-31T22:00:00"),
    ],
)
async def test_a_window_ends_at_its_edge_in_the_projects_zone(
    tmp_path: Path, desk: Desk, per: str, before: str, last: str, after: str
) -> None:
    toml = f'[[budget]]\nname = "b"\nlimit = "1 actions"\nper = "{per}"\n'
    root = write_project(tmp_path, desk.base, WRITE, toml=toml, zone="Europe/Berlin")
    clock = SetClock(at(before))
    async with running(root, clock=clock) as app:
        assert await app.label(await app.send()) == "done"
        clock.at_us = at(last)
        assert await app.label(await app.send()) == "gave_up(Refused)"
        clock.at_us = at(after)
        assert await app.label(await app.send()) == "done"


async def test_may_narrows_what_the_rules_permit(tmp_path: Path, desk: Desk) -> None:
    agents = 'worker = agent("worker", may=["desk.read"])'
    async with running(write_project(tmp_path, desk.base, WRITE, agents=agents)) as app:
        run = await app.send()
        assert await app.label(run) == "gave_up(Refused)"
        assert "may not use desk.write" in (app.entries(run, "refused")[0].body or {})["reason"]
        assert not desk.seen


@pytest.mark.parametrize("action", ["write", "read", "think"])
async def test_may_never_widens_them(tmp_path: Path, desk: Desk, action: str) -> None:
    agents = f'worker = agent("worker", may=["desk.{action}"])'
    code = TRY.format(action=f"desk.{action}(item=event.data.item)")
    rules = PERMIT.replace("desk.*", "desk.put")
    async with running(write_project(tmp_path, desk.base, code, agents=agents, rules=rules)) as app:
        assert await app.label(await app.send()) == "gave_up(Refused)"
        assert not desk.seen


# -- leases -------------------------------------------------------------------------------------------


def waiting_for_leases(app: Running) -> int:
    return sum(map(len, app.kernel.parts.leases._lines.values()))


async def test_a_lease_is_passed_on_in_the_order_of_asking(tmp_path: Path, desk: Desk) -> None:
    async with running(write_project(tmp_path, desk.base, WRITE)) as app:
        desk.hold = asyncio.Event()
        runs = [await app.send(item="same")]
        await desk.seen_of(1)
        for _ in range(20):
            runs.append(await app.send(item="same"))
            await so(lambda: waiting_for_leases(app) == len(runs) - 1)
        desk.hold.set()
        await app.ended(*runs)
        receipts = [app.entries(run, "intent")[0].seq for run in runs]
        assert receipts == sorted(receipts)


async def test_a_lease_is_kept_in_doubt_and_passed_on_by_its_answer(tmp_path: Path, desk: Desk) -> None:
    desk.faults.append(fault("hang"))
    async with running(write_project(tmp_path, desk.base, WRITE, settle_s=60)) as app:
        first = await app.send(item="same")
        await app.state(first, "doubtful")
        second = await app.send(item="same")
        await so(lambda: app.kernel.parts.leases.waiting)
        assert not app.entries(second, "intent")
        began = asyncio.get_running_loop().time()
        await app.answer(f"{first}/1", "did_not")
        await app.ended(first, second)
        # By the answer, and not by looking again some time.
        assert asyncio.get_running_loop().time() - began < 2


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=2, max_size=30))
def test_any_sets_of_resources_all_finish_one_at_a_time(
    tmp_path_factory: pytest.TempPathFactory, pairs: list[tuple[int, int]]
) -> None:
    code = TRY.format(action="desk.both(a=event.data.item[0], b=event.data.item[1])")
    root = tmp_path_factory.mktemp("leases")

    async def all_finish() -> None:
        async with desk_service() as service:
            write_project(root, service.base, code)
            await finish(service)

    async def finish(service: Desk) -> None:
        async with running(root) as app:
            began = asyncio.get_running_loop().time()
            runs = await app.send_all([("test.ask", {"item": f"{a}{b}"}) for a, b in pairs])
            await app.ended(*runs)
            # Four resources with one holder each: never more than four under way.
            assert len(service.effects) == len(pairs) and service.in_flight_max <= 4
            # Each is woken when its turn comes; nobody waits for the time to be up.
            assert asyncio.get_running_loop().time() - began < 4

    asyncio.run(all_finish())
