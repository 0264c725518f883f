"""A link in a message opens its card once, for one person, and answers nothing."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import pytest
from starlette.requests import Request

from deputize.api.notify import open_link
from deputize.api.problem import Problem
from deputize.errors import ProjectError
from deputize.notify.links import BadLink, Link, Links
from deputize.town import Town
from tests.support.desk import Desk
from tests.support.fixtures import desk as desk
from tests.support.running import ShiftedClock
from tests.support.serving import SERVER, Served, serving
from tests.support.telling import ASKS, MAYA, ask_for, telling_project

NOTIFY = 'every = "5 minutes"\nconsole = "https://deputize.example.com/shop"'


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with Town.start(tmp_path_factory.mktemp("town"), customers=1) as started:
        yield started


class Told:
    """A served project, somebody who was told, and the link that they were sent."""

    def __init__(self, served: Served, clock: ShiftedClock, town: Town, run: str) -> None:
        self.served, self.clock, self.run = served, clock, run
        self.letter = town.letters()[-1]
        (self.url,) = re.findall(r"https://\S+", self.letter["text"])
        self.token = parse_qs(urlsplit(self.url).query)["k"][0]

    async def open(self, token: str = "") -> tuple[int, dict[str, object]]:
        answer = await self.served.http.get(f"/v1/links/{token or self.token}")
        return answer.status_code, answer.json()


@pytest.fixture
async def told(tmp_path: Path, desk: Desk, town: Town) -> AsyncIterator[Told]:
    clock = ShiftedClock()
    rules = ASKS.replace("20 hours", "2 hours")
    project = telling_project(tmp_path, desk, town, rules=rules, notify=NOTIFY, people=MAYA + SERVER)
    async with serving(project, clock=clock) as served:
        (run,) = await ask_for(served.app, 1)
        clock.shift_s += 301.0
        await served.app.system.notifier.turn()
        yield Told(served, clock, town, run)


async def test_a_link_opens_its_card_for_the_person_who_was_told(told: Told) -> None:
    assert told.url.startswith(f"https://deputize.example.com/shop/cards/{told.run}/1?k=")
    status, body = await told.open()
    assert status == 200
    assert (body["card"], body["kind"], body["person"]) == (f"{told.run}/1", "approval", "maya")
    # It answered nothing.
    assert told.served.app.actions(told.run)["1"].state == "asking"


async def test_a_link_opens_once(told: Told) -> None:
    assert (await told.open())[0] == 200
    status, body = await told.open()
    assert status == 410 and "opens once" in str(body["detail"])


async def test_a_link_that_was_used_stays_used_after_it_was_forgotten_by_time(told: Told) -> None:
    assert (await told.open())[0] == 200
    told.clock.shift_s += 2 * 3600.0
    assert (await told.open())[0] == 410


async def test_a_link_is_one_persons_and_nobody_elses_token_uses_it_up(told: Told) -> None:
    kim = Request({"type": "http", "state": {"speaker": SimpleNamespace(name="kim")}})
    with pytest.raises(Problem, match="this link is maya's, and not kim's") as refused:
        await open_link(kim, told.served.app.system, told.token)
    assert refused.value.status == 403
    maya = Request({"type": "http", "state": {"speaker": SimpleNamespace(name="maya")}})
    assert (await open_link(maya, told.served.app.system, told.token)).status_code == 200


async def test_a_link_ends_with_its_card(told: Told) -> None:
    app = told.served.app
    card = await app.card()
    await app.kernel.approving.approve(card.id, binding=card.body["binding"], person="maya")
    await app.label(told.run)
    status, body = await told.open()
    assert status == 410 and "is closed" in str(body["detail"])


async def test_a_link_is_good_for_as_long_as_its_card_and_no_longer(told: Told) -> None:
    told.clock.shift_s += 2 * 3600.0
    status, body = await told.open()
    assert status == 410 and "was good until" in str(body["detail"])


async def test_a_link_that_was_not_made_here_opens_nothing(told: Told, tmp_path: Path) -> None:
    said, _, signed = told.token.partition(".")
    links = told.served.app.system.links
    other = Links(tmp_path / "other", "")
    (tmp_path / "other").mkdir()
    card = await told.served.app.card()
    forged = other.token(Link(card.seq, card.id, card.body["binding"], "maya", 2**62))
    changed = links.token(Link(card.seq, card.id, card.body["binding"], "kim", 2**62)).partition(".")[0]
    for token in (
        forged,
        f"{changed}.{signed}",
        said,
        f"{said}.",
        f"{said}.{signed}A",
        "x",
        "a.b",
        "é.ü",
        "9" * 5000,
    ):
        status, body = await told.open(token)
        assert status == 403, (token, body)
        assert "maya" not in str(body)
    assert (await told.open())[0] == 200


async def test_a_card_that_asks_anew_has_links_of_its_own(told: Told) -> None:
    """The same action under another binding is another card."""
    links, card = told.served.app.system.links, await told.served.app.card()
    old = links.token(Link(card.seq, card.id, "another", "maya", 2**62))
    assert (await told.open(old))[0] == 410
    assert (await told.open(links.token(Link(card.seq + 1, card.id, card.body["binding"], "maya", 2**62))))[
        0
    ] == 410


async def test_the_channels_say_who_is_told_by_what(told: Told) -> None:
    answer = (await told.served.http.get("/v1/channels")).json()
    (email,) = answer["channels"]
    assert (email["name"], email["sent"], email["trouble"]) == ("email", 1, "")
    assert answer["people"] == {"maya": ["email"]}


def test_the_key_is_made_once_and_is_nobody_elses(tmp_path: Path) -> None:
    link = Link(1, "run/1", "b", "maya", 100)
    token = Links(tmp_path, "").token(link)
    key = tmp_path / "links.key"
    assert key.stat().st_mode & 0o777 == 0o600 and len(key.read_bytes()) == 32
    assert Links(tmp_path, "").read(token, 99) == link
    with pytest.raises(BadLink, match="was good until"):
        Links(tmp_path, "").read(token, 100)
    key.chmod(0o644)
    with pytest.raises(ProjectError, match="chmod 600"):
        Links(tmp_path, "").read(token, 99)
    key.chmod(0o600)
    key.write_bytes(b"")
    with pytest.raises(ProjectError, match="holds no key"):
        Links(tmp_path, "").read(token, 99)
