"""Where traces go, and what is written to the log: the `[telemetry]` table of deputize.toml."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from deputize.connectors.secret import Secrets, check_handle
from deputize.connectors.settings import check_base
from deputize.errors import ProjectError
from deputize.loopback import is_loopback
from deputize.suggest import did_you_mean

LEVELS = ("error", "warning", "info")
"""From the fewest lines to the most."""

TRACES = "/v1/traces"
NEEDED = "traces need the SDK of OpenTelemetry, which is not there: pip install 'deputize[telemetry]'"

_KEYS = ("endpoint", "headers", "log")
_VARIABLE = re.compile(r"env:([A-Za-z_][A-Za-z0-9_]{0,199})")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")


@dataclass(frozen=True)
class Target:
    """A collector: the whole address that traces are posted to, and headers that go with them."""

    address: str
    headers: Mapping[str, str]


@dataclass(frozen=True)
class TelemetrySettings:
    """`endpoint` is the address of a collector that takes OTLP over HTTP, or `env:NAME` of a variable that
    holds it; `headers` the handle of what goes with each request, as `name=value,name=value`; `log` the least
    level of lines of what happens."""

    endpoint: str = ""
    headers: str = ""
    log: str = "error"

    def target(self, secrets: Secrets, environ: Mapping[str, str]) -> Target | None:
        """Where traces go, or None: no endpoint, or its variable is not set. Raises `ProjectError`."""
        named = _VARIABLE.fullmatch(self.endpoint)
        endpoint = environ.get(named[1], "").strip() if named else self.endpoint
        if not endpoint:
            return None
        try:
            address = check_base(endpoint)
        except ValueError as error:
            raise ProjectError(f"[telemetry] endpoint: {error}") from None
        headers = _headers(secrets.resolve(self.headers).reveal()) if self.headers else {}
        parts = urlsplit(address)
        if headers and parts.scheme == "http" and not is_loopback(parts.hostname or ""):
            raise ProjectError("[telemetry] headers would go over the network in the clear: use https")
        return Target(address if address.endswith(TRACES) else address + TRACES, headers)


def check_telemetry(settings: TelemetrySettings, secrets: Secrets, environ: Mapping[str, str]) -> list[str]:
    """What is wrong with where traces go; nothing is sent."""
    try:
        target = settings.target(secrets, environ)
    except ProjectError as error:
        return [str(error)]
    return [NEEDED] if target is not None and not has_sdk() else []


def has_sdk() -> bool:
    """Whether what traces need is installed; nothing of it is imported."""
    try:
        return importlib.util.find_spec("opentelemetry.exporter.otlp.proto.http.trace_exporter") is not None
    except ModuleNotFoundError:
        return False


def read_telemetry(table: Mapping[str, Any]) -> TelemetrySettings:
    """The settings in `[telemetry]`. Raises `ProjectError`, naming the key and what to write instead."""
    for key, value in table.items():
        if key not in _KEYS:
            raise ProjectError(f"[telemetry] {key} is no setting{did_you_mean(key, _KEYS)}")
        if not isinstance(value, str):
            raise ProjectError(f"[telemetry] {key} must be a text")
    log = table.get("log", "error")
    if log not in LEVELS:
        hint = did_you_mean(log, LEVELS)
        raise ProjectError(f"[telemetry] log = {log!r} must be one of {', '.join(LEVELS)}{hint}")
    endpoint, headers = table.get("endpoint", ""), table.get("headers", "")
    key = "endpoint"
    try:
        if endpoint and not _VARIABLE.fullmatch(endpoint):
            check_base(endpoint)
        key = "headers"
        if headers:
            check_handle(headers)
    except ValueError as error:
        raise ProjectError(f"[telemetry] {key}: {error}") from None
    return TelemetrySettings(endpoint, headers, log)


def _headers(text: str) -> dict[str, str]:
    """`name=value,name=value`, values URL-quoted, as OTEL_EXPORTER_OTLP_HEADERS has them."""
    found = {}
    for pair in text.split(","):
        name, equals, value = pair.partition("=")
        value = unquote(value.strip())
        fits = value.isprintable() and value.isascii()
        if not equals or not fits or not _HEADER.fullmatch(name.strip()):
            raise ProjectError("[telemetry] headers: write what the handle names as name=value,name=value")
        found[name.strip()] = value
    return found
