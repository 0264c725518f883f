"""One-time signed links: each opens one card for one person, once. It opens the card and answers nothing.

The signature is HMAC-SHA256 over card, binding, person and expiry, with a key that never leaves the data
folder. That a link was used is in the ledger's settings.
"""

from __future__ import annotations

import base64
import hmac
import os
import secrets
from dataclasses import astuple, dataclass
from pathlib import Path
from urllib.parse import quote

from deputize import canonical
from deputize.clock import iso
from deputize.errors import ProjectError
from deputize.store.protocol import CardRow, Tx

FILE = "links.key"
KEY_BYTES = 32
LINK_S_MAX = 7 * 86_400.0
TOKEN_CHARS_MAX = 2_000
USED = "link:"


class BadLink(Exception):
    """A link that opens nothing; the message says why. `forged`: it was not made here."""

    def __init__(self, message: str, *, forged: bool = False) -> None:
        super().__init__(message)
        self.forged = forged


@dataclass(frozen=True)
class Link:
    """What a link opens, for whom, until when (ledger time). `binding` is the card's; empty without one."""

    seq: int
    card: str
    binding: str
    person: str
    expires: int


class Links:
    """Makes links and reads them. `folder` is the data folder, `console` what they begin with."""

    def __init__(self, folder: Path, console: str) -> None:
        self._path = folder / FILE
        self._console = console
        self._key = b""

    def url(self, card: CardRow, person: str, due: int | None, now: int) -> str:
        """The address that opens a card for a person; empty where the settings name no console."""
        if not self._console:
            return ""
        latest = now + int(LINK_S_MAX * 1_000_000)
        expires = latest if due is None else min(due, latest)
        token = self.token(Link(card.seq, card.id, binding_of(card), person, expires))
        return f"{self._console}/cards/{quote(card.id, safe='/~')}?k={token}"

    def token(self, link: Link) -> str:
        """A link as text that only this installation can write."""
        said = canonical.encode(list(astuple(link)))
        return f"{_text(said)}.{_text(self._signed(said))}"

    def read(self, token: str, now: int) -> Link:
        """The link that a text is. Raises `BadLink` for one that is forged or expired."""
        said, _, signed = token[: TOKEN_CHARS_MAX + 1].partition(".")
        try:
            body, signature = _bytes(said), _bytes(signed)
        except ValueError:
            raise BadLink("this is no link of ours; `deputize inbox` lists what waits", forged=True) from None
        if len(token) > TOKEN_CHARS_MAX or not hmac.compare_digest(signature, self._signed(body)):
            raise BadLink(
                "this link was not made here, or was changed; `deputize inbox` lists what waits", forged=True
            )
        link = Link(*canonical.decode(body))
        if link.expires <= now:
            raise BadLink(f"this link was good until {iso(link.expires)}; `deputize inbox` lists what waits")
        return link

    def use(self, tx: Tx, link: Link, token: str) -> CardRow:
        """Use a link up: the card that it opens. Raises `BadLink` where it was used or that is closed."""
        name = USED + token.rpartition(".")[2]
        used = tx.setting(name)
        if used is not None:
            at = iso(int(used.partition(" ")[0]))
            raise BadLink(f"this link was used at {at}, and opens once; `deputize inbox` lists what waits")
        found = tx.cards(after=link.seq - 1, limit=1)
        card = found[0] if found and found[0].seq == link.seq else None
        if card is None or card.id != link.card or binding_of(card) != link.binding:
            raise BadLink(
                f"the card {link.card} is closed: it was answered, or its time was over; `deputize why` tells"
            )
        for old, text in tx.settings(USED).items():
            if int(text.rpartition(" ")[2]) <= tx.at_us:
                tx.set_setting(old, None)
        tx.set_setting(name, f"{tx.at_us} {link.expires}")
        return card

    def _signed(self, said: bytes) -> bytes:
        if not self._key:
            self._key = _read_key(self._path)
        return hmac.digest(self._key, said, "sha256")


def binding_of(card: CardRow) -> str:
    """What a card is about exactly; empty for one that has no binding."""
    return str(card.body.get("binding", ""))


def _read_key(path: Path) -> bytes:
    """The key, made where there is none. Raises `ProjectError` for one that others may read."""
    if not path.exists():
        draft = path.with_name(f"{path.name}.{os.getpid()}")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    if path.stat().st_mode & 0o077:
        raise ProjectError(f"{path} can be read by others: chmod 600 {path}")
    key = path.read_bytes()
    if len(key) != KEY_BYTES:
        raise ProjectError(f"{path} holds no key: remove it, and a new one is made (links sent before end)")
    return key


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    """Raises `ValueError` for what is no base64, or not in the one form in which we write it."""
    data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    if _text(data) != text:
        raise ValueError("not in its one form")
    return data
