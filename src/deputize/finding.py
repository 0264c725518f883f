"""Findings: what is found out about an action before it starts, by a rehearsal or by a verifier. Pure.

A rule of the tier `rehearse` or `verify` wants an *inquiry*; its answer is a *finding*. One that agrees meets
the rule. Any other is put before a person.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from deputize import canonical
from deputize.rule import RuleLine
from deputize.sentence import in_words, pairs, reason_of
from deputize.undo import UNDO
from deputize.verification import Says

INQUIRING = ("rehearse", "verify")
CHILD = "/"
"""`3/1` is the path of the first inquiry about `3`."""

FRESH_US = 3_600_000_000
"""After an hour a finding says nothing any more of how things stand."""

INQUIRIES_MAX = 40
"""How often it is inquired about one action."""


@dataclass(frozen=True, slots=True)
class Inquiry:
    """What is to be found out. `verifier` is an operation, `by` the agent that uses it (empty: who acts)."""

    tier: Literal["rehearse", "verify"]
    verifier: str = ""
    by: str = ""
    briefly: bool = field(default=False, compare=False)
    """No rule wants it, and people should not wait for it: it is tried once."""


SHOWN = Inquiry("rehearse", briefly=True)


@dataclass(frozen=True, slots=True)
class Finding:
    """The answer to an inquiry: what it says and why, and what it has to show, as plain JSON.

    A rehearsal shows the state `before` and the result `after`, as far as either could be told. `path` is
    that of the inquiry, `at_us` ledger time.
    """

    inquiry: Inquiry
    says: Says
    reason: str
    shown: Mapping[str, Any]
    path: str
    at_us: int
    about: str = ""
    """A digest of all that it is about: see `deputize.kernel.inquiries.about_of`."""

    @property
    def mark(self) -> str:
        """What tells it from another: a person who approves in spite of it approves in spite of just this."""
        one = self.inquiry
        said = [one.tier, one.verifier, one.by, self.says, self.reason, dict(self.shown)]
        return canonical.digest(canonical.encode(said))[:16]

    def body(self) -> dict[str, Any]:
        """As an entry tells it."""
        inquiry = {"tier": self.inquiry.tier, "verifier": self.inquiry.verifier, "by": self.inquiry.by}
        said = {"says": self.says, "reason": self.reason, "shown": dict(self.shown)}
        return inquiry | said | {"path": self.path, "at": self.at_us, "about": self.about}


Findings = Mapping[Inquiry, Finding]


def finding_of_body(body: Mapping[str, Any]) -> Finding:
    """A finding as an entry has it."""
    inquiry = Inquiry(body["tier"], body["verifier"], body["by"])
    said = body["says"], body["reason"], body["shown"]
    return Finding(inquiry, *said, body["path"], body["at"], body["about"])


def inquiry_of(rule: RuleLine) -> Inquiry | None:
    """What a rule wants to be found out, if anything."""
    demand = rule.demand
    if demand is None or demand.tier not in INQUIRING:
        return None
    return Inquiry("rehearse") if demand.tier == "rehearse" else Inquiry("verify", demand.verifier, demand.by)


def inquiries_of(rules: Iterable[RuleLine]) -> tuple[Inquiry, ...]:
    """What rules want to be found out, each once: the rehearsal first."""
    wanted = {inquiry for rule in rules if (inquiry := inquiry_of(rule)) is not None}
    return tuple(sorted(wanted, key=lambda one: (one.tier, one.verifier, one.by)))


def told(body: Mapping[str, Any]) -> list[str]:
    """A finding, as an entry has it, in sentences without their full stops."""
    said, shown = reason_of(body["reason"]), body["shown"]
    if body["tier"] == "verify":
        found = f" (it found {pairs(shown)})" if shown else ""
        by = f", as {body['by']}," if body["by"] else ""
        return [f"{body['verifier']}{by} {_VERIFIED[body['says']]}{_after(body, said)}{found}"]
    lines = [f"now there is {in_words(shown['before'])}"] if "before" in shown else []
    if "after" in shown:
        lines.append(f"rehearsed, it would come to {in_words(shown['after'])}")
    if body["says"] != "agree":
        lines.append(f"the rehearsal {_REHEARSED[body['says']]}{_after(body, said)}")
    return lines


def _after(body: Mapping[str, Any], said: str) -> str:
    return f": {said}" if body["reason"] else ""


_VERIFIED = {"agree": "agrees", "disagree": "does not agree", "cannot_tell": "cannot tell"}
_REHEARSED = {"disagree": "did not come to what is expected", "cannot_tell": "could not tell"}


def is_child(path: str) -> bool:
    """Whether a path is that of an inquiry about an action of a run, and no await of its code."""
    return CHILD in path.removeprefix(UNDO)
