"""Coming in by a browser: with name and password, by a one-time link, and once more before money is approved.

Every page and route that lets somebody in goes through here; what they set as a cookie is what it returns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from deputize.clock import Clock
from deputize.entering.links import FirstLinks, path_of
from deputize.entering.passwords import Passwords, check_new
from deputize.entering.tries import (
    IN_ALL,
    OF_NAME,
    OF_NAME_AND_PLACE,
    OF_PLACE,
    OF_SESSION,
    Key,
    Limit,
    Tries,
)
from deputize.errors import DeputizeError
from deputize.kernel.people import NotAnswerable
from deputize.kernel.sessions import ProofChanged, Sessions
from deputize.person import Directory, Person
from deputize.session import LOCAL, Session

NAME_CHARS_MAX = 60
LINK_GIVER = "a one-time link"
"""In the place of a person's name, in the entry of a password that was set by one."""


class NotLetIn(DeputizeError):
    """This name and password do not go together. Whoever has lost a password, or has none yet, comes in by
    a link: `deputize login NAME --browser` makes one."""

    def __init__(self) -> None:
        super().__init__(
            "this name and password do not go together; without a password, `deputize login NAME --browser` "
            "where it runs makes a link by which to set one"
        )


class TooManyTries(DeputizeError):
    """It was tried too often; in `wait_s` seconds it may be tried again."""

    def __init__(self, wait_s: int) -> None:
        super().__init__(f"this was tried too often: try again in {wait_s} seconds")
        self.wait_s = wait_s


@dataclass(frozen=True, slots=True)
class Opened:
    """A session that was just opened, and what its cookie holds."""

    session: Session
    cookie: str


class Entrance:
    """Lets people in; `directory` says who is named."""

    def __init__(self, sessions: Sessions, directory: Callable[[], Directory], clock: Clock) -> None:
        self._sessions = sessions
        self._named = directory
        self._clock = clock
        self._passwords = Passwords()
        self._tries = Tries()
        self._links = FirstLinks()

    # -- by a password ----------------------------------------------------------------------------------

    async def open(self, name: str, password: str, *, place: str, before: bytes = b"") -> Opened:
        """A new session of whoever knows the password. `place` is where it is tried from, `before` the
        cookie that the browser had, whose session ends.

        Raises `NotLetIn` (for unknown names, too, after as long), `TooManyTries`, `TooBusy`, `BadPassword`.
        """
        name = name[: NAME_CHARS_MAX + 1]
        own: Key = ("name", name, place)
        self._take(
            [
                (own, OF_NAME_AND_PLACE),
                (("name", name), OF_NAME),
                (("place", place), OF_PLACE),
                (("all",), IN_ALL),
            ]
        )
        proof = await self._proved(name, password)
        try:
            session, cookie = await self._sessions.open(name, proof=proof, before=before)
        except ProofChanged:
            raise NotLetIn from None
        self._tries.forget(own)
        return Opened(session, cookie)

    async def freshen(self, session: Session, cookie: bytes, password: str) -> Session:
        """The session, in which money may be approved for the next minutes.

        Raises what `open` does, and `NotAnswerable` where it has ended meanwhile. Tries are counted by
        session: nobody else's use them up.
        """
        key: Key = ("session", session.id)
        self._take([(key, OF_SESSION)])
        proof = await self._proved(session.person, password)
        try:
            fresh = await self._sessions.freshen(cookie, proof=proof)
        except ProofChanged:
            raise NotLetIn from None
        self._tries.forget(key)
        return fresh

    async def change_password(self, session: Session, password: str, new: str) -> Opened:
        """Set another password; every session of this person ends, and a new one begins.

        Raises what `freshen` does.
        """
        check_new(new, session.person)
        key: Key = ("session", session.id)
        self._take([(key, OF_SESSION)])
        proof = await self._proved(session.person, password)
        hash = await self._passwords.hash(new)
        try:
            await self._sessions.set_password(session.person, hash, session.person, proof=proof)
            opened = await self._sessions.open(session.person, proof=hash)
        except ProofChanged:
            raise NotLetIn from None
        return Opened(*opened)

    # -- by a one-time link -----------------------------------------------------------------------------

    def link(self, person: str) -> str:
        """The path of a new one-time link for a person, or for this machine's owner (`LOCAL`).

        Raises `NotAnswerable` for nobody.
        """
        if not self._is_for_somebody(person):
            raise NotAnswerable(f"there is nobody called {person!r} in deputize.toml")
        return path_of(self._links.make(person, self._now_us()))

    def first_link(self) -> tuple[str, str] | None:
        """At a start: a one-time link where nobody could come in yet, and whom it is for (`LOCAL` where
        nobody is named). None where somebody has a password."""
        if self._sessions.any_password:
            return None
        person = _first_of(self._named())
        return person, self.link(person)

    def look(self, key: str) -> str:
        """Whom a link is for (`LOCAL` for this machine's owner, who needs no password); it stays good.

        Raises `LinkOver`.
        """
        return self._links.look(key, self._now_us())

    async def use(self, key: str, password: str, *, before: bytes = b"") -> Opened:
        """Use a link up: set the person's password, and open a session. Raises `LinkOver`, and `BadPassword`
        for one that is too short or too long, after which the link is still good."""
        person = self.look(key)
        if person == LOCAL:
            self._links.use(key, self._now_us())
            return Opened(*await self._sessions.open(LOCAL, proof="", before=before))
        check_new(password, person)
        hash = await self._passwords.hash(password)
        # Of two that use it at once, one does.
        self._links.use(key, self._now_us())
        await self._sessions.set_password(person, hash, LINK_GIVER)
        return Opened(*await self._sessions.open(person, proof=hash, before=before))

    # -- helpers ------------------------------------------------------------------------------------------

    async def _proved(self, name: str, password: str) -> str:
        """The hash that a password fits. Raises `NotLetIn`."""
        kept = self._sessions.hash_of(name)
        if not await self._passwords.check(kept, password):
            raise NotLetIn
        return kept

    def _take(self, wanted: Sequence[tuple[Key, Limit]]) -> None:
        wait_s = self._tries.take(wanted, self._clock.monotonic())
        if wait_s > 0:
            raise TooManyTries(int(wait_s) + 1)

    def _is_for_somebody(self, person: str) -> bool:
        people = self._named().people
        return person in people if person != LOCAL else not people

    def _now_us(self) -> int:
        return self._clock.now_us()


def _first_of(directory: Directory) -> str:
    """Who comes in first: an admin, else the keeper of all, else whoever may the most."""
    people = list(directory.people.values())

    def rank(person: Person) -> tuple[bool, bool, bool]:
        return person.role == "admin", person.name == directory.keeper_of(""), person.role == "operator"

    return max(people, key=rank).name if people else LOCAL
