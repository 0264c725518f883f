"""The tokens of people: issued, revoked, and known by their digests. No token is kept anywhere."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from deputize import canonical
from deputize.kernel.parts import Parts
from deputize.kernel.people import NotAnswerable
from deputize.ledger import SYSTEM, Draft
from deputize.person import Person
from deputize.store.protocol import Tx
from deputize.token import BYTES, PERSON_PREFIX, Token, digest_of, written

TOKEN_SETTING = "token:"
TOKENS_MAX = 20
"""Of one person at one time."""

T = TypeVar("T")


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
        """Whose token it is; None where it is nobody's."""
        # Looked up by its digest: how long that takes says nothing of any token.
        known = self._known.get(digest_of(token))
        person = self._people.get(known.person) if known is not None else None
        return (person, known) if person is not None and known is not None else None

    def opened_by(self, opener: Opener) -> dict[str, str]:
        """Who starts a process, as an entry tells it; no person where nobody is known by the token."""
        found = self.find(opener.token) if opener.token else None
        return {"person": found[0].name if found is not None else "", "account": opener.account}

    def of(self, person: str) -> list[Token]:
        """A person's tokens, oldest first."""
        return sorted((one for one in self._known.values() if one.person == person), key=lambda t: t.at_us)

    async def issue(self, person: str, by: str) -> tuple[Token, str]:
        """A new token of a person's, and what it is: it is never known again.

        Raises `NotAnswerable` for nobody, and for one too many.
        """
        if person not in self._people:
            raise NotAnswerable(f"there is nobody called {person!r} in deputize.toml")
        token, id = written(PERSON_PREFIX, os.urandom(BYTES)), os.urandom(4).hex()
        digest = digest_of(token.encode())

        def work(tx: Tx) -> Token:
            kept = tokens_of_settings(tx.settings(TOKEN_SETTING)).values()
            if sum(one.person == person for one in kept) >= TOKENS_MAX:
                raise NotAnswerable(f"{person} has {TOKENS_MAX} tokens; revoke one that is not in use")
            made = Token(person, id, tx.at_us)
            value = {"person": person, "id": id, "at": made.at_us}
            tx.set_setting(TOKEN_SETTING + digest, canonical.encode(value).decode())
            _tell(tx, "token issued", made, by)
            return made

        def known(made: Token) -> None:
            self._known[digest] = made

        return await self._written(self._parts.store.write(work), known), token

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

        await self._written(self._parts.store.write(work), gone)

    async def _written(self, committed: asyncio.Future[T], known: Callable[[T], None]) -> T:
        def after(done: asyncio.Future[T]) -> None:
            if not done.cancelled() and done.exception() is None:
                known(done.result())

        # Whoever asked for it may go away meanwhile; what is in the ledger is known all the same.
        committed.add_done_callback(after)
        return await asyncio.shield(committed)

    @property
    def _people(self) -> Mapping[str, Person]:
        return self._parts.force.directory.people


def tokens_of_settings(settings: Mapping[str, str]) -> dict[str, Token]:
    """Tokens by their digests, from the ledger's settings."""
    found = {}
    for name, value in settings.items():
        told = canonical.decode(value)
        found[name.removeprefix(TOKEN_SETTING)] = Token(told["person"], told["id"], int(told["at"]))
    return found


def _take_back(tx: Tx, digest: str, token: Token, by: str) -> None:
    tx.set_setting(TOKEN_SETTING + digest, None)
    _tell(tx, "token revoked", token, by)


def _tell(tx: Tx, what: str, token: Token, by: str) -> None:
    body = {"what": what, "person": token.person, "token": token.id, "by": by}
    tx.append(SYSTEM, tx.version(SYSTEM), [Draft("person", body)])
