"""`[connectors.NAME]` tables: mistakes are named, and logins go where they should."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from deputize.connectors.connections import Connections
from deputize.connectors.secret import Secrets
from deputize.connectors.settings import check_base, read_connectors
from deputize.errors import ProjectError
from tests.unit.http_raw_server import http, serving

BASE = "https://api.example.com"


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"bse": BASE}, "did you mean 'base'"),
        ({"base": BASE, "header": {"name": "X-Key", "valu": "env:A"}}, "did you mean 'value'"),
        ({"base": "ftp://x"}, "is not an address"),
        ({"base": "https://"}, "is not an address"),
        ({"base": "https://x:99999"}, "is not an address"),
        ({"base": "https://user:hunter22@x"}, "must not hold a login"),
        ({"base": "https://x/a?b=c"}, "without query"),
        ({"base": "https://x/a/../b"}, "without query"),
        ({"base": 7}, "string"),
        ({"base": BASE, "token": "hunter22-in-the-clear"}, "never write the secret itself"),
        (
            {"base": BASE, "token": "env:A", "basic": {"user": "u", "password": "env:B"}},
            "one of token and basic",
        ),
        ({"token": "env:A"}, "needs a base"),
        ({"base": BASE, "concurrent_max": 0}, "greater than or equal to 1"),
        ({"base": BASE, "concurrent_max": "20"}, "integer"),
        ({"base": BASE, "per_second_max": 0}, "greater than 0"),
        ({"base": BASE, "idempotency_header": "a b"}, "header"),
        ({"base": BASE, "header": {"name": "Host", "value": "env:A"}}, "header"),
        ("no table", "valid"),
    ],
)
def test_a_mistake_is_refused_with_its_table_and_a_remedy(table: Any, says: str) -> None:
    with pytest.raises(ProjectError, match=r"deputize.toml: \[connectors.payments\]") as caught:
        read_connectors({"payments": table})
    assert says in str(caught.value)
    assert "hunter22" not in str(caught.value)


def test_the_name_of_a_connector_is_checked() -> None:
    with pytest.raises(ProjectError, match="a-z"):
        read_connectors({"My Payments": {}})


def test_defaults_suit_most_services() -> None:
    settings = read_connectors({"payments": {"base": BASE}, "files": {}})
    assert settings["payments"].concurrent_max == 20
    assert settings["payments"].per_second_max is None
    assert settings["payments"].idempotency_header == "Idempotency-Key"
    assert settings["files"].base is None


@pytest.mark.parametrize(
    "base", ["http://127.0.0.1:8080", "http://[::1]:8080/v1/", "https://api.example.com/v1/"]
)
def test_ordinary_base_addresses_are_taken(base: str) -> None:
    assert check_base(base) == base.rstrip("/")


def connections(tables: dict[str, Any], environ: dict[str, str], root: Path = Path()) -> Connections:
    return Connections(read_connectors(tables), Secrets(root, environ), environ)


def test_a_base_address_may_come_from_the_environment() -> None:
    tables = {"shop": {"base": "env:SHOP_URL"}}
    line = connections(tables, {"SHOP_URL": "http://127.0.0.1:81/"}).get("shop")
    assert line is not None and str(line.base) == "http://127.0.0.1:81"
    with pytest.raises(ProjectError, match=r"\[connectors.shop\].*SHOP_URL is not set"):
        connections(tables, {})
    with pytest.raises(ProjectError, match="is not an address"):
        connections(tables, {"SHOP_URL": "file:///etc"})


def test_a_connector_without_an_address_has_no_connection() -> None:
    assert connections({"files": {}}, {}).get("files") is None
    assert connections({}, {}).get("nobody") is None


def test_a_missing_secret_names_its_connector() -> None:
    with pytest.raises(ProjectError, match=r"\[connectors.shop\].*env:SHOP_TOKEN is not set"):
        connections({"shop": {"base": BASE, "token": "env:SHOP_TOKEN"}}, {})


@pytest.mark.parametrize(
    ("login", "name", "value"),
    [
        ({"token": "env:CANARY"}, "authorization", "Bearer tok-canary"),
        ({"header": {"name": "X-Api-Key", "value": "env:CANARY"}}, "x-api-key", "tok-canary"),
        (
            {"basic": {"user": "maya", "password": "env:CANARY"}},
            "authorization",
            "Basic " + base64.b64encode(b"maya:tok-canary").decode(),
        ),
    ],
)
async def test_the_login_is_in_the_request_and_in_nothing_else(
    login: dict[str, Any], name: str, value: str
) -> None:
    async with serving(http(200)) as server:
        environ = {"CANARY": "tok-canary"}
        all_ = connections({"shop": {"base": server.base, **login}}, environ)
        line = all_.get("shop")
        assert line is not None
        await line.send("GET", b"/x", None, {}, timeout_s=5, on_sending=lambda: None)
        await all_.aclose()
    assert server.seen[0].headers[name] == value
    assert "canary" not in repr(line) and "canary" not in repr(all_.settings)
