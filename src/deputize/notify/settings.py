"""How people are reached: the `[notify]` table of deputize.toml."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from deputize.connectors.secret import Secrets, check_handle
from deputize.connectors.settings import check_base
from deputize.duration import duration_s
from deputize.errors import ProjectError
from deputize.loopback import is_loopback
from deputize.notify.quiet import Quiet
from deputize.person import Directory, Person
from deputize.suggest import did_you_mean

EVERY_S = 300.0
EVERY_S_MAX = 86_400.0
PORT = 587
PORT_TLS = 465
"""Where TLS begins with the first byte; on every other port it begins with STARTTLS."""

_KEYS = ("smtp", "slack", "console", "every", "quiet")
_SMTP_KEYS = ("host", "port", "from", "user", "password", "tls")
_ADDRESS = re.compile(r"[^@\s<>]+@[^@\s<>]+")


@dataclass(frozen=True)
class Smtp:
    """A mail server: `sender` is the address that letters come from, `password` the handle of a secret.

    With `tls` nothing is sent but encrypted, to a server whose certificate is good.
    """

    host: str
    port: int
    sender: str
    user: str = ""
    password: str = ""
    tls: bool = True


@dataclass(frozen=True)
class NotifySettings:
    """`slack` is the handle of a webhook's address; `console` what links begin with, empty for none.

    Nobody gets more than one message in `every_s`, but what would be too late by then.
    """

    smtp: Smtp | None = None
    slack: str = ""
    console: str = ""
    every_s: float = EVERY_S
    quiet: Quiet | None = None

    def channels_of(self, person: Person) -> tuple[str, ...]:
        """By what a person is told, in the order of the settings."""
        reached = {"email": self.smtp is not None and person.email, "slack": self.slack and person.slack}
        wanted = reached if person.channels is None else person.channels
        return tuple(one for one in reached if reached[one] and one in wanted)

    def reached(self, directory: Directory) -> dict[str, tuple[str, ...]]:
        """Everybody who can be told, with by what."""
        found = {name: self.channels_of(person) for name, person in directory.people.items()}
        return {name: channels for name, channels in found.items() if channels}

    @property
    def handles(self) -> tuple[str, ...]:
        """Every secret that it names."""
        password = self.smtp.password if self.smtp is not None else ""
        return tuple(handle for handle in (password, self.slack) if handle)


def read_notify(table: Mapping[str, Any], directory: Directory) -> NotifySettings:
    """The settings in `[notify]`. Raises `ProjectError`, naming the key and what to write instead."""
    _known(table, _KEYS, "[notify]")
    smtp = _smtp(table["smtp"]) if "smtp" in table else None
    slack = _handle(table, "slack", "[notify] slack") if "slack" in table else ""
    if smtp is None and not slack:
        raise ProjectError('[notify] reaches nobody: add smtp = {host = …, from = …} or slack = "env:NAME"')
    settings = NotifySettings(smtp, slack, _console(table), _every(table), _quiet(table))
    for person in directory.people.values():
        for channel in person.channels or ():
            if channel not in settings.channels_of(person):
                needs = {"email": "smtp", "slack": "slack"}[channel]
                raise ProjectError(
                    f"[people.{person.name}]: channels names {channel}; [notify] has no {needs}"
                )
    if not settings.reached(directory):
        raise ProjectError("[notify] reaches nobody: add email (or slack) to a [people.NAME]")
    return settings


def webhook_of(settings: NotifySettings, secrets: Secrets) -> str:
    """The address of the webhook. Raises `ProjectError`, without it, where it is not set or no address."""
    value = secrets.resolve(settings.slack).reveal()
    try:
        parts = urlsplit(value)
        fits = parts.hostname is not None and parts.path and parts.port != 0 and "@" not in parts.netloc
    except ValueError:
        fits = False
    if not fits or not value.isascii() or re.search(r"[\s\\#]", value):
        raise ProjectError(f"[notify] slack: {settings.slack} does not hold the address of a webhook")
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname or "")):
        raise ProjectError(f"[notify] slack: the address in {settings.slack} must begin with https://")
    return value


def check_notify(settings: NotifySettings | None, secrets: Secrets) -> list[str]:
    """What `deputize up` would miss or refuse."""
    wrong = []
    for handle in settings.handles if settings is not None else ():
        try:
            secrets.resolve(handle)
            if settings is not None and handle == settings.slack:
                webhook_of(settings, secrets)
        except ProjectError as error:
            wrong.append(str(error))
    return wrong


def _smtp(table: Any) -> Smtp:
    where = "[notify] smtp"
    if not isinstance(table, Mapping):
        raise ProjectError(f'{where}: write a table, like {{host = "mail.example.com", from = "…@…"}}')
    _known(table, _SMTP_KEYS, where)
    for key in ("host", "from"):
        if not isinstance(table.get(key), str) or not table[key]:
            raise ProjectError(f"{where}: {key} is missing")
    host, sender, user = table["host"], table["from"], table.get("user", "")
    if not re.fullmatch(r"[A-Za-z0-9.:_-]{1,253}", host):
        raise ProjectError(f"{where}: host {host!r} is no name of a server, like mail.example.com")
    if not _ADDRESS.fullmatch(sender):
        raise ProjectError(f"{where}: from {sender!r} is no e-mail address")
    port, tls = table.get("port", PORT), table.get("tls", True)
    if not isinstance(port, int) or isinstance(port, bool) or not 1 <= port <= 65_535:
        raise ProjectError(f"{where}: port must be a number from 1 to 65535")
    if not isinstance(tls, bool):
        raise ProjectError(f"{where}: tls must be true or false")
    password = _handle(table, "password", f"{where} password") if "password" in table else ""
    if not isinstance(user, str) or bool(user) != bool(password):
        raise ProjectError(f"{where}: user and password go together")
    if password and not tls and not is_loopback(host):
        raise ProjectError(f"{where}: with tls = false the password would go to {host} for all to read")
    return Smtp(host, port, sender, user, password, tls)


def _handle(table: Mapping[str, Any], key: str, where: str) -> str:
    try:
        return check_handle(str(table[key]))
    except ValueError as error:
        raise ProjectError(f"{where}: {error}") from None


def _console(table: Mapping[str, Any]) -> str:
    console = table.get("console", "")
    try:
        return check_base(str(console)) if console else ""
    except ValueError as error:
        raise ProjectError(f"[notify] console: {error}") from None


def _every(table: Mapping[str, Any]) -> float:
    try:
        every_s = duration_s(table.get("every", "5 minutes"))
    except ValueError as error:
        raise ProjectError(f"[notify] every: {error}") from None
    if every_s > EVERY_S_MAX:
        raise ProjectError("[notify] every: at most 1 day")
    return every_s


def _quiet(table: Mapping[str, Any]) -> Quiet | None:
    if "quiet" not in table:
        return None
    match = re.fullmatch(r"([01]?\d|2[0-3]):([0-5]\d) ?- ?([01]?\d|2[0-3]):([0-5]\d)", str(table["quiet"]))
    if match is None:
        raise ProjectError('[notify] quiet: write hours like "22:00-07:00"')
    starts, ends = int(match[1]) * 60 + int(match[2]), int(match[3]) * 60 + int(match[4])
    if starts == ends:
        raise ProjectError("[notify] quiet: it must leave some of the day")
    return Quiet(starts, ends)


def _known(table: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    for key in table:
        if key not in known:
            raise ProjectError(f"{where}: {key} is no setting{did_you_mean(key, known)}")
