"""One-time links by which somebody comes in who has no password yet, or has lost it. In memory alone.

Whoever made it (the process as it starts, the operator's key, an admin) shows it to one person; it is good
once, for a quarter of an hour, and ends with the process.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from deputize.errors import DeputizeError
from deputize.token import BYTES, LINK_PREFIX, digest_of, written

LINK_US = 15 * 60_000_000
LINKS_MAX = 100
PAGE = "/first"


SAID_OVER = (
    "this link opens nothing: it was used, its quarter of an hour is over, or the process has started again "
    "since; `deputize login NAME --browser` makes another"
)


class LinkOver(DeputizeError):
    """A one-time link that is good no more, or never was."""

    def __init__(self) -> None:
        super().__init__(SAID_OVER)


@dataclass(frozen=True, slots=True)
class _Link:
    person: str
    ends_us: int


class FirstLinks:
    """The links that are good, by the digests of their keys; the latest of each person."""

    def __init__(self) -> None:
        self._links: dict[str, _Link] = {}

    def make(self, person: str, now_us: int) -> str:
        """The key of a new link (of this machine's owner with `LOCAL`); the person's last one ends."""
        key = written(LINK_PREFIX, os.urandom(BYTES))
        kept = {d: one for d, one in self._links.items() if one.person != person and one.ends_us > now_us}
        for oldest in list(kept)[: max(0, len(kept) - LINKS_MAX + 1)]:
            del kept[oldest]
        self._links = kept | {digest_of(key.encode()): _Link(person, now_us + LINK_US)}
        return key

    def look(self, key: str, now_us: int) -> str:
        """Whom a link is for; it stays good. Raises `LinkOver`."""
        found = self._links.get(_digest(key))
        if found is None or found.ends_us <= now_us:
            raise LinkOver
        return found.person

    def use(self, key: str, now_us: int) -> str:
        """Whom a link is for; it is good no more. Raises `LinkOver`."""
        person = self.look(key, now_us)
        del self._links[_digest(key)]
        return person


def path_of(key: str) -> str:
    """Where a link leads, on this server."""
    return f"{PAGE}?key={key}"


def _digest(key: str) -> str:
    return digest_of(key.encode("utf-8", "replace"))
