"""What a run asks for besides actions: can it be read, is anybody there? Looked at before it is begun."""

from __future__ import annotations

from typing import Protocol

from deputize.errors import BadEvent, CodeError
from deputize.event import RUN_SOURCE, Occurrence
from deputize.kernel.failing import failed
from deputize.kernel.live import Ends, Leaf, LiveRun, Sticks
from deputize.person import Directory
from deputize.planned import PlanAsk
from deputize.question import Question
from deputize.suggest import did_you_mean
from deputize.waits import Send


class Checks(Protocol):
    """Knows who answers which events."""

    def check(self, occurrence: Occurrence) -> None:
        """Raises `BadEvent` where an automation answers this type and its data does not fit."""
        ...


def sent_by(run: LiveRun, leaf: Leaf, send: Send, at_us: int) -> Occurrence:
    """The event that a run sends."""
    source = f"{RUN_SOURCE}{run.id}"
    return Occurrence(source, leaf.path, send.type, send.subject, at_us, send.data, run.sender)


def unfit_of(
    run: LiveRun, fresh: tuple[Leaf, ...], intake: Checks, directory: Directory, at_us: int
) -> Ends | Sticks | None:
    """What becomes of a run that sends what an automation cannot read, or that asks nobody."""
    for leaf in fresh:
        awaiting = leaf.awaiting
        try:
            if isinstance(awaiting, Send):
                intake.check(sent_by(run, leaf, awaiting, at_us))
            elif isinstance(awaiting, Question) or (
                # Who is asked already is no concern of the code any more.
                isinstance(awaiting, PlanAsk) and leaf.path not in run.record
            ):
                _check_whom(awaiting.whom, directory, run.automation.name)
        except (BadEvent, CodeError) as error:
            what = {Send: "send", PlanAsk: "carry_out"}.get(type(awaiting), "ask")
            end = failed(run, CodeError(f"{awaiting.where}: {what}(): {error}"))
            # What was begun beside it, before the code changed, may be under way or in doubt.
            pending = len(fresh) < len(run.leaves)
            return Sticks(run, end.reason) if pending else end
    return None


def _check_whom(whom: tuple[str, ...], directory: Directory, automation: str) -> None:
    names = directory.names()
    for name in whom:
        if name not in names:
            raise CodeError(f"deputize.toml has no person, role or group {name!r}{did_you_mean(name, names)}")
    if not directory.among(whom, automation):
        raise CodeError(f"nobody is {' or '.join(whom)}: add [people.NAME] to deputize.toml")
