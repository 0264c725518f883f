"""Later rounds: T2 once more for an action in doubt, under a new key.

Only on a person's word that it did not happen, or for a priced read whose answer was lost.
"""

from __future__ import annotations

from dataclasses import replace

from deputize.approval import Asking
from deputize.finding import inquiry_of
from deputize.kernel.asking import demands_of, is_for_people
from deputize.kernel.begun import Begun
from deputize.kernel.inquiries import touches
from deputize.kernel.judging import InForce, Request, barred, outright, verdict_of
from deputize.kernel.lowering import confirmed
from deputize.kernel.nearing import tell_of_near
from deputize.kernel.reserving import holds_of
from deputize.kernel.settling import let_go, settled_part
from deputize.kernel.start import RefusedStart, begin, intent_body
from deputize.ledger import Draft
from deputize.rule import Verdict
from deputize.store.protocol import Tx
from deputize.taking import LOST


def start_again(
    tx: Tx,
    request: Request,
    before: Begun,
    force: InForce,
    ledger_id: str,
    because: str,
    *,
    spend: bool,
    person: str = "",
) -> tuple[Begun | RefusedStart, Draft]:
    """T2 for the next round of an action in doubt, under a new key, and the entry that says so.

    What the earlier round held is let go (or counted as spent, for a priced read), and all is judged
    and held anew; where that cannot be, the action is refused. What rules ask people for is granted by
    the word of the `person` who asks for it again, where they may grant it alone.
    """
    action, at = request.action, tx.at_us
    contract = action.operation.contract
    books = _Released(tx, before, spend)
    verdict, counted, facts = verdict_of(books, request, force, at)
    verdict = confirmed(tx, request, verdict)
    reserved = holds_of(books, request, force, at)
    # What was lost is not worth a person's word for more than was set aside.
    holds, reason = reserved.holds, reserved.over or reserved.asking
    if why := outright(request, force):
        reason = why
    elif verdict.decision == "demand":
        reason = reason or _not_granted(request, verdict, force, person, at)
    elif verdict.decision != "allow":
        reason = verdict.sentence()
    rules = [rule.id for rule in verdict.rules]
    lost = {LOST: request.worst_usd_micros or 0} if spend and contract.priced_by else {}
    if reason:
        body = settled_part(before, "doubtful") | {"reason": reason, "spend": spend, "at": at} | lost
        return RefusedStart(reason, at), Draft("refused", body | {"rules": rules, "facts": dict(facts)})
    round, counted = before.round + 1, (*counted, *touches(request, force, before.leases, at))
    again = begin(
        request.run,
        before.path,
        action,
        round,
        at,
        ledger_id,
        before.leases,
        holds,
        counted,
        before.under_way,
    )
    again = replace(again, barred=barred(request, force))
    body = intent_body(
        again, tx.place(again.args), action, request, verdict, facts, force.rules.digest, at
    ) | {"because": because, "released": let_go(before) | {"spend": spend} | lost}
    tell_of_near(tx, again.id, reserved.near, force.calendar)
    return again, Draft("intent", body)


def _not_granted(request: Request, verdict: Verdict, force: InForce, person: str, at_us: int) -> str:
    """Why a person's word alone does not meet what rules demand; empty where it does."""
    asking = Asking(request.run.automation.name, "", at_us, request.requesters)
    # Who has it done again decides what an inquiry would have left to them, too.
    met = all(
        (is_for_people(rule) or inquiry_of(rule) is not None)
        and demand.people == 1
        and asking.may_grant(demand, person, force.directory, at_us)
        for rule, demand in zip(verdict.rules, demands_of(verdict.rules), strict=True)
    )
    return "" if met else f"{verdict.sentence()}, and doing it again is not for {person or 'anyone'} alone"


class _Released:
    """The books as they are once an earlier round has let go of what it held."""

    def __init__(self, tx: Tx, before: Begun, spend: bool) -> None:
        self._tx, self._before, self._spend = tx, before, spend

    def counted(self, counter: str, subject: str, window: int) -> int:
        place = (counter, subject, window)
        own = 0 if self._spend else sum(n for *at, n in self._before.counted if tuple(at) == place)
        own += sum(n for *at, n in self._before.under_way if tuple(at) == place)
        return self._tx.counted(counter, subject, window) - own

    def used(self, budget: str, window: int) -> tuple[int, int]:
        held, spent = self._tx.used(budget, window)
        own = sum(amount for name, at, amount in self._before.holds if (name, at) == (budget, window))
        return held - own, spent + (own if self._spend else 0)
