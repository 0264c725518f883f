"""Sending a letter for real: by SMTP, or to a webhook in Slack's format."""

from __future__ import annotations

import asyncio
import ssl
from http import HTTPStatus
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

import httpx2

from deputize import canonical
from deputize.call import CallNotDone
from deputize.clock import to_datetime
from deputize.connectors.http import HttpConnection, Received
from deputize.connectors.secret import Secrets
from deputize.notify.message import Letter
from deputize.notify.settings import PORT_TLS, NotifySettings, Smtp, webhook_of
from deputize.person import Person
from deputize.sentence import short

if TYPE_CHECKING:
    from email.message import EmailMessage

SEND_S_MAX = 30.0
SAID_CHARS_MAX = 200
RETRY_AFTER_S_MAX = 3_600.0
_CONNECTION_CODES = (421,)


class NotSent(Exception):
    """It was not taken; the message says why. `everybody`: it would be the same for everybody.

    `retry_after_s` is how long the server wants to be left alone.
    """

    def __init__(self, reason: str, *, everybody: bool, retry_after_s: float = 0.0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.everybody = everybody
        self.retry_after_s = retry_after_s


class Channel(Protocol):
    """A way to reach people."""

    async def send(self, letter: Letter, person: Person, at_us: int) -> None:
        """Returns once a server has taken it. Raises `NotSent`, in words without secrets."""
        ...

    async def aclose(self) -> None:
        """Let go of connections."""
        ...


def open_channels(settings: NotifySettings, secrets: Secrets) -> dict[str, Channel]:
    """The channels that there are, by name. Raises `ProjectError` for secrets that are not set."""
    channels: dict[str, Channel] = {}
    if settings.smtp is not None:
        channels["email"] = Email(settings.smtp, secrets)
    if settings.slack:
        channels["slack"] = Slack(webhook_of(settings, secrets), secrets)
    return channels


async def send_within(channel: Channel, letter: Letter, person: Person, at_us: int) -> None:
    """Send, or give up after `SEND_S_MAX`. Raises `NotSent`."""
    try:
        async with asyncio.timeout(SEND_S_MAX):
            await channel.send(letter, person, at_us)
    except TimeoutError:
        raise NotSent(f"no answer within {SEND_S_MAX:g} s", everybody=True) from None


class Email:
    """Letters by SMTP (RFC 5321), one connection each."""

    def __init__(self, smtp: Smtp, secrets: Secrets) -> None:
        self._smtp = smtp
        self._secrets = secrets
        self._password = secrets.resolve(smtp.password) if smtp.password else None
        self._tls: ssl.SSLContext | None = None

    async def send(self, letter: Letter, person: Person, at_us: int) -> None:
        # Imported with the first letter: a process that tells nobody anything does without.
        import aiosmtplib

        smtp = self._smtp
        try:
            await aiosmtplib.send(
                email_of(letter, smtp.sender, person.email, at_us),
                sender=smtp.sender,
                recipients=[person.email],
                hostname=smtp.host,
                port=smtp.port,
                # Else it asks the network for this machine's name, and the loop waits for that.
                local_hostname=smtp.sender.rpartition("@")[2],
                username=smtp.user or None,
                password=self._password.reveal() if self._password is not None else None,
                use_tls=smtp.tls and smtp.port == PORT_TLS,
                start_tls=smtp.tls and smtp.port != PORT_TLS,
                tls_context=await self._tls_context(),
                timeout=SEND_S_MAX,
            )
        except aiosmtplib.SMTPRecipientsRefused as error:
            said = "; ".join(_answer(one.code, one.message) for one in error.recipients)
            raise self._not_sent(said, everybody=False) from None
        except aiosmtplib.SMTPResponseException as error:
            about_letter = isinstance(error, aiosmtplib.SMTPDataError) and error.code not in _CONNECTION_CODES
            raise self._not_sent(_answer(error.code, error.message), everybody=not about_letter) from None
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            raise self._not_sent(_in_words(error), everybody=True) from None

    async def aclose(self) -> None:
        pass

    async def _tls_context(self) -> ssl.SSLContext | None:
        if self._smtp.tls and self._tls is None:
            # Reading the machine's certificates would hold the loop.
            self._tls = await asyncio.to_thread(ssl.create_default_context)
        return self._tls

    def _not_sent(self, said: str, *, everybody: bool) -> NotSent:
        where = f"{self._smtp.host}:{self._smtp.port}"
        return NotSent(self._secrets.scrub(f"{where}: {said}"), everybody=everybody)


class Slack:
    """Posts to one incoming webhook. Its address is a secret, all of it but the host."""

    def __init__(self, webhook: str, secrets: Secrets) -> None:
        parts = urlsplit(webhook)
        self._host = parts.netloc
        self._target = f"{parts.path}{'?' if parts.query else ''}{parts.query}"
        self._secrets = secrets
        self._connection = HttpConnection("slack", f"{parts.scheme}://{parts.netloc}")

    async def send(self, letter: Letter, person: Person, at_us: int) -> None:
        body = {"text": f"<@{person.slack}> {letter.chat}", "unfurl_links": False, "unfurl_media": False}
        try:
            received = await self._connection.send(
                "POST",
                self._target.encode(),
                canonical.encode(body),
                {"content-type": "application/json"},
                timeout_s=SEND_S_MAX,
                on_sending=lambda: None,
            )
        except (httpx2.RequestError, CallNotDone) as error:
            raise self._not_sent(_in_words(error)) from None
        if received.status != HTTPStatus.OK:
            said = " ".join(received.body.decode("utf-8", "replace").split())
            raise self._not_sent(_answer(received.status, said), _retry_after_s(received))

    async def aclose(self) -> None:
        await self._connection.aclose()

    def _not_sent(self, said: str, retry_after_s: float = 0.0) -> NotSent:
        reason = self._secrets.scrub(f"{self._host}: {said}".replace(self._target, "…"))
        return NotSent(reason, everybody=True, retry_after_s=retry_after_s)


def email_of(letter: Letter, sender: str, to: str, at_us: int) -> EmailMessage:
    """A letter as a mail (RFC 5322), of which mail programs know that no person wrote it (RFC 3834)."""
    from email.message import EmailMessage
    from email.policy import SMTP
    from email.utils import format_datetime

    made = EmailMessage(policy=SMTP)
    made["From"], made["To"], made["Subject"] = sender, to, letter.subject
    made["Date"] = format_datetime(to_datetime(at_us))
    made["Message-ID"] = f"<{letter.id}@{sender.rpartition('@')[2]}>"
    made["Auto-Submitted"] = "auto-generated"
    made.set_content(letter.text)
    made.add_alternative(letter.html, subtype="html")
    return made


def _answer(code: int, said: str) -> str:
    return f"it answered {code} {short(' '.join(said.split()), SAID_CHARS_MAX)}".rstrip()


def _in_words(error: Exception) -> str:
    said = short(" ".join(str(error).split()), SAID_CHARS_MAX)
    return f"{type(error).__name__}: {said}".removesuffix(": ")


def _retry_after_s(received: Received) -> float:
    text = received.headers.get("retry-after", "")
    if received.status != HTTPStatus.TOO_MANY_REQUESTS or not (text.isascii() and text.isdigit()):
        return 0.0
    return min(float(text), RETRY_AFTER_S_MAX)
