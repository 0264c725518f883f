"""Access: the roles that people have here, and what each of them may do. Pure.

A role is one of four labels among a person's `roles`, each of which may all that those before it may. Whoever
speaks without being a person has no role, and may what `WITHOUT_A_PERSON` says.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Literal, get_args

Role = Literal["viewer", "approver", "operator", "admin"]
Act = Literal["read", "own", "send", "decide", "operate", "change", "keep", "admit", "move"]

ROLES: tuple[Role, ...] = get_args(Role)
"""From the least to the most."""

ACTS: tuple[Act, ...] = get_args(Act)

OWNER = "owner"
"""The one other word for a role: it means `admin`."""

UNSAID: Role = "approver"
"""The role of a person who is given none."""

LEAST: Mapping[Act, Role] = {
    "read": "viewer",
    "own": "viewer",
    "send": "approver",
    "decide": "approver",
    "operate": "operator",
    "change": "admin",
    "keep": "admin",
    "admit": "admin",
    "move": "admin",
}
"""The table: who may do it, and with them everybody of a later role."""

SAID: Mapping[Act, str] = {
    "read": "read what there is",
    "own": "end sessions and tokens of their own",
    "send": "send events",
    "decide": "answer what waits for people",
    "operate": "halt, pause, resume, cancel and undo",
    "change": "change limits and rules",
    "keep": "copy, check and erase what the ledger has",
    "admit": "give people their tokens and links",
    "move": "move the project to another place",
}
"""What each act is, for people."""

_ANYONE: frozenset[Act] = frozenset({"read", "send", "keep"})

WITHOUT_A_PERSON: Mapping[str, frozenset[Act]] = {
    "nobody": _ANYONE,
    "project": _ANYONE,
    "local": _ANYONE | {"own"},
    "operator": frozenset({"read", "own", "admit"}),
}
"""What they may who are no person: nobody on this machine, the project's token, this machine's owner in a
browser, and the operator's key. None of them decides."""


def role_of(labels: Collection[str]) -> Role:
    """The role that a person's labels give: the furthest of them, `UNSAID` where none is a role."""
    found = [role for role in ROLES if role in labels or (role == "admin" and OWNER in labels)]
    return found[-1] if found else UNSAID


def may(role: Role, act: Act) -> bool:
    """Whether a person of this role may do it."""
    return ROLES.index(role) >= ROLES.index(LEAST[act])


def roles_for(act: Act) -> tuple[Role, ...]:
    """Every role that may do it, from the least."""
    return ROLES[ROLES.index(LEAST[act]) :]


def narrowed(role: Role, scope: Role | None) -> Role:
    """What is left of a role in a scope, which never widens it."""
    return role if scope is None else min(role, scope, key=ROLES.index)
