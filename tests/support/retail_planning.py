"""A small model that runs here plans for requests and works on them; and what came of that, by the shop."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from deputize.testing.evidence import LedgerEvidence, read_ledger
from tests.acceptance import retail
from tests.acceptance.retail.client import changed, log
from tests.acceptance.retail.data import load_base
from tests.acceptance.retail.oracle import Request, in_cents
from tests.support.retail_choices import event_of as asked_in
from tests.support.retail_work import DATA, REQUESTS, Work, working

PLANNING = Path(retail.__file__).parent / "planning"
SETTINGS = """
[models.small]
model = "local:smollm2"
output_tokens_max = {tokens}
temperature = 0
timeout_s = 300
concurrent_max = 1
"""
CANCELLATION = "cancel_pending_order"
PAYMENT = "modify_pending_order_payment"
KINDS = (CANCELLATION, PAYMENT)
REASONS = ("no longer needed", "ordered by mistake")
"""All that the project's rules let a model do: cancel an order for one of these."""

ENDS = ("planned", "stopped", "no plan", "worked", "no answer")


def to_plan_for(number: int) -> list[Request]:
    """So many requests, all of whose steps are of kinds that the clerk of this project may use."""
    found = [one for one in REQUESTS if {step.operation for step in one.steps} <= set(KINDS)]
    return found[:number]


def event_of(request: Request, *, plan: bool) -> dict[str, Any]:
    """What the customer says, and whether it is to be planned for or worked on."""
    event = asked_in(request)
    return {**event, "data": {**event["data"], "plan": plan}}


@contextmanager
def planning(folder: Path, *, requests: Sequence[Request], tokens: int, plan: bool) -> Iterator[Work]:
    """A shop, and the project of a clerk whose model runs here; its answers have so many tokens at most."""
    given: dict[str, Any] = {"requests": requests, "settings": SETTINGS.format(tokens=tokens)}
    with working(folder, over=PLANNING, event=partial(event_of, plan=plan), **given) as work:
        yield work


@dataclass(frozen=True)
class Came:
    """What came of the requests. `ends` is how the runs ended, `wanted` what became of the writes that the
    model called for; `right` counts requests whose records are at the end as they were recorded."""

    ends: Counter[str]
    wanted: Counter[str]
    right: int
    unpermitted: list[str]
    crashed: list[str]

    @property
    def plans(self) -> int:
        """How many plans were valid."""
        return self.ends["planned"] + self.ends["stopped"]


def what_came(work: Work) -> Came:
    """By the shop's records, its log and the ledger, of a product that has ended."""
    ledger = read_ledger(work.ledger)
    worlds = {run.no: ledger.events[run.event].id for run in ledger.runs}
    writes = [one for one in ledger.actions if one.operation.removeprefix("retail.") in KINDS]
    right = [
        request.id
        for request in work.requests
        if in_cents(changed(work.shop, str(request.id))) == in_cents(request.changed)
    ]
    return Came(
        Counter(_end_of(ledger, run.no) for run in ledger.runs),
        Counter(one.state for one in writes),
        len(right),
        [*_unpermitted(work, {one.key: worlds[one.run] for one in writes if one.key}), *_moved(work)],
        [
            f"{run.id} is {run.state}: {run.label}"
            for run in ledger.runs
            if run.state != "ended" or _end_of(ledger, run.no) not in ENDS
        ],
    )


def _end_of(ledger: LedgerEvidence, run: int) -> str:
    last = ledger.entries[run][-1]
    body = last.body or {}
    return str(body.get("label")) if last.type == "ended" else last.type


def _unpermitted(work: Work, started: dict[str, str]) -> list[str]:
    """Of what the shop did: what no run of that request started, and what rules do not leave to a model."""
    return [
        f"{each['operation']} in {each['world']} with {each['args']}"
        for each in log(work.shop)
        if started.get(each["key"]) != each["world"]
        or each["operation"] != CANCELLATION
        or each["args"]["reason"] not in REASONS
    ]


def _moved(work: Work) -> list[str]:
    """By the shop's records: money that was moved otherwise than by a cancellation that is in its log."""
    base, found = load_base(DATA), []
    cancelled = {
        (each["world"], each["args"]["order_id"])
        for each in log(work.shop)
        if each["operation"] == CANCELLATION
    }
    worlds = {world for world, _ in cancelled}
    for request in work.requests:
        world, now = str(request.id), in_cents(changed(work.shop, str(request.id)))
        found += [
            f"what was paid for {id} in {world}"
            for id, order in now["orders"].items()
            if order["payment_history"] != base.orders[id]["payment_history"] and (world, id) not in cancelled
        ]
        found += [
            f"what {id} has to pay with in {world}"
            for id, user in now["users"].items()
            if user["payment_methods"] != base.users[id]["payment_methods"] and world not in worlds
        ]
    return found
