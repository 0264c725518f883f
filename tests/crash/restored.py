"""How a ledger is lost and a copy of it restored; where the copy's first life then dies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from deputize.testing.crash import CrashHarness
from deputize.testing.life import HarnessError, Life
from tests.crash.scenes import Events, Faults, fault

Losing = Callable[[CrashHarness, str, Events], None]


def lost_at_once(harness: CrashHarness, place: str, events: Events) -> None:
    """A copy is made at a place in a life, and nothing that this life would have done after that is."""
    life = stopped_at(harness, place, events)
    copy = harness.back_up()
    life.kill()
    harness.restore(copy)


def lost_later(harness: CrashHarness, place: str, events: Events) -> None:
    """A copy is made at a place in a life, which goes on to its end: then its ledger is lost."""
    life = stopped_at(harness, place, events)
    copy = harness.back_up()
    life.go_on()
    harness.settle(life)
    life.stop()
    harness.restore(copy)


def stopped_at(harness: CrashHarness, place: str, events: Events) -> Life:
    """A life that stands still at a place."""
    life = harness.life(pauses=[place])
    life.send(events)
    life.tell("quiet")
    life.wait("pauses")
    return life


def restored_life(harness: CrashHarness, crash: str, events: Events) -> Life:
    """A restored copy lives, is asked to go on, answered, and dies somewhere on the way."""
    life = harness.life(crash)
    try:
        life.send(events)
        life.wait("accepted")
        if crash.startswith(("recovery.", "resolve.")):
            # What it finds out by itself comes before any person says anything.
            life.wait("dies")
        harness.let_go_on(life)
        harness.settle(life)
    except HarnessError:
        life.ended()
    return life


def lives_on(harness: CrashHarness, events: Events, *plants: str) -> None:
    """A life of a restored copy that nothing happens to, until nothing moves."""
    life = harness.life(plants=plants)
    life.send(events)
    life.wait("accepted")
    harness.let_go_on(life)
    harness.settle(life)
    life.stop()


@dataclass(frozen=True)
class Scene:
    """Where the copy is made and how its original is lost, and where the copy's first life dies."""

    dies_at: str
    copied_at: str
    lost: Losing
    faults: Faults = ()
    endings: tuple[str, ...] = ("return", "by-key", "open", "write", "hold", "briefly", "announce")
    """The events that there are, by the end of their ids."""

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.dies_at}-{self.copied_at}-{self.lost.__name__}"


LOST = (fault("lost", "shop", "open_return"),)
LOST_LETTER = (fault("lost", "mail", "send"),)
CUT_LETTER = (fault("cut_before", "mail", "send"),)
FOUND = ("announce", "write")
"""Whatever they do can be found."""
PROVED = ("announce",)
"""Not finding it proves that it was not done."""

SCENES = (
    Scene("recovery.opened:1", "t2.after:1", lost_later),
    Scene("recovery.doubting:1", "t2.after:2", lost_at_once),
    Scene("recovery.doubted:1", "send.before:3", lost_later),
    Scene("resolve.look_up:1", "send.answered:1", lost_later, endings=FOUND),
    Scene("resolve.found:1", "send.answered:1", lost_at_once, endings=FOUND),
    Scene("resolve.found:1", "t4.after:1", lost_later, LOST_LETTER, endings=FOUND),
    Scene("resolve.absent:1", "t2.after:1", lost_at_once, endings=PROVED),
    Scene("resolve.absent:1", "t4.after:1", lost_at_once, CUT_LETTER, endings=PROVED),
    Scene("resolve.carding:1", "resolve.card:1", lost_at_once, LOST, endings=("open", "hold")),
    Scene("people.answered:1", "resolve.card:1", lost_later, LOST, endings=("open", "return")),
    Scene("people.taking:1", "t4.after:1", lost_at_once, LOST, endings=("open",)),
    Scene("t3.in:1", "send.after:2", lost_later),
    Scene("t2.after:1", "t3.before:1", lost_later),
)

MORE = (
    Scene("recovery.begun:1", "send.during:1", lost_at_once),
    Scene("resolve.told:1", "t2.after:1", lost_at_once, endings=FOUND),
    Scene("group.before_commit:4", "t2.after:2", lost_later),
    *(
        Scene(f"{dies_at}:1", f"{copied_at}:{nth}", lost)
        for dies_at in ("recovery.doubted", "t3.after", "group.after_commit", "t2.in")
        for copied_at in ("t2.after", "send.answered", "t3.in")
        for lost in (lost_at_once, lost_later)
        for nth in (1, 2)
    ),
)
"""The same, for a long run."""
