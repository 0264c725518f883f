"""The post office: a real SMTP server (RFC 5321), whose letters are read at the hall.

Its faults are those of the other services, met where SMTP meets them: on `connect` before the greeting,
on `deliver` once a whole message has come. `too_many` is a passing no (4xx), `error_500` a lasting one
(5xx), `error_502` "not available" (421); `malformed` is an answer that is no SMTP.
"""

import asyncio
import logging
import secrets
import socket
from email import message_from_bytes
from email.header import decode_header, make_header
from email.message import Message
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session
from aiosmtpd.smtp import LoginPassword as Login

from deputize.town.book import note_access
from deputize.town.faults import Fault, Faults
from deputize.town.wire import BODY_BYTES_MAX, request_hash
from deputize.town.world import World

SERVICE = "smtp"
NO_MAILBOX = "nobody@"
"""Addresses that begin so have no mailbox (550)."""

_SAYS = {
    "too_many": "451 4.3.2 try again later",
    "error_500": "554 5.3.0 the transaction failed",
    "error_502": "421 4.3.2 the service is not available",
    "malformed": "something went wrong here",
}


class PostOffice:
    """Takes letters in on one port. `token`, where given, is the password that every sender must know."""

    def __init__(self, world: World, faults: Faults, token: str | None) -> None:
        self._world = world
        self._faults = faults
        self._token = token
        # What it says of each command at its leisure is nobody's concern.
        logging.getLogger("mail.log").setLevel(logging.CRITICAL)

    async def serve(self, sock: socket.socket) -> asyncio.Server:
        """Begin to take letters in on a bound socket."""
        loop = asyncio.get_running_loop()
        return await loop.create_server(lambda: _Counter(self, loop), sock=sock)

    def fault(self, operation: str, token: str) -> Fault | None:
        """What this one meets."""
        return self._faults.meet(SERVICE, operation, True, token)

    def knows(self, given: bytes) -> bool:
        """Whether this is the password."""
        return self._token is None or secrets.compare_digest(given, self._token.encode())

    @property
    def guarded(self) -> bool:
        """Whether it asks for a password."""
        return self._token is not None

    def log(self, operation: str, key: str | None, status: int | None, fault: Fault | None) -> None:
        """A line of the access log."""
        kind = None if fault is None else fault.kind
        note_access(self._world, SERVICE, "SMTP", operation, operation, key, status, kind)

    def keep(self, envelope: Envelope, message: Message) -> None:
        """One letter for each of its readers; a letter that comes twice is kept, and booked, twice."""
        raw, key = _bytes_of(envelope), message.get("Message-ID")
        with self._world.transaction():
            for reader in envelope.rcpt_tos:
                self._world.db.execute(
                    "INSERT INTO letters (at, sender, reader, subject, message_id, text, raw)"
                    " VALUES (?,?,?,?,?,?,?)",
                    (
                        self._world.now(),
                        envelope.mail_from,
                        reader,
                        _header(message, "Subject"),
                        key,
                        _text_of(message),
                        raw.decode("utf-8", "replace"),
                    ),
                )
                self._world.db.execute(
                    "INSERT INTO book (at, service, operation, key, reference, resource, request_hash)"
                    " VALUES (?,?,?,?,?,?,?)",
                    (
                        self._world.now(),
                        SERVICE,
                        "deliver",
                        key and f"{key} {reader}",
                        key,
                        reader,
                        request_hash("SMTP", reader, raw),
                    ),
                )


class _Counter(SMTP):
    """One connection: aiosmtpd's server, with the faults of the town."""

    def __init__(self, office: PostOffice, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(
            _Clerk(office),
            data_size_limit=BODY_BYTES_MAX,
            enable_SMTPUTF8=True,
            hostname="town.example",
            ident="The town's post office",
            authenticator=lambda server, session, envelope, mechanism, data: _judged(office, data),
            auth_require_tls=False,
            loop=loop,
        )
        self._auth_required = office.guarded  # as an option it warns, of what is meant here
        self._office = office

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        fault = self._office.fault("connect", "connection")
        if fault is None:
            super().connection_made(transport)
        elif fault.kind in ("latency", "lost"):
            self._office.log("connect", None, None, fault)
            transport.pause_reading()
            self.loop.call_later(fault.delay_s, self._at_last, transport)
        else:
            said = _SAYS.get(fault.kind)
            self._office.log("connect", None, int(said[:3]) if said and said[0].isdigit() else None, fault)
            if said is None:
                transport.abort()
            else:
                transport.write(f"{said}\r\n".encode())
                transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if self.session is not None:
            super().connection_lost(error)

    def _at_last(self, transport: asyncio.Transport) -> None:
        if not transport.is_closing():
            super().connection_made(transport)
            transport.resume_reading()


class _Clerk:
    """What aiosmtpd asks at each step of a letter."""

    def __init__(self, office: PostOffice) -> None:
        self._office = office

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """A reader is known, or has no mailbox."""
        if address.startswith(NO_MAILBOX):
            self._office.log("deliver", None, 550, None)
            return "550 5.1.1 there is no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """A whole letter has come: keep it, unless a fault says otherwise."""
        message = message_from_bytes(_bytes_of(envelope))
        key = message.get("Message-ID")
        fault = self._office.fault("deliver", key or "a letter without an id")
        kind = None if fault is None else fault.kind
        if fault is not None and kind == "latency":
            await asyncio.sleep(fault.delay_s)
        said = _SAYS.get(kind or "")
        if fault is None or kind in ("latency", "cut_after", "lost") or fault.effect:
            self._office.keep(envelope, message)
        if fault is not None and kind == "lost":
            await asyncio.sleep(fault.delay_s)
        if kind in ("cut_before", "cut_after", "lost", "late"):
            self._office.log("deliver", key, None, fault)
            return _cut(server)
        said = said or "250 2.0.0 OK"
        self._office.log("deliver", key, int(said[:3]) if said[0].isdigit() else None, fault)
        return said


def _judged(office: PostOffice, data: object) -> AuthResult:
    # `handled` would mean that the client has been told of a no already.
    return AuthResult(success=isinstance(data, Login) and office.knows(data.password), handled=False)


def _cut(server: Any) -> str:
    """Close the connection in the middle: what is returned reaches nobody."""
    server.transport.abort()
    return "421 4.0.0 gone"


def _bytes_of(envelope: Envelope) -> bytes:
    content = envelope.original_content
    return content if isinstance(content, bytes) else b""


def _header(message: Message, name: str) -> str:
    return str(make_header(decode_header(message.get(name, ""))))


def _text_of(message: Message) -> str:
    """The plain text of a letter, as its reader sees it."""
    for part in message.walk():
        if part.get_content_type() == "text/plain":
            payload = part.get_payload(decode=True)
            text = payload if isinstance(payload, bytes) else b""
            return text.decode(part.get_content_charset() or "utf-8", "replace").replace("\r\n", "\n")
    return ""
