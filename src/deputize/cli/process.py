"""The process that runs a project: found by its own note in the data folder, spoken to over HTTP."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx2

from deputize.cli.here import UNREACHABLE, USAGE, Here, Said
from deputize.config import PERSON_TOKEN
from deputize.store.sqlite.offline import owner_of
from deputize.token import is_one

if TYPE_CHECKING:
    from deputize.config import Settings

NOTE = "server.json"
LOGIN = "login"
ANSWER_S_MAX = 30.0
STARTING_S_MAX = 10.0
"""How long a process that has the ledger may take until it serves."""
LOOK_EVERY_S = 0.1
LONG_S_MAX = 3_600.0
"""For work over the whole ledger (a backup, a verification)."""

NOT_RUNNING = "no process runs here; start it with `deputize up`"


class Problem(Said):
    """The process says no. `status` is HTTP's."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


class Process:
    """One running project. Every call raises `Problem` for a no, `Said` where it cannot be reached."""

    def __init__(self, url: str, token: str | None) -> None:
        self.url = url
        headers = {"authorization": f"Bearer {token}"} if token else {}
        self._client = httpx2.Client(base_url=url, headers=headers, timeout=ANSWER_S_MAX, trust_env=False)

    def with_token(self, token: str) -> Process:
        """The same process, spoken to by another token."""
        return Process(self.url, token)

    def get(self, *path: str, **query: Any) -> Any:
        """What there is at a path; its parts may hold anything."""
        return self._call("GET", path, params={k: v for k, v in query.items() if v not in (None, "", ())})

    def post(self, *path: str, body: Mapping[str, Any] | None = None, long: bool = False) -> Any:
        """Ask for something to be done."""
        timeout_s = LONG_S_MAX if long else ANSWER_S_MAX
        return self._call("POST", path, json=dict(body or {}), timeout=timeout_s)

    def delete(self, *path: str, **query: str) -> Any:
        """Take something back."""
        return self._call("DELETE", path, params=query)

    def send(self, event: Mapping[str, Any]) -> Any:
        """One CloudEvent."""
        content = json.dumps(event).encode()
        kind = {"content-type": "application/cloudevents+json"}
        return self._call("POST", ("v1", "events"), content=content, headers=kind)

    def _call(self, method: str, path: tuple[str, ...], **options: Any) -> Any:
        target = "/" + "/".join(quote(part, safe="") for part in path)
        try:
            answer = self._client.request(method, target, **options)
        except httpx2.TimeoutException:
            raise Said(
                f"{self.url} does not answer in time; it may be busy: try again", UNREACHABLE
            ) from None
        except httpx2.RequestError as error:
            raise Said(f"{self.url} cannot be reached ({error}); try again", UNREACHABLE) from None
        if answer.is_success:
            return answer.json() if answer.content else {}
        raise Problem(answer.status_code, _detail(answer))


def find_process(here: Here) -> Process | None:
    """The process that runs this project, or None. A note that a killed process left is no process:
    its port may be another project's by now."""
    url = address_of(here)
    return Process(url, _token(here.settings)) if url is not None else None


def address_of(here: Here) -> str | None:
    """Where the process that runs this project is; None where none does."""
    note = _note(here.settings.data / NOTE, "url")
    if note is None or owner_of(here.settings.ledger) != str(note.get("pid")):
        return None
    return str(note["url"])


def need_process(here: Here) -> Process:
    """The process that runs this project; one that is starting is waited for. Raises `Said`."""
    until = time.monotonic() + STARTING_S_MAX
    while (process := find_process(here)) is None:
        owner = owner_of(here.settings.ledger)
        if owner is None:
            raise Said(NOT_RUNNING, UNREACHABLE)
        if time.monotonic() >= until:
            said = f"the process {owner} has the ledger and does not serve (yet); try again, or stop it"
            raise Said(said, UNREACHABLE)
        time.sleep(LOOK_EVERY_S)
    return process


def _note(path: Path, holding: str) -> dict[str, Any] | None:
    try:
        note = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return note if isinstance(note, dict) and isinstance(note.get(holding), str) else None


def login_of(data: Path) -> dict[str, str] | None:
    """What `deputize login` has kept in a data folder: person, id and token."""
    found = _note(data / LOGIN, "token")
    whole = found is not None and found.keys() == {"person", "id", "token"} and is_one(found["token"])
    return found if whole else None


def _token(settings: Settings) -> str | None:
    """By what commands speak: a person's token, where there is one, is good for all that the project's is."""
    if settings.person_token:
        if not is_one(settings.person_token):
            raise Said(f"{PERSON_TOKEN} holds no token: it begins with dpt_", USAGE)
        return settings.person_token
    login = login_of(settings.data)
    if login is not None:
        return login["token"]
    if settings.token is None:
        return None
    from deputize.connectors.secret import Secrets

    return Secrets(settings.root, settings.environ).resolve(settings.token).reveal()


def _detail(answer: httpx2.Response) -> str:
    try:
        body = answer.json()
    except ValueError:
        body = None
    detail = body.get("detail") if isinstance(body, dict) else None
    if not isinstance(detail, str):
        detail = f"the process answered {answer.status_code} {answer.reason_phrase}"
    return detail
