"""Scenes that bring a life to each boundary: what is sent, which faults the town has, who answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from deputize.testing.crash import CrashHarness, event
from deputize.testing.life import Life
from deputize.town import Town

Events = list[dict[str, Any]]
Faults = tuple[dict[str, Any], ...]


def fault(kind: str, service: str, operation: str, first_n: int = 1) -> dict[str, Any]:
    """The next requests meet this fault for certain; times are below the contracts' settle times."""
    timed = {"delay_s": 0.2} if kind in ("late", "latency") else {}
    return {
        "kind": kind,
        "service": service,
        "operation": operation,
        "first_n": first_n,
        "retry_after_s": 0.05,
        **timed,
    }


def everything(town: Town, name: str) -> Events:
    """An event for every way that an action can go, on orders of this name's own."""
    town.plant(f"{name}-1", 5_000)
    town.plant(f"{name}-2", 5_000)
    town.plant(f"{name}-3", 5_000, status="placed")
    # Charges of their own: a doubt that is for a person keeps its lease, and others out, until then.
    town.plant(f"{name}-4", 5_000)
    town.plant(f"{name}-5", 5_000)
    return [
        event("crash.return", f"{name}-return", order_id=f"{name}-1"),
        event("crash.return", f"{name}-return-again", order_id=f"{name}-1"),
        event("crash.return", f"{name}-declined", order_id=f"{name}-2", amount=6_000),
        event("crash.return", f"{name}-refused", order_id=f"{name}-2", amount=500_000),
        event("crash.hold", f"{name}-hold", order_id=f"{name}-3"),
        event("crash.open", f"{name}-open", order_id=f"{name}-2"),
        event("crash.write", f"{name}-write", to=f"{name}@write.example"),
        event("crash.announce", f"{name}-announce", to=f"{name}@announce.example", fails=True),
        event("crash.parent", f"{name}-parent", to=f"{name}@parent.example"),
        event("crash.briefly", f"{name}-briefly", charge=f"ch-{name}-4"),
        event("crash.by_key", f"{name}-by-key", charge=f"ch-{name}-5"),
        event("crash.check", f"{name}-check", charge=f"ch-{name}-3"),
        event("crash.check", f"{name}-check-again", charge=f"ch-{name}-3"),
    ]


@dataclass(frozen=True)
class Scene:
    """How to reach a boundary. `play` brings a harness there and returns the life that died.

    Where `only` is given, the events that end so are sent before the crash, and the others after it.
    """

    faults: Faults = ()
    only: str = ""
    nths: tuple[int, ...] = (1,)
    play: Callable[[CrashHarness, str, Events], Life] = field(
        default=lambda harness, crash, events: harness.crash_at(crash, events)
    )

    @property
    def special(self) -> bool:
        """Whether the boundary is only reached by faults or acts of its own."""
        return bool(self.faults) or self.play is not Scene().play


def a_card(harness: CrashHarness, life: Life, events: Events) -> str:
    """Bring a life to its first card; its id."""
    life.send(events)
    life.wait("accepted")
    life.tell("quiet")
    life.wait("quiet")
    return str(harness.cards()[0]["id"])


def answered(kind: str, result: object = None) -> Callable[[CrashHarness, str, Events], Life]:
    """A person answers a card, and that kills the process."""

    def play(harness: CrashHarness, crash: str, events: Events) -> Life:
        life = harness.life(crash)
        card = a_card(harness, life, only(events, "open"))
        life.tell("answer", card=card, kind=kind, result=result, person="maya", reason="")
        return died(life)

    return play


def after_a_crash(harness: CrashHarness, crash: str, events: Events) -> Life:
    """The next life dies while it recovers from this one's death in mid-sending."""
    harness.crash_at("send.during", events)
    return died(harness.life(crash))


def changed_code(harness: CrashHarness, crash: str, events: Events) -> Life:
    """A run waits; the next life's code asks for something else when the run goes on."""
    _asleep(harness, events)
    return died(harness.life(crash, CRASH_NAP_S="0.3"))


def code_put_back(harness: CrashHarness, crash: str, events: Events) -> Life:
    """A run is stuck on changed code, and the life after that has the matching code again."""
    _asleep(harness, events)
    changed = harness.life(CRASH_NAP_S="0.3")
    changed.tell("quiet")
    changed.wait("quiet")
    changed.stop()
    return died(harness.life(crash))


def cancelled(harness: CrashHarness, crash: str, events: Events) -> Life:
    """A person cancels a run that waits."""
    life = harness.life(crash)
    life.send([event("crash.never", f"never-{events[0]['id']}", to="nobody@never.example")])
    life.wait("accepted")
    life.tell("until", automation="never", state="waiting")
    life.tell("cancel", run=life.wait("there")["run"])
    return died(life)


def undone(harness: CrashHarness, crash: str, events: Events) -> Life:
    """A person has what a run did undone."""
    name = events[0]["id"]
    life = harness.life(crash)
    life.send([event("crash.announce", f"undone-{name}", to=f"undone-{name}@announce.example")])
    life.wait("accepted")
    life.tell("until", automation="announces", state="ended")
    life.tell("undo", run=life.wait("there")["run"])
    return died(life)


def died(life: Life) -> Life:
    """Wait for the death of a life."""
    life.wait("dies")
    life.ended()
    return life


def _asleep(harness: CrashHarness, events: Events) -> None:
    """A run sleeps, and has more to do when it wakes."""
    nap = event("crash.nap", f"nap-{events[0]['id']}", to="sleeper@nap.example")
    harness.crash_at("waiting.after", [nap])


def only(events: Sequence[dict[str, Any]], ending: str) -> Events:
    return [one for one in events if one["id"].endswith(f"-{ending}")]


_LOST = (fault("lost", "payments", "refund", 2),)
_CUT = (fault("cut_before", "payments", "refund", 3),)
_BUSY = (fault("too_many", "payments", "refund", 3),)
_CARD = (fault("lost", "shop", "open_return"),)

SCENES: dict[str, Scene] = {
    "t2.before": Scene(nths=(1, 3)),
    "t2.in": Scene(nths=(1, 3)),
    "t2.after": Scene(nths=(1, 3)),
    "send.before": Scene(nths=(1, 3)),
    "send.during": Scene(nths=(1, 3)),
    "send.answered": Scene(nths=(1, 3)),
    "send.after": Scene(nths=(1, 3)),
    "t3.before": Scene(nths=(1, 3)),
    "t3.in": Scene(nths=(1, 3)),
    "t3.after": Scene(nths=(1, 3)),
    "group.before_commit": Scene(nths=(1, 4)),
    "group.after_commit": Scene(nths=(1, 4)),
    "rehearsed.in": Scene(only="check"),
    "drift.in": Scene(faults=(fault("malformed", "mail", "send"),)),
    "attempt.before": Scene(faults=_BUSY, nths=(1, 2)),
    "attempt.in": Scene(faults=_BUSY, nths=(1, 2)),
    "attempt.after": Scene(faults=_BUSY, nths=(1, 2)),
    "t4.before": Scene(faults=_LOST, nths=(1, 2)),
    "t4.in": Scene(faults=_LOST, nths=(1, 2)),
    "t4.after": Scene(faults=_LOST, nths=(1, 2)),
    "resolve.look_up": Scene(faults=_LOST, only="return"),
    "resolve.told": Scene(faults=_LOST, only="return"),
    "resolve.found": Scene(faults=_LOST, only="return"),
    "resolve.absent": Scene(faults=_CUT, only="return"),
    "resolve.repeat": Scene(faults=_CUT, only="return"),
    "resolve.again": Scene(faults=(fault("cut_before", "shop", "open_return"),),
                           play=answered("do_again")),
    "resolve.card": Scene(faults=_CARD),
    "resolve.carding": Scene(faults=_CARD),
    "waiting.before": Scene(nths=(1, 2)),
    "waiting.after": Scene(nths=(1, 2)),
    "stuck.before": Scene(play=changed_code),
    "stuck.after": Scene(play=changed_code),
    "unstuck.in": Scene(play=code_put_back),
    "cancel.in": Scene(play=cancelled),
    "cancel.after": Scene(play=cancelled),
    "people.answered": Scene(faults=_CARD, play=answered("happened", {"id": "by hand"})),
    "people.taking": Scene(faults=_CARD, play=answered("happened", {"id": "by hand"})),
    "people.taken": Scene(faults=_CARD, nths=(2,), play=answered("happened", {"id": "by hand"})),
    "people.wished": Scene(play=cancelled),
    "unwind.in": Scene(play=undone),
    "unwind.begun": Scene(play=undone),
    "unwind.next": Scene(nths=(1, 2)),
    "recovery.opened": Scene(play=after_a_crash),
    "recovery.doubting": Scene(play=after_a_crash),
    "recovery.doubted": Scene(play=after_a_crash),
    "recovery.begun": Scene(play=after_a_crash),
}  # fmt: skip
"""The boundaries that need more than `everything` once; the others need nothing special."""
