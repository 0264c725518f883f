"""Known bugs in what a plan's grant is good for, to plant as those in `plants.py`."""

from __future__ import annotations

from typing import Any

from deputize.awaiting import Steps
from deputize.kernel import start, whole
from deputize.kernel.asking import is_for_people
from deputize.kernel.whole import Cover
from deputize.planned import PlanAsk
from deputize.testing.planting import Plant, set_in


def _of_another_plan() -> None:
    """A second plan of a run is carried out on what was granted for the first."""
    asked: dict[str, str] = {}
    steps = PlanAsk.steps

    def once(ask: PlanAsk) -> Steps[None]:
        run = ask._step.run_id if ask._step is not None else ""
        if run in asked:
            ask.path = asked[run]
            return
        yield from steps(ask)
        asked[run] = ask.path

    set_in(PlanAsk, "steps", once)
    set_in(whole._Grant, "holds", lambda grant, tx, request: True)


def _for_every_rule() -> None:
    """A plan's grant stands for whatever rule asks, also for one that its card did not list."""
    covered = whole.covered

    def covers(tx: Any, request: Any, verdict: Any, force: Any) -> Cover | None:
        part = request.action.part
        grant = whole._Grant.of(tx, request, part.ask) if part is not None else None
        if grant is None:
            return covered(tx, request, verdict, force)
        rules = tuple(rule.id for rule in verdict.rules if is_for_people(rule))
        return Cover(part.ask, rules, grant.approvals)

    set_in(start, "covered", covers)


WHOLES: dict[str, Plant] = {
    "grant_of_another_plan": Plant("a plan starts on what was granted for another", _of_another_plan),
    "grant_for_every_rule": Plant("a plan's grant stands for rules that were not shown", _for_every_rule),
}
