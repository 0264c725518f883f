"""A plan that people approve whole: asking for it, their grant, and what of a start that grant covers.

Like an approval of one action it decides nothing: the start of each action judges anew. What rules then
demand is met by the grant where the card has listed it for that step, and where the action is what the plan
has there; all else asks for itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from deputize import canonical
from deputize.approval import Approval, Asking, Demand, hand_on_of, handed_on, used_for
from deputize.kernel.asking import (
    Asked,
    OfPeople,
    Open,
    approved,
    demand_of,
    is_for_people,
    open_of,
    unanswered,
)
from deputize.kernel.judging import InForce, Request
from deputize.kernel.live import LiveRun
from deputize.kernel.restored import restored_of
from deputize.kernel.result import Result, value
from deputize.ledger import Draft, Entry
from deputize.planned import PLAN, WHOLE, PlanAsk, Results, binding_of_plan
from deputize.rule import RuleLine, Verdict
from deputize.store.protocol import Tx

_NOTHING = {"was": "asking", "leased": False, "holds": [], "counted": []}


@dataclass(frozen=True)
class Foreseen:
    """What is foreseen of a plan, as its card tells it, and which rules ask for people at which step."""

    told: Sequence[Mapping[str, Any]] = ()
    rules: Mapping[str, Sequence[RuleLine]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Cover:
    """What a plan's grant meets of what rules demand at a start: by which approvals, asked for at `ask`."""

    ask: str
    rules: tuple[str, ...]
    approvals: tuple[Approval, ...]

    def less(self, wanted: OfPeople) -> OfPeople:
        """What is wanted of people besides."""
        return replace(wanted, rules=tuple(rule for rule in wanted.rules if rule.id not in self.rules))

    def body(self) -> dict[str, Any]:
        """As an intent tells it."""
        by = [approved(one) for one in self.approvals]
        return {"whole": {"plan": self.ask, "rules": self.rules, "approvals": by}}


# -- asking for it ----------------------------------------------------------------------------------


def ask_whole(
    tx: Tx, run: LiveRun, path: str, ask: PlanAsk, foreseen: Foreseen, force: InForce
) -> Asked | Result:
    """Put a plan before people; or refuse it, where there are none."""
    if not force.directory.people:
        reason = "there is nobody to ask: add [people.NAME] to deputize.toml"
        return _refused(tx, run, path, ask, reason, new=True)
    agent, at = run.automation.agent.name, tx.at_us
    own = Demand("approval", ask.whom, within_s=ask.within_us / 1_000_000, otherwise=ask.otherwise)
    wanted = {(line.id, demand_of(line)): line.title for lines in foreseen.rules.values() for line in lines}
    demands = [(own, PLAN, WHOLE), *((demand, id, title) for (id, demand), title in wanted.items())]
    covers = {step: sorted({line.id for line in lines}) for step, lines in foreseen.rules.items()}
    due = at + min(int(demand.within_s * 1_000_000) for demand, _, _ in demands)
    plan = {
        "digest": ask.plan_digest,
        "goal": ask.goal,
        "says": ask.sentences,
        "whole": ask.plan,
        "foreseen": list(foreseen.told),
        "covers": covers,
    }
    body = _named(path, ask) | {
        "kind": "approval",
        "title": f"A plan waits for a person: {ask.goal}",
        "contract": "",
        "version": "",
        "args": None,
        "agent": agent,
        "why": "",
        "expects": {},
        "rules": sorted({id for id, _ in wanted}),
        "ruleset": force.rules.digest[:16],
        "facts": {},
        "demands": [asdict(one) | {"rule": rule, "title": title} for one, rule, title in demands],
        "price_usd_micros": 0,
        "undoable": False,
        "requesters": sorted({agent, run.sender} - {""}),
        "binding": binding_of_plan(run.id, path, ask.plan_digest, agent, covers),
        "due": due,
        "again": False,
        "plan": tx.place(canonical.encode(plan)),
    }
    run.version = tx.append(run.no, run.version, [Draft("asked", body)])
    return Asked(due)


def grant_whole(tx: Tx, run: LiveRun, path: str, ask: PlanAsk, force: InForce) -> Asked | Result | None:
    """Take up what people granted, once it is enough. None where they have refused it meanwhile, which is
    told elsewhere."""
    asked = open_of(tx, tx.action(run.no, path), run.automation.name)
    if asked is None:
        return None
    approvals = tx.approvals(run.no, path)
    if tx.at_us >= asked.due:
        return _refused(tx, run, path, ask, unanswered(asked, approvals), expired=asked.expires)
    used = used_for(asked.asking, asked.demands, approvals, force.directory)
    if used is None:
        return Asked(asked.due)
    by = [approved(one) for one in used]
    body = _named(path, ask) | {"was": "asking", "asked": asked.entry.seq, "approvals": by, "at": tx.at_us}
    tx.use_approvals([one.no for one in used])
    run.version = tx.append(run.no, run.version, [Draft("granted", body)])
    return value(b"null", tx.at_us)


def _refused(
    tx: Tx, run: LiveRun, path: str, ask: PlanAsk, reason: str, *, expired: bool = False, new: bool = False
) -> Result:
    more: dict[str, Any] = {"reason": reason, "at": tx.at_us} | ({"expired": True} if expired else {})
    if new:
        more |= {"was": "new", "version": "", "agent": run.automation.agent.name, "args": None, "facts": {}}
    run.version = tx.append(run.no, run.version, [Draft("refused", _named(path, ask) | _NOTHING | more)])
    return Result("expired" if expired else "refused", b"null", reason, tx.at_us)


def _named(path: str, ask: PlanAsk) -> dict[str, Any]:
    return {"path": path, "op": PLAN, "digest": ask.digest}


# -- what the grant covers ------------------------------------------------------------------------------


def covered(tx: Tx, request: Request, verdict: Verdict, force: InForce) -> Cover | None:
    """What the grant of the plan that an action is a part of meets of what rules demand; None for nothing."""
    part = request.action.part
    asking = [rule for rule in verdict.rules if is_for_people(rule)]
    if part is None or request.inquiring or request.changers or not asking:
        return None
    grant = _Grant.of(tx, request, part.ask)
    if grant is None or not grant.holds(tx, request):
        return None
    listed = grant.asked.body["plan"]["covers"].get(part.step, ())
    own, *_ = grant.asked.demands
    if not grant.meets(own, force):
        return None
    met = [rule for rule in asking if rule.id in listed and grant.meets(demand_of(rule), force)]
    return Cover(part.ask, tuple(rule.id for rule in met), grant.approvals) if met else None


@dataclass(frozen=True)
class _Grant:
    """What people were asked for a plan and have granted, and what was done by it so far."""

    asked: Open
    entry: Entry
    approvals: tuple[Approval, ...]
    started: Mapping[str, tuple[str, int]]
    """The steps and items whose actions have started, by path."""
    results: Results

    @classmethod
    def of(cls, tx: Tx, request: Request, ask: str) -> _Grant | None:
        """The grant of what was asked at a path of the action's run."""
        entries = [entry for entry in tx.entries(request.run.no) if entry.body is not None]
        here = [entry for entry in entries if (entry.body or {}).get("path") == ask]
        asked = next((entry for entry in here if entry.type == "asked"), None)
        granted = next((entry for entry in here if entry.type == "granted"), None)
        if asked is None or asked.body is None or granted is None or granted.body is None:
            return None
        body, handed = asked.body, handed_on(here, asked)
        by = frozenset(body["requesters"]) | request.requesters
        asking = Asking(request.run.automation.name, body["binding"], asked.at_us, by, *hand_on_of(handed))
        given = granted.body["approvals"]
        approvals = tuple(Approval(one["no"], body["binding"], one["person"], one["at"]) for one in given)
        started, results = _done_so_far(entries, ask)
        return cls(Open(asked, body, asking, handed), granted, approvals, started, results)

    def holds(self, tx: Tx, request: Request) -> bool:
        """Whether it is good for just this action, and still is."""
        action, agent, plan = request.action, request.agent.name, self.asked.body["plan"]
        part = action.part
        if part is None:
            return False
        binding = binding_of_plan(request.run.id, part.ask, part.digest, agent, plan["covers"])
        place = (part.step, part.item)
        used = any(path != request.path and one == place for path, one in self.started.items())
        return (
            self.asked.asking.binding == binding
            and tx.at_us < self.asked.due
            and not used
            # What a copy of the ledger has of a grant may have been used since the copy was made.
            and self.entry.seq > restored_of(tx).seq
            and part.follows(action.operation.name, action.args, self.results)
        )

    def meets(self, demand: Demand, force: InForce) -> bool:
        """Whether enough of those who granted it may grant this, by the people of now."""
        return len(self.asked.asking.granted(demand, self.approvals, force.directory)) >= demand.people


def _done_so_far(entries: Sequence[Entry], ask: str) -> tuple[dict[str, tuple[str, int]], Results]:
    """Of a plan's actions: those that have started, and what those that are settled were answered."""
    places: dict[str, tuple[str, int]] = {}
    started: dict[str, tuple[str, int]] = {}
    results: dict[tuple[str, int], Any] = {}
    for entry in entries:
        body = entry.body or {}
        part, path = body.get("part"), body.get("path", "")
        if part is not None and part["plan"] == ask:
            places[path] = (part["step"], part["item"])
            if entry.type == "intent":
                started[path] = places[path]
        if path in places and entry.type in ("read", "receipt"):
            results[places[path]] = body["result"]
    return started, results
