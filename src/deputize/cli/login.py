"""Who commands in this folder speak for: the token that `deputize login` keeps, and whoever gives tokens."""

from __future__ import annotations

import getpass
import json
import sys
from dataclasses import asdict, dataclass
from typing import Any

from deputize.api.operator import FILE as KEY_FILE
from deputize.api.operator import read_operator_key
from deputize.api.private import write_private
from deputize.cli.here import USAGE, Here, Said
from deputize.cli.process import LOGIN, Problem, Process, login_of, need_process
from deputize.errors import ProjectError
from deputize.token import is_one

TOKEN_CHARS_MAX = 200


@dataclass(frozen=True)
class Login:
    """A person's token, kept for later commands. `id` is empty where it was made elsewhere."""

    person: str
    id: str
    token: str


def log_in(here: Here, name: str, given: str) -> Login:
    """Keep a token of a person's: a new one, or the one on standard input. Raises `Said`."""
    if given and given != "-":
        said = "others can see what is on a command line: --token - reads it from standard input"
        raise Said(said, USAGE)
    process = need_process(here)
    before = kept(here)
    if given:
        login = Login(name, "", _read_token())
        process = Process(process.url, login.token)
        me = process.get("v1", "me")
        if (me["person"] or {}).get("name") != name:
            raise Said(f"this is no token of {name}'s")
    else:
        process = Process(process.url, _operator(here))
        made = process.post("v1", "people", name, "tokens", body={"for": "commands"})
        login = Login(made["person"], made["id"], made["token"])
    write_private(here.settings.data / LOGIN, json.dumps(asdict(login)))
    _end(process, before)
    return login


def first_link(here: Here, name: str, given: str) -> dict[str, Any]:
    """A one-time link for a person to come in by a browser. Raises `Said`."""
    if given:
        raise Said("--browser and --token are two ways to log in: choose one", USAGE)
    process = token_giver(here)
    made: dict[str, Any] = process.post("v1", "people", name, "links")
    return made | {"url": made["url"] or process.url + made["path"]}


def log_out(here: Here) -> tuple[Login | None, bool]:
    """Forget the token that is kept; it ends, too, where `log_in` made it and the process can be told."""
    before = kept(here)
    (here.settings.data / LOGIN).unlink(missing_ok=True)
    if before is None or not before.id:
        return before, False
    try:
        return before, _end(Process(need_process(here).url, before.token), before)
    except Said:
        return before, False


def token_giver(here: Here) -> Process:
    """The process, spoken to by the operator's key, or else by whoever is logged in. Raises `Said`."""
    process = need_process(here)
    try:
        return Process(process.url, read_operator_key(here.settings.data))
    except ProjectError:
        return process


def kept(here: Here) -> Login | None:
    """Who is logged in here."""
    found = login_of(here.settings.data)
    return Login(**found) if found is not None else None


def _operator(here: Here) -> str:
    try:
        return read_operator_key(here.settings.data)
    except ProjectError as error:
        told = f"{error}. Whoever may read {KEY_FILE} runs `deputize token NAME`; then"
        raise Said(f"{told} `deputize login NAME --token -` takes it") from None


def _end(process: Process, login: Login | None) -> bool:
    """Take back a token that nobody has any more."""
    if login is None or not login.id:
        return False
    try:
        process.delete("v1", "people", login.person, "tokens", login.id)
    except Problem:
        return False  # it is nobody's already
    return True


def _read_token() -> str:
    text = getpass.getpass("Token: ") if sys.stdin.isatty() else sys.stdin.readline(TOKEN_CHARS_MAX)
    if not is_one(text.strip()):
        raise Said("what came on standard input is no token: it begins with dpt_", USAGE)
    return text.strip()
