"""Connections for people: what each can do, where it is (never how to log in), and whether it is there."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

from deputize.cli.here import Here, Said
from deputize.cli.process import find_process
from deputize.cli.says import progress
from deputize.config import Settings

REACH_S_MAX = 3.0
AT_ONCE = 16
CHECK_S_MAX = 60.0


def described(here: Here) -> list[dict[str, Any]]:
    """Every connector with its operations' contracts: the running process's, else those on disk.

    Raises `Said` where the project does not import.
    """
    process = find_process(here)
    if process is not None:
        found: list[dict[str, Any]] = process.get("v1", "connectors")["connectors"]
    else:
        found = _on_disk(here)
    with progress("reaching the services"):
        reached = reach(here.settings)
    for one in found:
        base, says = reached.get(one["name"], (None, ""))
        one |= {"base": base, "reachable": says, "said": _circuit(one.get("circuit"))}
        for operation in one["operations"]:
            operation["terms"] = _terms(operation)
    return found


def reach(settings: Settings) -> dict[str, tuple[str | None, str]]:
    """By connector: its base address, and `yes` or why it cannot be reached (empty without an address)."""
    tables = settings.connectors
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = pool.map(lambda name: _reach(settings, name), tables)
        return dict(zip(tables, found, strict=True))


def _reach(settings: Settings, name: str) -> tuple[str | None, str]:
    try:
        base = settings.connectors[name].address(settings.environ)
    except ValueError as error:
        return None, str(error)
    if base is None:
        return None, ""
    parts = urlsplit(base)
    secure = parts.scheme == "https"
    place = (parts.hostname or "", parts.port or (443 if secure else 80))
    try:
        # A connection and no request: nothing is sent with a credential, and no service counts it.
        with socket.create_connection(place, timeout=REACH_S_MAX) as plain:
            if secure:
                with ssl.create_default_context().wrap_socket(plain, server_hostname=place[0]):
                    pass
    except (OSError, ValueError) as error:
        return base, f"no: {getattr(error, 'strerror', None) or error}"
    return base, "yes"


def _on_disk(here: Here) -> list[dict[str, Any]]:
    from deputize.cli.checking import check_project

    report = check_project(here.root, CHECK_S_MAX, code_only=True)
    if not report["ok"]:
        raise Said("\n".join(report["problems"]))
    found: list[dict[str, Any]] = report["connectors"]
    return found


def _circuit(circuit: Mapping[str, Any] | None) -> str:
    """How a connector's circuit stands; nothing runs where it has none."""
    if circuit is None:
        return "not running"
    if circuit["state"] == "closed":
        return "closed"
    waits = f", {circuit['waiting']} wait" if circuit["waiting"] else ""
    return f"open: {circuit['failures']} of {circuit['calls']} calls failed{waits}"


def _terms(operation: Mapping[str, Any]) -> str:
    """What matters when its outcome is not known, in a few words."""
    terms = [f"{operation['timeout_s']:g} s"]
    if operation["effect"] == "write":
        if operation["key_valid_s"]:
            terms.append(f"key for {operation['key_valid_s'] / 3600:g} h")
        if operation["lookup"]:
            terms.append("conclusive look-up" if operation["lookup_conclusive"] else "look-up")
        if operation["repeatable"]:
            terms.append("repeatable")
    if operation["price_usd_micros"]:
        terms.append(f"{operation['price_usd_micros'] / 1e6:g} USD")
    return ", ".join(terms)
