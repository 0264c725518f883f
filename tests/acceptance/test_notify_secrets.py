"""Secrets on the way: encrypted, to a server whose certificate is good, and in no error."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from deputize.connectors.secret import Secrets
from deputize.notify.channels import Email, NotSent, Slack
from deputize.notify.message import sample_letter
from deputize.notify.settings import Smtp
from deputize.person import Person

TLS = Path(__file__).parents[1] / "support" / "tls"
"""A certificate for localhost and 127.0.0.1 that no machine trusts, and its key."""


class Heard:
    """What a server was told: its letters, and each password with whether that came encrypted."""

    def __init__(self) -> None:
        self.letters: list[bytes] = []
        self.passwords: list[tuple[bytes, bool]] = []
        self.port = 0
        self.tells_it_back = False

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        assert isinstance(envelope.content, bytes)
        self.letters.append(envelope.content)
        return "250 OK"

    def judge(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: object
    ) -> AuthResult:
        assert isinstance(data, LoginPassword)
        self.passwords.append((data.password, session.ssl is not None))
        if self.tells_it_back:
            said = f"535 5.7.8 {data.password.decode()} is wrong"
            return AuthResult(success=False, handled=False, message=said)
        return AuthResult(success=True)


@asynccontextmanager
async def server(*, starttls: bool) -> AsyncIterator[Heard]:
    heard, loop = Heard(), asyncio.get_running_loop()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / "cert.pem", TLS / "key.pem")

    def made() -> SMTP:
        return SMTP(
            heard,
            hostname="localhost",
            tls_context=context if starttls else None,
            authenticator=heard.judge,
            auth_require_tls=False,
            loop=loop,
        )

    listening = await loop.create_server(made, "127.0.0.1", 0)
    heard.port = listening.sockets[0].getsockname()[1]
    try:
        yield heard
    finally:
        listening.close()


async def post(tmp_path: Path, port: int, *, tls: bool = True) -> None:
    secrets = Secrets(tmp_path, {"MAIL_PASSWORD": "right-password"})
    smtp = Smtp("127.0.0.1", port, "d@example.test", "deputize", "env:MAIL_PASSWORD", tls)
    maya = Person("maya", email="maya@example.test")
    await Email(smtp, secrets).send(sample_letter("maya", "ab" * 16), maya, 0)


async def test_a_letter_and_its_password_go_encrypted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(TLS / "cert.pem"))
    async with server(starttls=True) as heard:
        await post(tmp_path, heard.port)
    assert heard.passwords == [(b"right-password", True)] and len(heard.letters) == 1


async def test_a_server_whose_certificate_nobody_knows_is_told_nothing(tmp_path: Path) -> None:
    async with server(starttls=True) as heard:
        with pytest.raises(NotSent, match="certificate"):
            await post(tmp_path, heard.port)
    assert heard.passwords == [] and heard.letters == []


async def test_a_server_that_does_not_encrypt_is_told_nothing(tmp_path: Path) -> None:
    async with server(starttls=False) as heard:
        with pytest.raises(NotSent, match=r"127\.0\.0\.1"):
            await post(tmp_path, heard.port)
    assert heard.passwords == [] and heard.letters == []


async def test_a_password_that_a_server_tells_back_is_not_repeated(tmp_path: Path) -> None:
    async with server(starttls=False) as heard:
        heard.tells_it_back = True
        with pytest.raises(NotSent, match="535") as error:
            await post(tmp_path, heard.port, tls=False)
    assert heard.passwords and "right-password" not in str(error.value)
    assert "[secret MAIL_PASSWORD]" in str(error.value)


async def test_an_address_that_a_webhook_tells_back_is_not_repeated(tmp_path: Path) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        target = head.split(" ")[1]
        body = f"no {target} at http://{writer.get_extra_info('sockname')[0]}{target}".encode()
        writer.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))
        await writer.drain()
        writer.close()

    listening = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    webhook = f"http://127.0.0.1:{port}/services/T1/B1/very-secret"
    secrets = Secrets(tmp_path, {"HOOK": webhook})
    secrets.resolve("env:HOOK")
    channel = Slack(webhook, secrets)
    try:
        with pytest.raises(NotSent, match="404") as error:
            await channel.send(sample_letter("maya", "ab" * 16), Person("maya", slack="U1"), 0)
    finally:
        await channel.aclose()
        listening.close()
    assert "very-secret" not in str(error.value)
