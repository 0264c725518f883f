"""Where connectors are and how to log in: the `[connectors.NAME]` tables of deputize.toml."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from deputize.circuit import Terms
from deputize.connectors.secret import check_handle
from deputize.errors import ProjectError
from deputize.suggest import did_you_mean

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_ENVIRONMENT = re.compile(r"env:([A-Za-z_][A-Za-z0-9_]{0,199})")
_OURS = frozenset(
    {"host", "content-length", "content-type", "transfer-encoding", "connection", "accept-encoding"}
)


def check_base(base: str) -> str:
    """`base` without its last slash. Raises `ValueError` and says what a base address is."""
    try:
        parts = urlsplit(base)
        port = parts.port
    except ValueError:
        raise ValueError(f"{base!r} is not an address; write it like 'https://api.example.com/v1'") from None
    if "@" in parts.netloc:
        # Not repeated in the message: it may hold a password.
        raise ValueError("the base address must not hold a login: use `basic` or `token`")
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise ValueError(f"{base!r} is not an address; write it like 'https://api.example.com/v1'")
    if re.search(r"[?#\\\s\x00-\x20\x7f]|[^\x00-\x7f]|/\.{1,2}(/|$)|//", base.partition("://")[2]):
        raise ValueError(f"{base!r}: a base address is a plain path without query, fragment, spaces or dots")
    return base.rstrip("/")


def _base_or_handle(base: str) -> str:
    return base if _ENVIRONMENT.fullmatch(base) else check_base(base)


def _header_name(name: str) -> str:
    if not _HEADER.fullmatch(name) or name.lower() in _OURS:
        raise ValueError(f"{name!r} cannot be used as the name of this header")
    return name


Handle = Annotated[str, AfterValidator(check_handle)]
HeaderName = Annotated[str, AfterValidator(_header_name)]


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, hide_input_in_errors=True)


class HeaderLogin(_Strict):
    """A credential in a header of its own: `header = {name = "X-Api-Key", value = "env:NAME"}`."""

    name: HeaderName
    value: Handle


class BasicLogin(_Strict):
    """HTTP Basic: `basic = {user = "shop", password = "file:secrets/payments"}`."""

    user: Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^:\x00-\x1f\x7f]+$")]
    password: Handle


_USUAL = Terms()


class CircuitSettings(_Strict):
    """When the circuit opens: `circuit = {failures_max = 0.5, calls_min = 10, window_s = 120.0}`; see
    `deputize.circuit.Terms`."""

    failures_max: Annotated[float, Field(ge=0, lt=1)] = _USUAL.failures_max
    calls_min: Annotated[int, Field(ge=1, le=1_000_000)] = _USUAL.calls_min
    window_s: Annotated[float, Field(ge=1, le=86_400)] = _USUAL.window_s
    pause_s: Annotated[float, Field(ge=0.01, le=3_600)] = _USUAL.pause_s

    @property
    def terms(self) -> Terms:
        """The same, for the circuit."""
        return Terms(self.failures_max, self.calls_min, self.window_s, self.pause_s)


class ConnectorSettings(_Strict):
    """One `[connectors.NAME]` table.

    `base` is the address that all paths are below, or `env:NAME` of a variable that holds it; a
    connector without HTTP has none. At most one of `token` (a bearer token), `header` and `basic`.
    `concurrent_max` bounds the requests at one time, `per_second_max` the starts in a second; `circuit` says
    when so many of them fail that nothing is sent any more but to try it.
    """

    base: Annotated[str, AfterValidator(_base_or_handle)] | None = None
    token: Handle | None = None
    header: HeaderLogin | None = None
    basic: BasicLogin | None = None
    concurrent_max: Annotated[int, Field(ge=1, le=1000)] = 20
    per_second_max: Annotated[float, Field(gt=0, le=100_000, allow_inf_nan=False)] | None = None
    idempotency_header: HeaderName = "Idempotency-Key"
    circuit: CircuitSettings = CircuitSettings()

    @model_validator(mode="after")
    def _consistent(self) -> ConnectorSettings:
        logins = [name for name in ("token", "header", "basic") if getattr(self, name) is not None]
        if len(logins) > 1:
            raise ValueError(f"use one of {' and '.join(logins)}")
        if logins and self.base is None:
            raise ValueError(f"{logins[0]} needs a base address to be sent to")
        return self

    def address(self, environ: Mapping[str, str]) -> str | None:
        """The base address, read from `environ` where the settings name a variable.

        Raises `ValueError` where it is not set or no address.
        """
        match = _ENVIRONMENT.fullmatch(self.base) if self.base else None
        if match is None:
            return self.base
        value = environ.get(match.group(1))
        if not value:
            raise ValueError(f"{match.group(1)} is not set: add {match.group(1)}=http://… to .env")
        return check_base(value)


def read_connectors(tables: Mapping[str, Any], where: str = "deputize.toml") -> dict[str, ConnectorSettings]:
    """The settings in `[connectors]`, by connector. Raises `ProjectError` naming table, key and remedy."""
    settings: dict[str, ConnectorSettings] = {}
    for name, table in tables.items():
        if not _NAME.fullmatch(name):
            raise ProjectError(
                f"{where}: [connectors.{name}]: use a-z, 0-9 and _ for the name of a connector"
            )
        try:
            settings[name] = ConnectorSettings.model_validate(table)
        except ValidationError as error:
            raise ProjectError(f"{where}: [connectors.{name}] {_explain(error)}") from None
    return settings


def _explain(error: ValidationError) -> str:
    problems = error.errors(include_url=False, include_input=False, include_context=False)
    # A key that is not known explains the one that is missing.
    problem = min(problems, key=lambda each: each["type"] != "extra_forbidden")
    location = [str(part) for part in problem["loc"]]
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        models: dict[str, type[_Strict]] = {
            "header": HeaderLogin,
            "basic": BasicLogin,
            "circuit": CircuitSettings,
        }
        model = models.get(location[0], ConnectorSettings) if len(location) > 1 else ConnectorSettings
        message = f"is no setting{did_you_mean(location[-1], model.model_fields)}"
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return f"{'.'.join(location)}: {message}{more}" if location else f"{message}{more}"
