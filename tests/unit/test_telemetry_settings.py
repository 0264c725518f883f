"""The `[telemetry]` table: what is wrong in it is said with what to write instead."""

from __future__ import annotations

from pathlib import Path

import pytest

from deputize.connectors.secret import Secrets
from deputize.errors import ProjectError
from deputize.telemetry.settings import check_telemetry, has_sdk, read_telemetry

ENVIRON = {"WHERE": "https://c.example.com", "LOGIN": "x-key=a%20b,y=c", "BAD": "no equals sign"}


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"endpont": "x"}, "endpont is no setting; did you mean 'endpoint'"),
        ({"endpoint": "c.example.com"}, "is not an address"),
        ({"endpoint": "https://a:b@c.example.com"}, "must not hold a login"),
        ({"endpoint": 4318}, "endpoint must be a text"),
        ({"headers": "x-key=secret-value"}, "headers: name the secret as"),
        ({"log": "inof"}, "must be one of error, warning, info; did you mean 'info'"),
    ],
)
def test_what_is_wrong_is_said_with_what_to_write(table: dict[str, object], said: str) -> None:
    with pytest.raises(ProjectError) as raised:
        read_telemetry(table)
    assert said in str(raised.value) and "secret-value" not in str(raised.value)


@pytest.mark.parametrize(
    ("endpoint", "address"),
    [
        ("https://c.example.com", "https://c.example.com/v1/traces"),
        ("https://c.example.com/otlp/", "https://c.example.com/otlp/v1/traces"),
        ("https://c.example.com/v1/traces", "https://c.example.com/v1/traces"),
        ("env:WHERE", "https://c.example.com/v1/traces"),
    ],
)
def test_traces_go_below_the_endpoint(tmp_path: Path, endpoint: str, address: str) -> None:
    settings = read_telemetry({"endpoint": endpoint, "headers": "env:LOGIN"})
    target = settings.target(Secrets(tmp_path, ENVIRON), ENVIRON)
    assert target is not None and target.address == address
    assert target.headers == {"x-key": "a b", "y": "c"}


def test_without_an_endpoint_or_its_variable_there_is_no_target(tmp_path: Path) -> None:
    for table in ({}, {"log": "info"}, {"endpoint": "env:NOT_SET"}):
        assert read_telemetry(table).target(Secrets(tmp_path, ENVIRON), ENVIRON) is None


def test_a_login_never_goes_over_the_network_in_the_clear(tmp_path: Path) -> None:
    secrets = Secrets(tmp_path, ENVIRON)
    plain = read_telemetry({"endpoint": "http://c.example.com", "headers": "env:LOGIN"})
    assert check_telemetry(plain, secrets, ENVIRON) == [
        "[telemetry] headers would go over the network in the clear: use https"
    ]
    here = read_telemetry({"endpoint": "http://127.0.0.1:4318", "headers": "env:LOGIN"})
    assert check_telemetry(here, secrets, ENVIRON) == [] and has_sdk()
    bad = read_telemetry({"endpoint": "http://127.0.0.1:4318", "headers": "env:BAD"})
    assert "name=value,name=value" in check_telemetry(bad, secrets, ENVIRON)[0]
