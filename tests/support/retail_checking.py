"""What must be as it was recorded at the end: the shop's records, its log, and the product's ledger."""

import re
from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import httpx2

from deputize.kernel.judging import InForce
from deputize.kernel.result import Known, read_record
from deputize.kernel.time import Calendar
from deputize.project import load_project
from deputize.testing.case import Case
from deputize.testing.evidence import ApprovalRow, LedgerEvidence, TownEvidence
from deputize.testing.invariants import check
from tests.acceptance.retail.client import changed, log
from tests.acceptance.retail.data import load_base
from tests.acceptance.retail.faults import KINDS
from tests.acceptance.retail.oracle import Request, in_cents
from tests.support.retail_work import DATA, Work

Granted = tuple[int, str, str, str, bool]
"""Run, path, binding, person, and whether it is used up."""

SHOP_SAID = re.compile(r'answered 422: {"error":"([^"]*)"}')


def assert_all_as_recorded(work: Work, ledger: LedgerEvidence) -> None:
    """The shop's records, the shop's log and the product's ledger, of a product that has ended."""
    _assert_records_to_the_cent(work)
    writes = log(work.shop)
    _assert_each_write_was_done_once(work, writes)
    _assert_runs_as_recorded(work, ledger)
    settled = [
        action for action in ledger.actions if action.state == "settled" and _is_the_shops(action.operation)
    ]
    assert sorted(one.key for one in settled if one.key) == sorted(each["key"] for each in writes)
    _assert_nothing_is_held(work, ledger)
    _assert_ledger_is_whole(work.project, ledger)


def assert_money_moved_by_approval_alone(
    work: Work, ledger: LedgerEvidence, operations: Collection[str], person: str
) -> None:
    """By the ledger's entries: each start of these operations used up an approval of its own, which this
    person gave for just that; no other start has one; and the shop did none of them without such a start.
    """
    steps = [step for request in work.requests for step in request.steps if step.operation in operations]
    rows = {row.no: row for row in ledger.approvals}
    used: Counter[int] = Counter()
    keys: set[str] = set()
    wrong = []
    for run in ledger.runs:
        asked: dict[str, Any] = {}
        for entry in ledger.entries[run.no]:
            body = entry.body or {}
            if entry.type == "asked":
                asked[body["path"]] = body
            elif entry.type == "intent":
                numbers = [one["no"] for one in body.get("approvals", ())]
                used.update(numbers)
                keys.add(body["key"])
                due = [_granted_for(body, asked.get(body["path"], {}), run.no, person)]
                found = [_as_granted(rows[no]) for no in numbers]
                if found != (due if body["op"].removeprefix("retail.") in operations else []):
                    wrong.append(f"{run.id}/{body['path']}: {body['op']} started on {found}, due is {due}")
    assert wrong == []
    assert [no for no, count in used.items() if count != 1] == []
    assert set(used) == {no for no, row in rows.items() if row.used} == set(rows)
    assert len(used) == len(steps)
    unknown = [each for each in log(work.shop) if each["operation"] in operations and each["key"] not in keys]
    assert unknown == []


def assert_no_money_moved(work: Work) -> None:
    """By the shop's own records: what was paid for orders is as it was, and what is left on gift cards."""
    base, wrong = load_base(DATA), []
    for request in work.requests:
        now = in_cents(changed(work.shop, str(request.id)))
        paid = {id: (order["payment_history"], base.orders[id]) for id, order in now["orders"].items()}
        means = {id: (user["payment_methods"], base.users[id]) for id, user in now["users"].items()}
        wrong += [
            f"request {request.id}: {id}" for id, (new, old) in paid.items() if new != old["payment_history"]
        ]
        wrong += [
            f"request {request.id}: {id}" for id, (new, old) in means.items() if new != old["payment_methods"]
        ]
    assert wrong == []


def assert_each_write_was_called_for(work: Work, ledger: LedgerEvidence) -> None:
    """What the shop did is what runs started, once each, and in the world of their own request."""
    runs = {run.no: ledger.events[run.event].id for run in ledger.runs}
    started = {
        one.key: (runs[one.run], one.operation)
        for one in ledger.actions
        if one.key and one.state == "settled"
    }
    done = {each["key"]: (each["world"], f"retail.{each['operation']}") for each in log(work.shop)}
    assert done == {key: what for key, what in started.items() if _is_the_shops(what[1])}


def _granted_for(intent: Mapping[str, Any], asked: Mapping[str, Any], run: int, person: str) -> Granted:
    """The approval that an action must start on: of what was asked, which must be just what starts."""
    same = all(asked.get(name) == intent[name] for name in ("op", "digest", "contract"))
    return run, str(intent["path"]), str(asked.get("binding")) if same else "", person, True


def _as_granted(row: ApprovalRow) -> Granted:
    return row.run, row.path, row.binding, row.person, row.used


def _assert_records_to_the_cent(work: Work) -> None:
    """In each world, all records that differ from the base are those of the oracle."""
    wrong = [
        request.id
        for request in work.requests
        if in_cents(changed(work.shop, str(request.id))) != in_cents(request.changed)
    ]
    assert wrong == []


def _assert_each_write_was_done_once(work: Work, writes: list[dict[str, Any]]) -> None:
    """By the shop's own log: each recorded write, in its place, and no other in any world."""
    by_id = _by_id(work)
    performed: dict[str, list[tuple[str, Any]]] = {world: [] for world in by_id}
    for each in writes:
        performed[each["world"]].append((each["operation"], each["args"]))
    wrong = [
        f"request {world}: {performed[world]}"
        for world, request in by_id.items()
        if performed[world] != [(step.operation, step.args) for step in request.steps if not step.rejected]
    ]
    assert wrong == []


def _assert_runs_as_recorded(work: Work, ledger: LedgerEvidence) -> None:
    """Each request is one run that read each order before it wrote to it, and was declined as recorded."""
    assert Counter((run.state, run.label) for run in ledger.runs) == {
        ("ended", "done(resolved)"): len(work.requests)
    }
    by_id, wrong = _by_id(work), []
    for run in ledger.runs:
        request = by_id[ledger.events[run.event].id]
        record = read_record(ledger.entries[run.no], {})
        paths = sorted(record, key=lambda path: [int(part) for part in path.split(".")])
        did = [_did(record[path]) for path in paths if _is_the_shops(record[path].what)]
        if did != _expected(request):
            wrong.append(f"request {request.id}: {did}")
    assert wrong == []


def _is_the_shops(operation: str) -> bool:
    """What a model is asked is an action as well, and none of the shop's."""
    return operation.startswith("retail.")


def _did(known: Known) -> tuple[str, Any, str, str]:
    """Operation, arguments, state, and the shop's words where it declined."""
    assert known.result is not None
    said = SHOP_SAID.search(known.result.reason)
    return known.what, known.args, known.state, said[1] if said else known.result.reason


def _expected(request: Request) -> list[tuple[str, Any, str, str]]:
    steps: list[tuple[str, Any, str, str]] = []
    for step in request.steps:
        world = {"world": str(request.id)}
        state, said = ("declined", step.result) if step.rejected else ("settled", "")
        order = {**world, "order_id": step.args["order_id"]}
        steps.append(("retail.get_order_details", order, "settled", ""))
        steps.append((f"retail.{step.operation}", {**world, **step.args}, state, said))
    return steps


def _assert_nothing_is_held(work: Work, ledger: LedgerEvidence) -> None:
    """No lease, no held budget, no card; and the budget has counted each write once."""
    assert [action for action in ledger.actions if action.state in ("open", "doubtful")] == []
    assert [card for card in ledger.cards if card.state == "open"] == []
    assert ledger.leases == {}
    assert sum(held for held, _ in ledger.budgets.values()) == 0
    of_writes = {one.key for one in load_project(work.project).settings.budgets if one.measure == "count"}
    counted = [spent for (key, _), (_, spent) in ledger.budgets.items() if key in of_writes]  # one row a day
    assert sum(counted) == work.writes


def _assert_ledger_is_whole(folder: Path, ledger: LedgerEvidence) -> None:
    """Chain and projections are sound, every promise holds, and each run's replay ends as the run did."""
    assert (ledger.flaws, ledger.differences) == ((), ())
    project = load_project(folder)
    contracts = {name: operation.contract for name, operation in project.operations.items()}
    settings = project.settings
    force = InForce(project.rules, (), Calendar(settings.zone), settings.directory)
    assert check(Case(ledger, TownEvidence(), contracts, services=(), force=[force]), project) == []


def assert_each_fault_was_met(shop: httpx2.Client) -> None:
    counts = shop.get("/faults").json()["counts"]
    assert set(counts) == set(KINDS) and all(counts.values()), counts


def _by_id(work: Work) -> dict[str, Request]:
    return {str(request.id): request for request in work.requests}
