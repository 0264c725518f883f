"""What was done is undone, and that ends in doubt; where the process dies on the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from deputize.testing.crash import CrashHarness, event
from deputize.testing.life import HarnessError, Life
from tests.crash.scenes import Faults, died, fault

AUTOMATIONS = {"announce": "announces", "invite": "invites"}
"""Which automation answers which event; of the second, only a person can know what became of an undo."""

NONE: Faults = ()
LOST: Faults = (fault("lost", "mail", "send"),)
CUT: Faults = (fault("cut_before", "mail", "send"),)


@dataclass(frozen=True)
class Scene:
    """Where the process dies that undoes what such an event has done, and how its first request goes."""

    dies_at: str
    kind: str = "announce"
    faults: Faults = NONE

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.dies_at}-{self.kind}-{self.faults[0]['kind'] if self.faults else 'no-fault'}"


def done_before(harness: CrashHarness, kind: str, name: str) -> str:
    """A run has done two things, and has ended; its id."""
    life = harness.life()
    life.send([event(f"crash.{kind}", name, to=f"{name}@undone.example")])
    life.wait("accepted")
    life.tell("until", automation=AUTOMATIONS[kind], state="ended")
    run = str(life.wait("there")["run"])
    life.stop()
    return run


def undoing(harness: CrashHarness, crash: str, run: str, *plants: str) -> Life:
    """A life undoes it, and dies on the way; what comes to a person is answered."""
    life = harness.life(crash, plants=plants)
    life.tell("undo", run=run)
    try:
        life.wait("undoing")
        if not crash.startswith("people."):
            return died(life)
        harness.settle(life, answering=it_did_not_happen)
    except HarnessError:
        life.ended()
    return life


def it_did_not_happen(card: Mapping[str, Any]) -> dict[str, Any] | None:
    """What a person says of a doubt; the card of an undo that came to its end is left."""
    return {"kind": "did_not", "result": None} if card["kind"] == "doubt" else None


SCENES = (
    Scene("t2.after:1"),
    Scene("send.answered:1"),
    Scene("t3.in:1"),
    Scene("t4.in:1", faults=LOST),
    Scene("t4.after:1", faults=LOST),
    Scene("resolve.found:1", faults=LOST),
    Scene("resolve.absent:1", faults=CUT),
    Scene("attempt.after:1", faults=CUT),
    Scene("t4.after:1", "invite", CUT),
    Scene("resolve.carding:1", "invite", CUT),
    Scene("people.answered:1", "invite", CUT),
    Scene("unwind.ending:1", faults=LOST),
)

MORE = (
    Scene("send.during:2"),
    Scene("t4.before:1", faults=LOST),
    Scene("resolve.look_up:1", faults=LOST),
    Scene("resolve.repeat:1", faults=CUT),
    Scene("unwind.next:2"),
    Scene("people.taken:2", "invite", CUT),
)
"""The same, for a long run."""
