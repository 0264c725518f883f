"""Passwords: what may be one, and their Argon2id hashes, worked out in threads. No password is kept."""

from __future__ import annotations

import asyncio
import unicodedata
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from deputize.errors import DeputizeError

P = ParamSpec("P")
T = TypeVar("T")

CHARS_MIN = 12
CHARS_MAX = 1_000
AT_ONCE = 2
"""Each takes 64 MiB for its time (the second option of RFC 9106, the default of argon2-cffi)."""

WAITING_MAX = 50


class BadPassword(DeputizeError):
    """This cannot be a password; the message says why."""


class TooBusy(DeputizeError):
    """Too many passwords are being looked at; try again in a moment."""


def bytes_of(password: str) -> bytes:
    """A password as it is hashed: in Unicode's form NFKC, so that every keyboard's way of writing it is one.

    Raises `BadPassword` for one that is too long to be looked at, or no text.
    """
    if len(password) > CHARS_MAX:
        raise BadPassword(f"a password has {CHARS_MAX:,} characters at most")
    try:
        return unicodedata.normalize("NFKC", password).encode()
    except UnicodeEncodeError:
        raise BadPassword("a password is text") from None


def check_new(password: str, person: str) -> None:
    """Raises `BadPassword` for one that nobody should choose."""
    text = bytes_of(password).decode()
    if len(text) < CHARS_MIN:
        raise BadPassword(
            f"a password needs {CHARS_MIN} characters or more, and this has {len(text)}; "
            "a few words in a row are easy to keep in mind"
        )
    if len(set(text)) < 4 or (person and text.lower().replace(person, "") == ""):
        raise BadPassword("this password is the first that anyone would try; choose another")


class Passwords:
    """Makes hashes and compares them, a few at once."""

    def __init__(self) -> None:
        self._places = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0
        self._nobodys = ""

    async def hash(self, password: str) -> str:
        """The hash that is kept, with its salt and its costs. Raises `BadPassword` and `TooBusy`."""
        return await self._in_a_thread(_hashed, bytes_of(password))

    async def check(self, kept: str, password: str) -> bool:
        """Whether it is the password of a kept hash, an empty one where there is none: that takes as long.

        Raises `BadPassword` and `TooBusy`.
        """
        if not self._nobodys:
            self._nobodys = await self.hash("nobody has this password")
        found = await self._in_a_thread(_fits, kept or self._nobodys, bytes_of(password))
        return found and bool(kept)

    async def _in_a_thread(self, work: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
        if self._waiting >= WAITING_MAX:
            raise TooBusy("many people log in at this moment; try again in a few seconds")
        self._waiting += 1
        try:
            async with self._places:
                return await asyncio.to_thread(work, *args, **named)
        finally:
            self._waiting -= 1


def _hashed(password: bytes) -> str:
    # Imported when the first password comes: a process without people in browsers does without.
    from argon2 import PasswordHasher

    return PasswordHasher().hash(password)


def _fits(kept: str, password: bytes) -> bool:
    from argon2 import PasswordHasher
    from argon2.exceptions import InvalidHashError, VerificationError

    try:
        return PasswordHasher().verify(kept, password)
    except (VerificationError, InvalidHashError):
        return False
