"""A project's settings: `deputize.toml` and the environment; nothing else reads either."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from deputize.budget import Budget, budget_of_settings
from deputize.connectors.settings import ConnectorSettings, read_connectors
from deputize.errors import ProjectError
from deputize.headers import header_lines
from deputize.loopback import is_loopback as is_loopback
from deputize.models.settings import ModelSettings, read_models
from deputize.notify.settings import NotifySettings, read_notify
from deputize.person import KEEPER, Directory, directory_of_settings
from deputize.suggest import did_you_mean
from deputize.telemetry.settings import TelemetrySettings, read_telemetry

FILE = "deputize.toml"
PORT_DEFAULT = 8477
INBOX_FULL_AT = 200
PERSON_TOKEN = "DEPUTIZE_PERSON_TOKEN"
AGENT_TOKEN = "DEPUTIZE_AGENT_TOKEN"
"""The variable with the token of the person that commands speak for."""
_TABLES = {
    "project",
    "server",
    "connectors",
    "models",
    "budget",
    "params",
    "people",
    "keepers",
    "notify",
    "inbox",
    "rules",
    "telemetry",
}
_PROJECT = {"name", "timezone", "data"}
_SERVER = {"host", "port", "token"}


@dataclass(frozen=True)
class Settings:
    """Everything in deputize.toml, checked once. `environ` is the environment with the project's
    `.env` below it; `inbox_full_at` is the number of open cards at which automations that only
    add to them slow down; `rules_ask` are those who have to approve a change of a rule in a form, nobody
    where it is empty; `token` is the handle of the API's token, needed on any address but loopback."""

    root: Path
    name: str
    zone: ZoneInfo
    data: Path
    host: str
    port: int
    token: str | None
    connectors: Mapping[str, ConnectorSettings]
    models: Mapping[str, ModelSettings]
    budgets: tuple[Budget, ...]
    params: Mapping[str, Mapping[str, Any]]
    directory: Directory
    notify: NotifySettings | None
    inbox_full_at: int
    rules_ask: tuple[str, ...]
    telemetry: TelemetrySettings
    environ: Mapping[str, str] = field(repr=False)

    @property
    def person_token(self) -> str:
        """The token of the person that commands speak for; empty where the environment has none."""
        return self.environ.get(PERSON_TOKEN, "").strip()

    @property
    def agent_token(self) -> str:
        """The token of the agent that `deputize mcp` speaks for; empty where the environment has none."""
        return self.environ.get(AGENT_TOKEN, "").strip()

    @property
    def ledger(self) -> Path:
        """The ledger's file."""
        return self.data / "ledger.db"

    @property
    def unguarded(self) -> str:
        """Why nothing is served at this address: others can reach it, and no token is asked of them.
        Empty where it may be served."""
        if self.token is not None or is_loopback(self.host):
            return ""
        return (
            f"{FILE}: [server] host {self.host} can be reached by others: add "
            'token = "env:DEPUTIZE_TOKEN" to [server] and set that variable, or use 127.0.0.1'
        )


def read_settings(root: Path, environ: Mapping[str, str] | None = None) -> Settings:
    """Read a project's settings. Raises `ProjectError` naming file, key and what to write instead."""
    path = root / FILE
    try:
        text = path.read_text(encoding="utf-8")
        tables = tomllib.loads(text)
    except FileNotFoundError:
        raise ProjectError(
            f"{root} is no project: it has no {FILE}; `deputize init NAME` makes one"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ProjectError(f"{FILE}: {error}") from None
    _known(tables, _TABLES, "")
    project = _table(tables, "project", _PROJECT)
    server = _table(tables, "server", _SERVER)
    budgets = tables.get("budget", [])
    if not isinstance(budgets, list):
        raise ProjectError(f"{FILE}: write budgets as [[budget]], with two brackets")
    directory = _directory(tables)
    return Settings(
        root=root,
        name=str(project.get("name", root.name)),
        zone=_zone(str(project.get("timezone", "UTC"))),
        data=root / str(project.get("data", "data")),
        host=str(server.get("host", "127.0.0.1")),
        port=_port(server.get("port", PORT_DEFAULT)),
        token=server.get("token"),
        connectors=read_connectors(_table(tables, "connectors", None), FILE),
        models=read_models(_table(tables, "models", None), FILE),
        budgets=_budgets(budgets, text),
        params=_table(tables, "params", None),
        directory=directory,
        notify=_notify(tables, directory),
        rules_ask=_rules_ask(_table(tables, "rules", {"ask"}).get("ask", []), directory),
        inbox_full_at=_full_at(_table(tables, "inbox", {"full_at"}).get("full_at", INBOX_FULL_AT)),
        telemetry=_telemetry(tables),
        environ=_environment(root, os.environ if environ is None else environ),
    )


def _table(tables: Mapping[str, Any], name: str, known: set[str] | None) -> Mapping[str, Any]:
    table = tables.get(name, {})
    if not isinstance(table, dict):
        raise ProjectError(f"{FILE}: {name} must be a table, [{name}]")
    if known is not None:
        _known(table, known, f"[{name}] ")
    return table


def _known(table: Mapping[str, Any], known: set[str], where: str) -> None:
    for key in table:
        if key not in known:
            raise ProjectError(f"{FILE}: {where}{key} is no setting{did_you_mean(key, known)}")


def _budgets(tables: list[Any], text: str) -> tuple[Budget, ...]:
    lines, budgets = header_lines(text, "budget"), []
    for number, table in enumerate(tables):
        # Tables may be written in another way, as one list, which has no headers.
        where = f"{FILE}:{lines[number]}" if len(lines) == len(tables) else FILE
        try:
            budgets.append(replace(budget_of_settings(table), where=where))
        except ProjectError as error:
            raise ProjectError(f"{where}: {error}") from None
    return tuple(budgets)


def _directory(tables: Mapping[str, Any]) -> Directory:
    try:
        return directory_of_settings(_table(tables, "people", None), _table(tables, "keepers", None))
    except ProjectError as error:
        raise ProjectError(f"{FILE}: {error}") from None


def _notify(tables: Mapping[str, Any], directory: Directory) -> NotifySettings | None:
    if "notify" not in tables:
        return None
    try:
        return read_notify(_table(tables, "notify", None), directory)
    except ProjectError as error:
        raise ProjectError(f"{FILE}: {error}") from None


def _telemetry(tables: Mapping[str, Any]) -> TelemetrySettings:
    try:
        return read_telemetry(_table(tables, "telemetry", None))
    except ProjectError as error:
        raise ProjectError(f"{FILE}: {error}") from None


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        raise ProjectError(
            f"{FILE}: [project] timezone {name!r} is unknown; write one like 'Europe/Berlin'"
        ) from None


def _port(value: Any) -> int:
    if not isinstance(value, int) or not 0 <= value <= 65_535:
        raise ProjectError(f"{FILE}: [server] port must be a number from 0 (any free one) to 65535")
    return value


def _full_at(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 1_000_000:
        raise ProjectError(f"{FILE}: [inbox] full_at must be a number of cards from 1 to 1000000")
    return value


def _rules_ask(value: Any, directory: Directory) -> tuple[str, ...]:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        raise ProjectError(f'{FILE}: [rules] ask names people, roles or groups, like ask = "owner"')
    known = {KEEPER, *directory.names()}
    for name in names:
        if name not in known:
            hint = did_you_mean(name, known)
            raise ProjectError(f"{FILE}: [rules] ask: there is no person, role or group {name!r}{hint}")
    if names and not directory.among(names, ""):
        raise ProjectError(f"{FILE}: [rules] ask: nobody is one of {', '.join(names)}")
    return tuple(names)


def _environment(root: Path, environ: Mapping[str, str]) -> Mapping[str, str]:
    """The environment, over the `NAME=value` lines of the project's `.env`."""
    values: dict[str, str] = {}
    path = root / ".env"
    if path.is_file():
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            text = line.strip()
            if not text or text.startswith("#"):
                continue
            name, equals, value = text.removeprefix("export ").partition("=")
            if not equals or not name.strip().isidentifier():
                raise ProjectError(f".env:{number}: write NAME=value")
            values[name.strip()] = value.strip().strip("\"'")
    return values | dict(environ)
