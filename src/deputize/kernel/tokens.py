"""The tokens of people: issued, revoked, and known by their digests. No token is kept anywhere."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from deputize import canonical
from deputize.access import Role, narrowed
from deputize.kernel.committed import once_committed
from deputize.kernel.parts import Parts
from deputize.kernel.people import NotAnswerable
from deputize.ledger import SYSTEM, Draft
from deputize.person import Person
from deputize.store.protocol import Tx
from deputize.token import BYTES, PERSON_PREFIX, Token, digest_of, written

TOKEN_SETTING = "token:"
TOKENS_MAX = 20
"""Of one person at one time."""

DAYS, DAYS_MAX = 90, 366
"""For how long a token is good unless something else is said, and at most."""

_DAY_US = 86_400_000_000


@dataclass(frozen=True)
class Opener:
    """Who starts a process: a person, by a token that commands keep, and the account of the machine."""

    token: bytes = b""
    account: str = ""


class Tokens:
    """Who is known by which token. What is in memory is what the ledger has: this process owns it."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._known: dict[str, Token] = {}

    def take_in(self, tx: Tx) -> None:
        """Know the tokens that the ledger has; at start.

        Those of people who are no longer named end for good: whoever is given the name next is someone else.
        """
        known = tokens_of_settings(tx.settings(TOKEN_SETTING))
        for digest, token in list(known.items()):
            if token.person not in self._people:
                _take_back(tx, digest, token, "deputize.toml")
                del known[digest]
        self._known = known

    def find(self, token: bytes) -> tuple[Person, Token] | None:
        """Whose token it is; None where it is nobody's, or has ended."""
        known = self._of(token)
        if known is None or known.over(self._parts.time.now_us()):
            return None
        return self._people[known.person], known

    def ended(self, token: bytes) -> Token | None:
        """A token that was good, and has ended by itself; None for every other."""
        known = self._of(token)
        return known if known is not None and known.over(self._parts.time.now_us()) else None

    def is_good(self, person: str, id: str) -> bool:
        """Whether a person's token of this id is good still."""
        now_us = self._parts.time.now_us()
        return any(one.id == id and not one.over(now_us) for one in self.of(person))

    def opened_by(self, opener: Opener) -> dict[str, str]:
        """Who starts a process, as an entry tells it; no person where nobody is known by the token."""
        found = self.find(opener.token) if opener.token else None
        return {"person": found[0].name if found is not None else "", "account": opener.account}

    def of(self, person: str) -> list[Token]:
        """A person's tokens, oldest first."""
        return sorted((one for one in self._known.values() if one.person == person), key=lambda t: t.at_us)

    async def issue(
        self, person: str, by: str, *, scope: Role | None = None, days: int = DAYS, about: str = ""
    ) -> tuple[Token, str]:
        """A new token of a person's, and what it is: it is never known again. It may what they may (or
        `scope`, where that is less), for so many days.

        Raises `NotAnswerable` for nobody, for a scope that is more than their role, and for one too many.
        """
        if person not in self._people:
            raise NotAnswerable(f"there is nobody called {person!r} in deputize.toml")
        role = self._people[person].role
        if scope is not None and narrowed(role, scope) != scope:
            raise NotAnswerable(f"{person} has the role {role}, and no token of theirs may more: not {scope}")
        token, id = written(PERSON_PREFIX, os.urandom(BYTES)), os.urandom(4).hex()
        digest = digest_of(token.encode())

        def work(tx: Tx) -> tuple[Token, list[str]]:
            over = _make_room(tx, person)
            made = Token(person, id, tx.at_us, scope, tx.at_us + days * _DAY_US, about)
            tx.set_setting(TOKEN_SETTING + digest, _kept(made))
            _tell(tx, "token issued", made, by)
            return made, over

        def known(done: tuple[Token, list[str]]) -> None:
            for gone in done[1]:
                self._known.pop(gone, None)
            self._known[digest] = done[0]

        made, _ = await once_committed(self._parts.store.write(work), known)
        return made, token

    async def revoke(self, person: str, id: str, by: str) -> None:
        """Let a token be nobody's. Raises `NotAnswerable` where the person has none of this id."""
        found = {d: one for d, one in self._known.items() if (one.person, one.id) == (person, id)}
        if not found:
            raise NotAnswerable(f"{person} has no token {id}; `deputize people` lists them")

        def work(tx: Tx) -> None:
            for digest, token in found.items():
                _take_back(tx, digest, token, by)

        def gone(_: None) -> None:
            for digest in found:
                self._known.pop(digest, None)

        await once_committed(self._parts.store.write(work), gone)

    def _of(self, token: bytes) -> Token | None:
        # Looked up by its digest: how long that takes says nothing of any token.
        known = self._known.get(digest_of(token))
        return known if known is not None and known.person in self._people else None

    @property
    def _people(self) -> Mapping[str, Person]:
        return self._parts.force.directory.people


def tokens_of_settings(settings: Mapping[str, str]) -> dict[str, Token]:
    """Tokens by their digests, from the ledger's settings."""
    found = {}
    for name, value in settings.items():
        told = canonical.decode(value)
        found[name.removeprefix(TOKEN_SETTING)] = Token(
            told["person"],
            told["id"],
            int(told["at"]),
            # Tokens of before have neither scope nor end, and stay as good as they were.
            told.get("scope"),
            told.get("ends"),
            told.get("about", ""),
        )
    return found


def _kept(token: Token) -> str:
    value = {
        "person": token.person,
        "id": token.id,
        "at": token.at_us,
        "scope": token.scope,
        "ends": token.ends_us,
        "about": token.about,
    }
    return canonical.encode(value).decode()


def _make_room(tx: Tx, person: str) -> list[str]:
    """Take away the longest ended where one more would be too many: the digests. Raises `NotAnswerable`."""
    found = {d: t for d, t in tokens_of_settings(tx.settings(TOKEN_SETTING)).items() if t.person == person}
    over = sorted((d for d, t in found.items() if t.over(tx.at_us)), key=lambda d: found[d].ends_us or 0)
    over = over[: max(0, len(found) - TOKENS_MAX + 1)]
    if len(found) - len(over) >= TOKENS_MAX:
        raise NotAnswerable(f"{person} has {TOKENS_MAX} tokens; revoke one that is not in use")
    for digest in over:
        tx.set_setting(TOKEN_SETTING + digest, None)
    return over


def _take_back(tx: Tx, digest: str, token: Token, by: str) -> None:
    tx.set_setting(TOKEN_SETTING + digest, None)
    _tell(tx, "token revoked", token, by)


def _tell(tx: Tx, what: str, token: Token, by: str) -> None:
    body = {"what": what, "person": token.person, "token": token.id, "by": by}
    if token.scope is not None:
        body["scope"] = token.scope
    tx.append(SYSTEM, tx.version(SYSTEM), [Draft("person", body)])
