"""What people say of an action that waits for them: approved, refused, or with other arguments.

An approval is a record of the person's own and decides nothing: the start that follows judges anew. A
refusal and a change end what was asked, in the transaction in which they are recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from deputize import canonical
from deputize.clock import iso
from deputize.errors import ContractError
from deputize.kernel.asking import Open, open_of
from deputize.kernel.ending import Append
from deputize.kernel.parts import Parts
from deputize.kernel.people import NotAnswerable
from deputize.kernel.result import CHANGED, Changed, Result
from deputize.kernel.runner import Runner
from deputize.ledger import Draft
from deputize.operation import Operation
from deputize.planned import PLAN
from deputize.sentence import listed
from deputize.store.protocol import ActionRow, RunRow, Tx
from deputize.undo import UNDO

HANDED = "ask_keeper"
"""What the record of whoever hands a card on is called."""

CHANGES_MAX = 20
"""How often the arguments of one action may be changed."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """An action that waits for people."""

    run: RunRow
    row: ActionRow
    open: Open


class Approving:
    """Takes in what people say of actions that wait for them. Every method takes the card's id (`run/path`),
    the `binding` that the card showed, and who says it, and raises `NotAnswerable`, saying why."""

    def __init__(
        self, parts: Parts, append: Append, runner: Runner, operations: Mapping[str, Operation[..., Any]]
    ) -> None:
        self._parts = parts
        self._append = append
        self._runner = runner
        self._operations = operations
        self.handed: Callable[[int], None] = lambda seq: None
        """Told of each card (by its seq) that was handed on."""

    async def approve(self, card: str, *, binding: str, person: str) -> str:
        """Approve it once. Returns a sentence; a second click is one approval."""

        def work(tx: Tx) -> tuple[int, str, str]:
            asked = self._find(tx, card, binding)
            self._check(asked, person, tx.at_us)
            fresh = tx.approve(asked.run.no, asked.row.path, binding, person)
            self._parts.boundary("approve.in")
            return asked.run.no, asked.row.path, self._said(tx, asked, fresh)

        self._parts.boundary("approve.before")
        no, path, said = await self._parts.store.write(work)
        self._parts.boundary("approve.after")
        self._runner.retry(no, path)
        return said

    async def refuse(self, card: str, *, binding: str, reason: str, person: str) -> str:
        """Refuse it; the await raises `Refused` with the reason."""

        def work(tx: Tx) -> tuple[int, str, Result]:
            asked = self._find(tx, card, binding)
            if person not in asked.open.asking.requesters:
                self._check(asked, person, tx.at_us)
            said = f"refused by {person}" + (f": {reason}" if reason else "")
            by = {"person": person, "reason": reason}
            self._end(tx, asked, "refuse", {"reason": said, "by": by}, person)
            return asked.run.no, asked.row.path, Result("refused", b"null", said, tx.at_us)

        self._parts.boundary("refuse.before")
        no, path, result = await self._parts.store.write(work)
        self._parts.boundary("refuse.after")
        self._runner.deliver(no, path, result)
        return "refused"

    async def change(self, card: str, *, binding: str, args: Any, reason: str, person: str) -> str:
        """Refuse it as it is and ask for it with other arguments, in its place; judged like any other."""

        def work(tx: Tx) -> tuple[int, str, Changed]:
            asked = self._find(tx, card, binding)
            self._check(asked, person, tx.at_us)
            if asked.row.operation == PLAN:
                raise NotAnswerable(
                    "a plan is granted or refused whole, as it is: refuse it and say what should be otherwise"
                )
            if asked.row.path.startswith(UNDO):
                raise NotAnswerable("what undoes an action is approved or refused as it is")
            changed = Changed(_next_path(asked.row.path), self._new_args(asked, args), person)
            body = {
                "reason": f"{person} changed its arguments" + (f": {reason}" if reason else ""),
                "by": {"person": person, "reason": reason},
                "changed": {"path": changed.path, "person": person},
                "changed_args": tx.place(changed.args),
            }
            self._end(tx, asked, "change", body, person)
            return asked.run.no, asked.row.path, changed

        self._parts.boundary("change.before")
        no, path, changed = await self._parts.store.write(work)
        self._parts.boundary("change.after")
        self._runner.retry(no, path, changed)
        return f"changed; it goes on as {card.partition('/')[0]}/{changed.path}"

    async def ask_keeper(self, card: str, *, binding: str, reason: str, person: str) -> str:
        """Hand it on: from now on the automation's keeper is asked, too. It waits no longer for that."""

        def work(tx: Tx) -> tuple[int, str]:
            asked = self._find(tx, card, binding)
            self._check(asked, person, tx.at_us)
            said = {"reason": reason, "person": person}
            if asked.open.handed is not None:
                return asked.open.entry.seq, "the keeper is asked already"
            keeper = self._keeper(asked, person, tx.at_us)
            no, path = asked.run.no, asked.row.path
            tx.answer(no, path, HANDED, {"binding": binding, "reason": reason}, person, taken=True)
            self._append(tx, no, [Draft("handed", {"path": path, "keeper": keeper, "by": said})])
            self._parts.boundary("hand.in")
            return asked.open.entry.seq, f"handed on: {keeper} is asked, too"

        self._parts.boundary("hand.before")
        seq, said = await self._parts.store.write(work)
        self._parts.boundary("hand.after")
        self.handed(seq)
        return said

    # -- what they have in common ----------------------------------------------------------------------

    def _find(self, tx: Tx, card: str, binding: str) -> _Asked:
        run_id, _, path = card.partition("/")
        run = tx.run(run_id)
        if run is None:
            raise NotAnswerable(f"there is no run {run_id!r}; `deputize inbox` lists what waits")
        row = tx.action(run.no, path) if path else None
        open = open_of(tx, row, run.automation)
        if row is None or open is None:
            state = "unknown" if row is None else row.state
            raise NotAnswerable(f"action {run.id}/{path} is {state}; nobody is asked for it (any more)")
        if open.asking.binding != binding:
            raise NotAnswerable(f"the card {run.id}/{path} has changed since it was read; read it again")
        if tx.at_us >= open.due:
            over = f"the time for {run.id}/{path} was over at {iso(open.due)}"
            raise NotAnswerable(f"{over}; `deputize why {run.id}/{path}` tells what came of it")
        if tx.wish(run.no) and run.state != "ended":
            raise NotAnswerable(f"run {run.id} is being cancelled: nothing in it is to be decided any more")
        return _Asked(run, row, open)

    def _check(self, asked: _Asked, person: str, at_us: int) -> None:
        """Raises `NotAnswerable` where it is not for this person to say."""
        directory, open = self._parts.force.directory, asked.open
        if person not in directory.people:
            raise NotAnswerable(f"there is nobody called {person!r} in deputize.toml")
        if person in open.asking.requesters:
            raise NotAnswerable(f"{person} asked for it; nobody approves their own request")
        if not any(open.asking.may_grant(demand, person, directory, at_us) for demand in open.demands):
            named = sorted({name for d in open.demands for name in open.asking.asks(d, directory, at_us)})
            ones = listed(named) if named else "nobody"
            raise NotAnswerable(f"{person} is not asked for this; it asks {ones}")

    def _keeper(self, asked: _Asked, person: str, at_us: int) -> str:
        """Whom it can be handed on to. Raises `NotAnswerable`, saying what to do instead."""
        directory, open, automation = self._parts.force.directory, asked.open, asked.run.automation
        keeper = directory.keeper_of(automation)
        if not keeper:
            raise NotAnswerable(
                f"nobody keeps {automation}: approve or refuse it yourself, or name its keeper in "
                f'deputize.toml ([keepers] {automation} = "NAME") and start `deputize up` again'
            )
        if keeper == person:
            raise NotAnswerable(f"{person} keeps {automation}: it is for you to approve or refuse")
        if keeper in open.asking.requesters:
            raise NotAnswerable(f"{keeper}, who keeps {automation}, asked for it and cannot approve it")
        theirs = [one for one in open.demands if open.asking.may_grant(one, person, directory, at_us)]
        if all(open.asking.may_grant(demand, keeper, directory, at_us) for demand in theirs):
            raise NotAnswerable(f"{keeper}, who keeps {automation}, is asked for it as it is")
        return keeper

    def _said(self, tx: Tx, asked: _Asked, fresh: bool) -> str:
        directory, open = self._parts.force.directory, asked.open
        approvals = tx.approvals(asked.run.no, asked.row.path)
        missing = [d.people - len(open.asking.granted(d, approvals, directory)) for d in open.demands]
        said = "approved" if fresh else "approved already"
        left = max(missing)
        return f"{said}; {left} more must approve it" if left > 0 else said

    def _new_args(self, asked: _Asked, args: Any) -> bytes:
        operation = self._operations.get(asked.row.operation)
        if operation is None:
            raise NotAnswerable(f"there is no operation {asked.row.operation} any more")
        try:
            changed = operation.canonical_json(args)
        except ContractError as error:
            raise NotAnswerable(str(error)) from None
        if canonical.digest(changed) == asked.row.digest:
            raise NotAnswerable("these are the arguments that it has; approve it as it is")
        return changed

    def _end(self, tx: Tx, asked: _Asked, what: str, body: dict[str, Any], person: str) -> None:
        """What was asked is refused; the person's word is kept beside it."""
        run, path = asked.run, asked.row.path
        tx.answer(
            run.no, path, what, {"binding": asked.open.asking.binding, **body["by"]}, person, taken=True
        )
        took = {"path": path, "was": "asking", "leased": False, "holds": [], "counted": [], "at": tx.at_us}
        self._append(tx, run.no, [Draft("refused", took | body)])
        self._parts.boundary("answer.in")


def _next_path(path: str) -> str:
    first, _, number = path.partition(CHANGED)
    if int(number or 0) >= CHANGES_MAX:
        raise NotAnswerable(f"its arguments were changed {CHANGES_MAX} times already; approve or refuse it")
    return f"{first}{CHANGED}{int(number or 0) + 1}"
