"""Verification: a second look at an action before it starts, by another path than the agent's own.

A verifier is a read operation that takes an `Intent` and returns a `Verification`. It is given what is to be
done and never why: an agent's reasoning is no evidence.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel

Says = Literal["agree", "disagree", "cannot_tell"]


class Intent(BaseModel):
    """What is to be done: an operation with its arguments in canonical form (`{"minor", "currency"}` for
    money), who would do it, in which automation, and what it expects of the result."""

    operation: str
    args: dict[str, Any]
    agent: str
    automation: str
    expects: dict[str, Any] = {}


class Verification(BaseModel):
    """What a verifier says, why, and what it `found`, for the person who decides between the two."""

    says: Says
    reason: str = ""
    found: dict[str, Any] = {}


def agree(reason: str = "", **found: Any) -> Verification:
    """It is as it should be: the action may go on."""
    return Verification(says="agree", reason=reason, found=found)


def disagree(reason: str, **found: Any) -> Verification:
    """It is not: the action stops, and a person decides, with both sides before them."""
    return Verification(says="disagree", reason=reason, found=found)


def cannot_tell(reason: str, **found: Any) -> Verification:
    """It could not be found out: a person decides, as where it disagrees."""
    return Verification(says="cannot_tell", reason=reason, found=found)
