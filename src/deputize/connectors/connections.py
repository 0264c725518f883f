"""Every connection of a project, built from its settings."""

from __future__ import annotations

from collections.abc import Mapping

from deputize.clock import Clock
from deputize.connectors.http import HttpConnection
from deputize.connectors.secret import Secret, Secrets
from deputize.connectors.settings import ConnectorSettings
from deputize.errors import ProjectError


class Connections:
    """The connections by connector name; one without a base address has none.

    Raises `ProjectError` at once for a secret that is missing or open, and an address that is none.
    """

    def __init__(
        self,
        settings: Mapping[str, ConnectorSettings],
        secrets: Secrets,
        environ: Mapping[str, str],
        *,
        clock: Clock | None = None,
    ) -> None:
        self.settings = dict(settings)
        self._open = {
            name: connection
            for name, table in settings.items()
            if (connection := _connection(name, table, secrets, environ, clock)) is not None
        }

    def get(self, connector: str) -> HttpConnection | None:
        """The connection of this connector, or None where its operations run in this process."""
        return self._open.get(connector)

    async def aclose(self) -> None:
        """Close them all."""
        for connection in self._open.values():
            await connection.aclose()


def check_connections(
    settings: Mapping[str, ConnectorSettings], secrets: Secrets, environ: Mapping[str, str]
) -> list[str]:
    """Every connection that `Connections` would refuse, and why; none is made."""
    wrong = []
    for name, table in settings.items():
        try:
            _address_and_login(name, table, secrets, environ)
        except ProjectError as error:
            wrong.append(str(error))
    return wrong


def _connection(
    name: str, table: ConnectorSettings, secrets: Secrets, environ: Mapping[str, str], clock: Clock | None
) -> HttpConnection | None:
    base, login = _address_and_login(name, table, secrets, environ)
    if base is None:
        return None
    return HttpConnection(
        name,
        base,
        login=login,
        concurrent_max=table.concurrent_max,
        idempotency_header=table.idempotency_header,
        clock=clock,
    )


def _address_and_login(
    name: str, table: ConnectorSettings, secrets: Secrets, environ: Mapping[str, str]
) -> tuple[str | None, tuple[str, str] | None]:
    try:
        base = table.address(environ)
        return base, _login(table, secrets) if base is not None else None
    except (ValueError, ProjectError) as error:
        raise ProjectError(f"[connectors.{name}]: {error}") from None


def _login(table: ConnectorSettings, secrets: Secrets) -> tuple[str, str] | None:
    if table.token is not None:
        return "authorization", f"Bearer {_in_header(secrets.resolve(table.token))}"
    if table.header is not None:
        return table.header.name, _in_header(secrets.resolve(table.header.value))
    if table.basic is not None:
        password = secrets.resolve(table.basic.password)
        return "authorization", f"Basic {secrets.basic(table.basic.user, password)}"
    return None


def _in_header(secret: Secret) -> str:
    if not secret.reveal().isascii():
        raise ValueError(f"the secret {secret.handle} has characters that a header cannot carry")
    return secret.reveal()
