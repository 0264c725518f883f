"""People: who may decide, and who keeps what. Their tokens are elsewhere."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from deputize.access import Role, may, role_of
from deputize.errors import ProjectError
from deputize.suggest import did_you_mean

KEEPER = "keeper"
"""In a rule's `ask`: whoever keeps the automation."""

CHANNELS = ("email", "slack")
"""By what people can be told that something waits for them."""


@dataclass(frozen=True)
class Person:
    """Someone who may decide. `name` is what rules and records call them, `shown` what people read.

    `slack` is their member id there; `channels` by which they want to be told, None for every one that
    reaches them.
    """

    name: str
    shown: str = ""
    roles: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    email: str = ""
    slack: str = ""
    channels: tuple[str, ...] | None = None

    @property
    def role(self) -> Role:
        """What they may do here; see `deputize.access`."""
        return role_of(self.roles)

    @property
    def decides(self) -> bool:
        """Whether anything can be asked of them."""
        return may(self.role, "decide")

    def is_one_of(self, whom: Collection[str]) -> bool:
        """Whether any of these names means this person: their own, a role of theirs or a group."""
        return any(name == self.name or name in self.roles or name in self.groups for name in whom)


@dataclass(frozen=True)
class Directory:
    """Everybody, and who keeps which automation: by its name, or by the empty name all others."""

    people: Mapping[str, Person] = field(default_factory=dict)
    keepers: Mapping[str, str] = field(default_factory=dict)

    def keeper_of(self, automation: str) -> str:
        """The person answerable for an automation; empty where nobody is."""
        return self.keepers.get(automation, self.keepers.get("", ""))

    def among(self, whom: Collection[str], automation: str) -> frozenset[str]:
        """The names of those that are meant by people, roles and groups, or by the word `keeper`.

        Nobody named means the keeper, and where there is none everybody. Viewers decide nothing, so they are
        never meant.
        """
        named = {self.keeper_of(automation) if name == KEEPER else name for name in whom or (KEEPER,)}
        deciding = {name: person for name, person in self.people.items() if person.decides}
        if named == {""}:
            return frozenset(deciding)
        return frozenset(name for name, person in deciding.items() if person.is_one_of(named))

    def names(self) -> frozenset[str]:
        """Everything by which a person can be meant."""
        return frozenset(
            {KEEPER, *self.people}
            | {role for person in self.people.values() for role in person.roles}
            | {group for person in self.people.values() for group in person.groups}
        )


_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,59}")
_KEYS = ("name", "roles", "groups", "email", "slack", "channels")


def directory_of_settings(people: Mapping[str, Any], keepers: Mapping[str, Any]) -> Directory:
    """The directory from `[people.NAME]` tables and `[keepers]`. Raises `ProjectError`, naming the place."""
    known = {name: _person(name, table) for name, table in people.items()}
    taken = {label for person in known.values() for label in (*person.roles, *person.groups)}
    for name in sorted(taken & known.keys()):
        raise ProjectError(
            f"[people.{name}]: a role or a group has the name {name!r}, too; rename one of them"
        )
    kept = {}
    for automation, name in keepers.items():
        if name not in known:
            said = did_you_mean(str(name), known) if known else "; add [people.NAME] first"
            raise ProjectError(f"[keepers] {automation}: there is nobody called {name!r}{said}")
        if not known[name].decides:
            raise ProjectError(f"[keepers] {automation}: {name} is a viewer, and a keeper has to decide")
        kept["" if automation == "default" else automation] = str(name)
    return Directory(known, kept)


def _person(name: str, table: Any) -> Person:
    where = f"[people.{name}]"
    if not _NAME.fullmatch(name) or name == KEEPER:
        raise ProjectError(f"{where}: {name!r} cannot be a person's name: use a-z, 0-9, '.', '_' and '-'")
    if not isinstance(table, Mapping):
        raise ProjectError(f"{where}: write a table, like [people.{name}]")
    for key in table:
        if key not in _KEYS:
            raise ProjectError(f"{where}: {key} is no setting{did_you_mean(key, _KEYS)}")
    for key in ("name", "email", "slack"):
        if not isinstance(table.get(key, ""), str):
            raise ProjectError(f"{where}: {key} must be text")
    email = table.get("email", "")
    if email and not re.fullmatch(r"[^@\s]+@[^@\s]+", email):
        raise ProjectError(f"{where}: {email!r} is no e-mail address")
    slack = table.get("slack", "")
    if slack and not re.fullmatch(r"[UW][A-Z0-9]{2,20}", slack):
        raise ProjectError(
            f"{where}: slack {slack!r} is no member id; Slack shows it in a profile, like U024BE7LH"
        )
    return Person(
        name,
        table.get("name", "") or name,
        _labels(where, table, "roles"),
        _labels(where, table, "groups"),
        email,
        slack,
        _channels(where, table),
    )


def _channels(where: str, table: Mapping[str, Any]) -> tuple[str, ...] | None:
    channels = table.get("channels")
    if channels is None:
        return None
    if not isinstance(channels, list) or not all(isinstance(one, str) for one in channels):
        raise ProjectError(f'{where}: channels must be a list, like ["email"]')
    for one in channels:
        if one not in CHANNELS:
            raise ProjectError(f"{where}: channels: {one!r} is no channel{did_you_mean(one, CHANNELS)}")
        if not table.get(one):
            raise ProjectError(f"{where}: channels names {one}, and {one} is not set")
    return tuple(dict.fromkeys(channels))


def _labels(where: str, table: Mapping[str, Any], key: str) -> frozenset[str]:
    labels = table.get(key, [])
    if not isinstance(labels, list) or not all(isinstance(x, str) and _NAME.fullmatch(x) for x in labels):
        raise ProjectError(f'{where}: {key} must be a list of names in a-z, 0-9, ".", "_" and "-"')
    if KEEPER in labels:
        raise ProjectError(f"{where}: {KEEPER!r} means whoever keeps an automation; see [keepers]")
    return frozenset(labels)
