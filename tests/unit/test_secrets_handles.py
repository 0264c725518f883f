"""Secrets are handles: they resolve with care and never show what they hold."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest

from deputize.connectors.secret import Secret, Secrets
from deputize.errors import ProjectError

CANARY = "sk_canary-7Qw!x"


def write(path: Path, data: bytes, mode: int = 0o600) -> Path:
    path.write_bytes(data)
    path.chmod(mode)
    return path


def test_a_handle_names_a_variable_or_a_private_file(tmp_path: Path) -> None:
    write(tmp_path / "token", CANARY.encode() + b"\n")
    secrets = Secrets(tmp_path, {"TOKEN": "other-canary"})
    assert secrets.resolve("file:token").reveal() == CANARY
    assert secrets.resolve("env:TOKEN").reveal() == "other-canary"
    assert secrets.resolve("env:TOKEN") is secrets.resolve("env:TOKEN")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o700, 0o666])
def test_a_file_open_to_others_is_refused_with_the_command_that_helps(tmp_path: Path, mode: int) -> None:
    path = write(tmp_path / "token", CANARY.encode(), mode)
    with pytest.raises(ProjectError) as caught:
        Secrets(tmp_path, {}).resolve("file:token")
    assert f"chmod 600 {path}" in str(caught.value) and CANARY not in str(caught.value)


def test_a_file_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "token", CANARY.encode())
    mine = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: mine + 1)
    with pytest.raises(ProjectError, match="belongs to another user"):
        Secrets(tmp_path, {}).resolve("file:token")


def test_what_is_no_readable_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    (tmp_path / "folder").mkdir(mode=0o600)
    write(tmp_path / "binary", b"\xff\xfe" * 10)
    write(tmp_path / "long", b"x" * 70_000)
    for name in ("pipe", "folder", "binary", "long", "missing"):
        with pytest.raises(ProjectError, match=f"file:{name}"):
            Secrets(tmp_path, {}).resolve(f"file:{name}")


@pytest.mark.parametrize("value", ["", "short", "1234567890", "-12.5e+7", "two\nlines", "nul\x00byte"])
def test_values_that_cannot_be_scrubbed_safely_are_refused_and_not_repeated(value: str) -> None:
    with pytest.raises(ProjectError, match="env:TOKEN") as caught:
        Secrets(Path(), {"TOKEN": value}).resolve("env:TOKEN")
    assert not value or value not in str(caught.value)


@pytest.mark.parametrize("handle", [CANARY, "env:A B", "file:a\nb", "http://x", "hunter22"])
def test_a_secret_in_place_of_a_handle_is_refused_and_not_repeated(handle: str) -> None:
    with pytest.raises(ProjectError, match="never write the secret itself") as caught:
        Secrets(Path(), {}).resolve(handle)
    assert handle not in str(caught.value)


def test_a_secret_shows_its_name_and_refuses_to_be_pickled() -> None:
    secrets = Secrets(Path(), {"TOKEN": CANARY})
    secret = secrets.resolve("env:TOKEN")
    for shown in (repr(secret), str(secret), f"{secret}", repr(secrets), str(secrets), repr([secret])):
        assert CANARY not in shown and "TOKEN" in shown
    for thing in (secret, secrets):
        with pytest.raises(TypeError, match="pickled"):
            pickle.dumps(thing)
    assert not hasattr(Secret("env:A", "b"), "__dict__")
