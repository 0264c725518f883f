"""People in browsers: they come in by a password or a one-time link, and a session says who they are."""

from __future__ import annotations

import asyncio
import contextlib
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from deputize.api.cookies import COOKIE
from deputize.entering.entrance import NotLetIn, TooManyTries
from deputize.entering.tries import OF_PLACE
from deputize.ledger import SYSTEM
from deputize.moving.copies import mark_copy
from deputize.session import FRESH_US, IDLE_US, SESSIONS_MAX, WHOLE_US
from tests.support.browsing import PASSWORD, browser, come_in, cookie_of, key_of, log_in, speaks
from tests.support.desk import Desk
from tests.support.fixtures import desk as desk
from tests.support.project import write_project
from tests.support.running import ShiftedClock
from tests.support.serving import PEOPLE, SERVER, Served, cloudevent, serving

CODE = """
@automation(on=Ask, agent=worker)
async def one(event: Event[Ask]) -> Outcome:
    await wait_for(Word, matching={"item": event.data.item}, within=days(90))
    return done()
"""
HOUR_S, DAY_S = 3_600.0, 86_400.0


def project(tmp_path: Path, desk: Desk, toml: str = SERVER + PEOPLE) -> Path:
    return write_project(tmp_path, desk.base, CODE, toml=toml)


def said(served: Served) -> list[tuple[str, str, str]]:
    """What the system stream says of people: what, whose, and by whom."""
    entries = served.app.read(lambda view: view.entries(SYSTEM))
    told = [entry.body or {} for entry in entries if entry.type == "person"]
    return [(one["what"], one["person"], one["by"]) for one in told]


# -- coming in -------------------------------------------------------------------------------------------


async def test_whoever_knows_the_password_is_known_by_a_cookie(tmp_path: Path, desk: Desk) -> None:
    root = project(tmp_path, desk)
    async with serving(root) as served, browser(served) as first, browser(served) as second:
        assert await speaks(first) == "nobody"
        await come_in(served, first)
        answer = await log_in(second)
        told = answer.json()
        assert answer.status_code == 200 and told["person"] == "maya" and told["ends_at"].endswith("Z")
        assert await speaks(first) == await speaks(second) == "maya"
        me = (await second.get("/v1/me")).json()
        assert me["session"] == told["session"] and me["token"] is None and "admit" in me["may"]
        assert me["fresh_until"] == told["fresh_until"]
        stopped = await second.post("/v1/stops", json={"scope": "all"})
        assert stopped.status_code == 200
        (halted,) = [e.body for e in served.app.read(lambda v: v.entries(SYSTEM)) if e.type == "halted"]
        assert halted is not None and halted["person"] == "maya"
        assert said(served) == [
            ("password set", "maya", "a one-time link"),
            ("session opened", "maya", "maya"),
            ("session opened", "maya", "maya"),
        ]
        cookies = [cookie_of(first), cookie_of(second)]
    stored = b"".join(path.read_bytes() for path in (root / "data").iterdir())
    assert cookies[0] != cookies[1] and all(cookie.encode() not in stored for cookie in cookies)
    assert PASSWORD.encode() not in stored and b"$argon2id$v=19$m=65536,t=3,p=4$" in stored


async def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(tmp_path: Path, desk: Desk) -> None:
    async with serving(project(tmp_path, desk)) as served, browser(served) as http:
        await come_in(served, http)
        plain = (await log_in(http)).headers["set-cookie"]
        parts = {part.strip().lower() for part in plain.split(";")[1:]}
        assert plain.startswith(f"{COOKIE}=dps_")
        assert parts == {"httponly", "samesite=lax", "path=/", f"max-age={WHOLE_US // 1_000_000}"}
        # Where a proxy takes https off, the browser's page says what it speaks.
        host = urlsplit(str(served.http.base_url)).netloc
        secure = await http.post(
            "/v1/session",
            json={"name": "maya", "password": PASSWORD},
            headers={"origin": f"https://{host}"},
        )
        assert "secure" in secure.headers["set-cookie"].lower()
        assert secure.headers["cache-control"] == "no-store"


async def test_a_wrong_name_and_a_wrong_password_are_told_alike_and_take_as_long(
    tmp_path: Path, desk: Desk
) -> None:
    async with serving(project(tmp_path, desk)) as served, browser(served) as http:
        await come_in(served, http)
        loop = asyncio.get_running_loop()
        told, took = [], {}
        for name, password in (("maya", "not the password"), ("nobody-here", PASSWORD), ("kim", PASSWORD)):
            began = loop.time()
            answer = await log_in(http, name, password)
            took[name] = loop.time() - began
            told.append((answer.status_code, answer.json()["detail"]))
            assert "set-cookie" not in answer.headers
        assert told[0] == told[1] == told[2] and told[0][0] == 401
        assert min(took.values()) > max(took.values()) / 4


async def test_a_log_in_makes_a_new_session_and_ends_that_of_before(tmp_path: Path, desk: Desk) -> None:
    async with serving(project(tmp_path, desk)) as served, browser(served) as http:
        # What somebody else has planted is no session, and does not become one.
        planted = "dps_" + "A" * 43
        http.cookies.set(COOKIE, planted, domain="127.0.0.1", path="/")
        await come_in(served, http)
        first = cookie_of(http)
        assert first != planted
        async with browser(served) as other:
            other.cookies.set(COOKIE, planted)
            assert await speaks(other) == 401
        assert (await log_in(http)).status_code == 200
        assert cookie_of(http) != first
        async with browser(served) as old:
            old.cookies.set(COOKIE, first)
            assert await speaks(old) == 401
        assert said(served)[-2][0] == "session ended"


async def test_two_log_ins_at_once_are_two_sessions(tmp_path: Path, desk: Desk) -> None:
    async with serving(project(tmp_path, desk)) as served, browser(served) as http:
        await come_in(served, http)
        async with browser(served) as one, browser(served) as two:
            answers = await asyncio.gather(log_in(one), log_in(two))
            assert [answer.status_code for answer in answers] == [200, 200]
            assert await speaks(one) == await speaks(two) == await speaks(http) == "maya"
            assert len({cookie_of(one), cookie_of(two), cookie_of(http)}) == 3


async def test_whoever_leaves_is_nobody_and_their_other_sessions_stay(tmp_path: Path, desk: Desk) -> None:
    async with serving(project(tmp_path, desk)) as served, browser(served) as one, browser(served) as two:
        await come_in(served, one)
        await log_in(two)
        cookie = cookie_of(one)
        answer = await one.delete("/v1/session")
        assert answer.status_code == 200 and answer.json()["person"] == "maya"
        assert cookie_of(one) == "" and await speaks(one) == "nobody"
        one.cookies.set(COOKIE, cookie)
        assert await speaks(one) == 401
        again = await one.delete("/v1/session")
        assert again.status_code == 200 and "max-age=0" in again.headers["set-cookie"].lower()
        assert await speaks(two) == "maya"


async def test_so_many_sessions_at_most_and_the_longest_unused_makes_room(tmp_path: Path, desk: Desk) -> None:
    clock = ShiftedClock()
    async with serving(project(tmp_path, desk), clock=clock) as served, browser(served) as first:
        await come_in(served, first)
        kernel, proof = served.app.kernel, served.app.kernel.sessions.hash_of("maya")
        others = []
        for _ in range(SESSIONS_MAX - 1):
            clock.shift_s += 400
            others.append((await kernel.sessions.open("maya", proof=proof))[1])
        assert await speaks(first) == "maya"  # used now, so another is the longest unused
        await kernel.sessions.open("maya", proof=proof)
        assert kernel.sessions.find(others[0].encode()) is None
        assert kernel.sessions.find(others[1].encode()) is not None
        assert await speaks(first) == "maya"


# -- the end of sessions ---------------------------------------------------------------------------------


async def test_a_session_outlives_a_restart_and_ends_when_it_is_not_used(tmp_path: Path, desk: Desk) -> None:
    root, clock = project(tmp_path, desk), ShiftedClock()
    async with serving(root, clock=clock) as served, browser(served) as http:
        await come_in(served, http)
        cookie = cookie_of(http)
    for _ in range(3):
        clock.shift_s += 11 * HOUR_S
        async with serving(root, clock=clock) as served, browser(served) as http:
            http.cookies.set(COOKIE, cookie)
            assert await speaks(http) == "maya"
    async with serving(root, clock=clock) as served, browser(served) as http:
        http.cookies.set(COOKIE, cookie)
        clock.shift_s += IDLE_US / 1e6 + 1
        answer = await http.post("/v1/stops", json={"scope": "all"})
        assert answer.status_code == 401 and answer.json()["type"] == "deputize:session"
        assert "log in again" in answer.json()["detail"]
        assert served.app.kernel.parts.stops.scopes == {}
        assert (await log_in(http)).status_code == 200 and await speaks(http) == "maya"


async def test_a_session_ends_after_fourteen_days_however_much_it_is_used(tmp_path: Path, desk: Desk) -> None:
    clock = ShiftedClock()
    async with serving(project(tmp_path, desk), clock=clock) as served, browser(served) as http:
        await come_in(served, http)
        for _ in range(int(WHOLE_US / 1e6 / (11 * HOUR_S))):
            clock.shift_s += 11 * HOUR_S
            assert await speaks(http) == "maya"
        clock.shift_s += 11 * HOUR_S
        assert await speaks(http) == 401


async def test_another_password_ends_every_session(tmp_path: Path, desk: Desk) -> None:
    root = project(tmp_path, desk)
    async with (
        serving(root) as served,
        browser(served) as one,
        browser(served) as two,
        browser(served) as kim,
    ):
        await come_in(served, one)
        await come_in(served, kim, "kim")
        await log_in(two)
        wrong = {"password": "not the password", "new": "another four words"}
        assert (await one.post("/v1/session/password", json=wrong)).status_code == 401
        assert await speaks(two) == "maya"
        changed = await one.post("/v1/session/password", json=wrong | {"password": PASSWORD})
        assert changed.status_code == 200 and await speaks(one) == "maya"
        assert await speaks(two) == 401 and await speaks(kim) == "kim"
        assert (await log_in(two)).status_code == 401
        assert (await log_in(two, password="another four words")).status_code == 200
        # A link that was lost and made again sets it, too.
        async with browser(served) as three:
            await come_in(served, three, password="a third set of words")
            assert await speaks(one) == await speaks(two) == 401 and await speaks(three) == "maya"


async def test_a_password_that_is_changed_while_somebody_logs_in_lets_nobody_in_by_the_last(
    tmp_path: Path, desk: Desk
) -> None:
    async with serving(project(tmp_path, desk)) as served, browser(served) as http:
        await come_in(served, http)
        entrance, sessions = served.app.system.entrance, served.app.kernel.sessions
        checked = entrance._passwords.check

        async def slowly(kept: str, password: str) -> bool:
            fits: bool = await checked(kept, password)
            await sessions.set_password("maya", "$argon2id$another", "the tests")
            return fits

        entrance._passwords.check = slowly
        async with browser(served) as other:
            assert (await log_in(other)).status_code == 401
            assert await speaks(other) == "nobody"


async def test_whoever_is_no_longer_named_has_no_session_and_no_password_even_when_the_name_comes_back(
    tmp_path: Path, desk: Desk
) -> None:
    root = project(tmp_path, desk)
    async with serving(root) as served, browser(served) as http:
        await come_in(served, http)
        cookie = cookie_of(http)
    project(tmp_path, desk, SERVER + "[people.kim]\n")
    async with serving(root) as served, browser(served) as http:
        http.cookies.set(COOKIE, cookie)
        assert await speaks(http) == 401
    project(tmp_path, desk)
    async with serving(root) as served, browser(served) as http:
        assert (await log_in(http)).status_code == 401
        http.cookies.set(COOKIE, cookie)
        assert await speaks(http) == 401


async def test_a_restored_copy_knows_no_session_and_no_password(tmp_path: Path, desk: Desk) -> None:
    root = project(tmp_path, desk)
    async with serving(root) as served, browser(served) as http:
        await come_in(served, http)
        cookie = cookie_of(http)
    await mark_copy(root / "data" / "ledger.db", "restored", "the tests", void=True)
    async with serving(root) as served, browser(served) as http:
        assert (await log_in(http)).status_code == 401
        http.cookies.set(COOKIE, cookie)
        assert await speaks(http) == 401


async def test_the_cookie_of_another_ledger_opens_nothing_and_is_in_nobodys_way(
    tmp_path: Path, desk: Desk
) -> None:
    async with (
        serving(project(tmp_path / "one", desk)) as one,
        serving(project(tmp_path / "two", desk)) as two,
        browser(one) as mine,
        browser(two) as http,
    ):
        await come_in(one, mine)
        http.cookies.set(COOKIE, cookie_of(mine), domain="127.0.0.1", path="/")
        assert await speaks(http) == 401
        await come_in(two, http)
        assert await speaks(http) == "maya" and await speaks(mine) == "maya"
        # Browsers send all that they have; the one of this ledger is found among them.
        both = f"{COOKIE}={cookie_of(mine)}; other=1; {COOKIE}={cookie_of(http)}"
        async with browser(two, cookie=both) as third:
            assert await speaks(third) == "maya"


@pytest.mark.parametrize("kept", ["session", "token"])
async def test_what_ends_while_a_decision_is_on_its_way_decides_nothing(
    tmp_path: Path, desk: Desk, kept: str
) -> None:
    async with serving(project(tmp_path, desk)) as served, browser(served) as http:
        await come_in(served, http)
        token, secret = await served.app.kernel.tokens.issue("maya", "the tests")
        speaking = f"cookie: {COOKIE}={cookie_of(http)}"
        if kept == "token":
            speaking = f"authorization: Bearer {secret}"
        host = urlsplit(str(served.http.base_url)).netloc
        reader, writer = await asyncio.open_connection(*host.split(":"))
        body = json.dumps({"scope": "all"})
        head = f"POST /v1/stops HTTP/1.1\r\nhost: {host}\r\nsec-fetch-site: same-origin\r\n{speaking}\r\n"
        writer.write(f"{head}content-length: {len(body)}\r\nexpect: 100-continue\r\n\r\n".encode())
        # It is asked for once whoever speaks has come through the door.
        assert b"100" in await reader.readline()
        if kept == "token":
            await served.app.kernel.tokens.revoke("maya", token.id, "the tests")
        else:
            assert (await http.delete("/v1/session")).status_code == 200
        writer.write(body.encode())
        await reader.readline()
        assert b" 401 " in await reader.readline()
        writer.close()
        assert served.app.kernel.parts.stops.scopes == {}


# -- one-time links --------------------------------------------------------------------------------------


async def test_a_link_sets_a_password_once(tmp_path: Path, desk: Desk) -> None:
    async with serving(project(tmp_path, desk)) as served, browser(served) as http:
        key = key_of(served)
        assert served.app.system.entrance.look(key) == "maya"
        for password, word in (
            ("too short", "12 characters or more"),
            ("x" * 10_000, "1,000 characters at most"),
            ("mayamayamaya", "first that anyone would try"),
            ("aaaaaaaaaaaaaaaa", "first that anyone would try"),
        ):
            answer = await http.post("/v1/session/first", json={"key": key, "password": password})
            assert answer.status_code == 422 and word in answer.json()["detail"], password
        answers = await asyncio.gather(
            *(http.post("/v1/session/first", json={"key": key, "password": PASSWORD}) for _ in range(3))
        )
        assert sorted(answer.status_code for answer in answers) == [200, 410, 410]
        over = await http.post("/v1/session/first", json={"key": key, "password": PASSWORD})
        assert over.status_code == 410 and "`deputize login NAME --browser`" in over.json()["detail"]
        assert [what for what, _, _ in said(served)].count("password set") == 1


async def test_a_link_is_over_in_a_quarter_of_an_hour_and_with_the_next_one(
    tmp_path: Path, desk: Desk
) -> None:
    clock = ShiftedClock()
    root = project(tmp_path, desk)
    async with serving(root, clock=clock) as served, browser(served) as http:
        first, kims = key_of(served), key_of(served, "kim")
        second = key_of(served)

        async def use(key: str) -> int:
            answer = await http.post("/v1/session/first", json={"key": key, "password": PASSWORD})
            return answer.status_code

        assert await use(first) == 410
        clock.shift_s += 14 * 60
        assert await use(second) == 200
        clock.shift_s += 61
        assert await use(kims) == 410
        for key in ("", "dpf_" + "A" * 43, "dpf_é", "x" * 10_000):
            assert await use(key) == 410
        left = key_of(served)
    async with serving(root, clock=clock) as served, browser(served) as http:
        assert await use(left) == 410


async def test_links_are_given_by_the_operators_key_and_by_admins(tmp_path: Path, desk: Desk) -> None:
    root = project(tmp_path, desk)
    async with serving(root) as served, browser(served) as http:
        key = (root / "data" / "operator.key").read_text().strip()
        as_operator = {"authorization": f"Bearer {key}"}
        made = await served.http.post("/v1/people/kim/links", headers=as_operator)
        told = made.json()
        assert (
            made.status_code == 201 and told["path"].startswith("/first?key=dpf_") and told["minutes"] == 15
        )
        assert made.headers["cache-control"] == "no-store" and told["url"] is None
        body = {"key": told["path"].partition("=")[2], "password": PASSWORD}
        assert (await http.post("/v1/session/first", json=body)).json()["person"] == "kim"
        assert (await http.post("/v1/people/maya/links")).status_code == 403
        assert (await served.http.post("/v1/people/maya/links")).status_code == 401
        unknown = await served.http.post("/v1/people/mia/links", headers=as_operator)
        assert unknown.status_code == 404
        await served.speak_as("maya")
        assert (await served.http.post("/v1/people/ines/links")).status_code == 201


async def test_where_nobody_is_named_the_first_link_lets_the_owner_of_this_machine_in(
    tmp_path: Path, desk: Desk
) -> None:
    root = project(tmp_path, desk, SERVER)
    async with serving(root) as served, browser(served) as http:
        person, path = served.app.system.entrance.first_link()
        assert person == ""
        answer = await http.post("/v1/session/first", json={"key": path.partition("=")[2]})
        assert answer.status_code == 200 and answer.json()["person"] is None
        assert await speaks(http) == "local"
        assert (await http.get("/v1/runs")).status_code == 200
        assert (await http.post("/v1/events", json=cloudevent("1", item="a"))).status_code == 202
        for url, body in (("/v1/stops", {"scope": "all"}), ("/v1/leaving", {})):
            refused = await http.post(url, json=body)
            assert refused.status_code == 401 and "add [people.NAME]" in refused.json()["detail"]
        assert (await http.post("/v1/session/fresh", json={"password": PASSWORD})).status_code == 409
        cookie = cookie_of(http)
    project(tmp_path, desk)
    async with serving(root) as served, browser(served) as http:
        http.cookies.set(COOKIE, cookie)
        assert await speaks(http) == 401


@pytest.mark.parametrize(
    ("people", "first"),
    [
        ("[people.kim]\n[people.otto]\nroles = ['operator']\n[people.ada]\nroles = ['owner']\n", "ada"),
        ("[people.kim]\n[people.otto]\nroles = ['operator']\n[keepers]\ndefault = 'kim'\n", "kim"),
        ("[people.kim]\n[people.otto]\nroles = ['operator']\n", "otto"),
        ("[people.kim]\n[people.lea]\n", "kim"),
    ],
)
async def test_the_first_link_is_for_whoever_may_the_most_until_somebody_has_a_password(
    tmp_path: Path, desk: Desk, people: str, first: str
) -> None:
    async with serving(project(tmp_path, desk, SERVER + people)) as served, browser(served) as http:
        entrance = served.app.system.entrance
        assert entrance.first_link()[0] == first
        await come_in(served, http, first)
        assert entrance.first_link() is None


# -- fresh ---------------------------------------------------------------------------------------------------


async def test_giving_tokens_and_links_needs_a_password_just_given(tmp_path: Path, desk: Desk) -> None:
    clock = ShiftedClock()
    async with serving(project(tmp_path, desk), clock=clock) as served, browser(served) as http:
        await come_in(served, http)
        assert (await http.post("/v1/people/kim/tokens", json={})).status_code == 201
        clock.shift_s += FRESH_US / 1e6
        for path in ("/v1/people/kim/tokens", "/v1/people/kim/links"):
            answer = await http.post(path, json={})
            assert answer.status_code == 403 and answer.json()["type"] == "deputize:fresh", path
        wrong = await http.post("/v1/session/fresh", json={"password": "not the password"})
        assert wrong.status_code == 401
        fresh = await http.post("/v1/session/fresh", json={"password": PASSWORD})
        assert fresh.status_code == 200
        assert fresh.json()["fresh_until"] == (await http.get("/v1/me")).json()["fresh_until"]
        assert (await http.post("/v1/people/kim/links", json={})).status_code == 201


# -- bad input -----------------------------------------------------------------------------------------------


async def test_hostile_names_and_passwords_are_a_plain_no(tmp_path: Path, desk: Desk) -> None:
    hostile: list[tuple[Any, Any, int]] = [
        ("maya'; DROP TABLE setting; --", PASSWORD, 401),
        ("may\x00a", PASSWORD, 401),
        ("../../operator.key", PASSWORD, 401),
        ("\u202emaya", PASSWORD, 401),
        ("", "", 401),
        ("maya", "x" * 1_000, 401),
        ("maya", "x" * 10_000, 422),
        ("m" * 19_000, PASSWORD, 401),
        ("m" * 100_000, PASSWORD, 422),
        (["maya"], PASSWORD, 422),
        ("maya", {"$ne": ""}, 422),
        ("maya", None, 422),
        (None, PASSWORD, 422),
    ]
    async with serving(project(tmp_path, desk)) as served, browser(served) as http:
        await come_in(served, http)
        for name, password, status in hostile:
            answer = await http.post("/v1/session", json={"name": name, "password": password})
            assert answer.status_code in (status, 429), (name, password, answer.text)
            assert "set-cookie" not in answer.headers
        for content in (
            b'{"name": "m\xe4ya", "password": "x"}',
            b"name=maya&password=x",
            b"[]",
            b'{"name": ',
        ):
            answer = await http.post("/v1/session", content=content)
            assert answer.status_code == 400 and answer.headers["content-type"] == "application/problem+json"
        lone = await http.post(
            "/v1/session", content=b'{"name": "maya", "password": "\\ud800 and more words"}'
        )
        assert lone.status_code in (400, 422)
        assert len(said(served)) == 2


async def test_a_password_is_one_however_the_keyboard_writes_it(tmp_path: Path, desk: Desk) -> None:
    composed, apart = "caf\u00e9 au lait, s'il", "cafe\u0301 au lait, s'il"
    async with serving(project(tmp_path, desk)) as served, browser(served) as http:
        await come_in(served, http, password=composed)
        assert (await log_in(http, password=apart)).status_code == 200


@pytest.mark.parametrize(
    "sent",
    [
        b"deputize_session=",
        b"deputize_session",
        b"deputize_session=\xff\xfe\x80",
        b"deputize_session=dps_" + b"A" * 20_000,
        b"; ; deputize_session=x; =; deputize_session==;",
        b"x=deputize_session=dps_" + b"A" * 43,
        b"deputize_session=" + b"; deputize_session=".join(b"dps_%043d" % n for n in range(100)),
    ],
)
async def test_a_cookie_that_is_none_of_ours_opens_nothing(tmp_path: Path, desk: Desk, sent: bytes) -> None:
    async with serving(project(tmp_path, desk)) as served, browser(served) as http:
        headers = [(b"cookie", sent), (b"sec-fetch-site", b"same-origin")]
        answer = await http.post("/v1/stops", json={"scope": "all"}, headers=headers)
        assert answer.status_code == 401
        assert served.app.kernel.parts.stops.scopes == {}


async def test_what_is_written_as_a_session_or_a_link_is_taken_out_of_what_is_kept(
    tmp_path: Path, desk: Desk
) -> None:
    async with serving(project(tmp_path, desk)) as served, browser(served) as http:
        await come_in(served, http)
        cookie, key = cookie_of(http), key_of(served, "kim")
        await served.send("1", item=f"{cookie} {key}")
        told = (await served.http.get("/v1/events")).text
        assert cookie not in told and key not in told and "[secret token] [secret token]" in told


async def test_a_session_is_for_people_alone(tmp_path: Path, desk: Desk) -> None:
    async with serving(project(tmp_path, desk)) as served:
        for path in ("/v1/session/fresh", "/v1/session/password"):
            answer = await served.http.post(path, json={"password": PASSWORD, "new": PASSWORD})
            assert answer.status_code == 401, path
        await served.speak_as("maya")
        for path in ("/v1/session/fresh", "/v1/session/password"):
            answer = await served.http.post(path, json={"password": PASSWORD, "new": PASSWORD})
            assert answer.status_code == 409 and "a token is asked for none" in answer.json()["detail"]


async def test_one_address_with_made_up_names_locks_out_nobody_at_another(tmp_path: Path, desk: Desk) -> None:
    async with serving(project(tmp_path, desk)) as served, browser(served) as http:
        await come_in(served, http)
        entrance = served.app.system.entrance
        with pytest.raises(TooManyTries):
            for number in range(OF_PLACE.at_once + 1):
                with contextlib.suppress(NotLetIn):
                    await entrance.open(f"nobody-{number}", PASSWORD, place="192.0.2.1")
        opened = await entrance.open("maya", PASSWORD, place="192.0.2.2")
        assert opened.session.person == "maya"
