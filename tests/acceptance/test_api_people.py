"""Who speaks: tokens are given, known, taken back and never kept; whoever decides is a person."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import socket
import stat
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest

from deputize.api.operator import operator_key
from deputize.errors import ProjectError
from deputize.kernel.tokens import TOKENS_MAX
from deputize.ledger import SYSTEM
from tests.support.desk import Desk
from tests.support.fixtures import desk as desk
from tests.support.project import PERMIT, write_project
from tests.support.serving import PEOPLE, SERVER, Served, child, cloudevent, serving

WAITS = """
@automation(on=Ask, agent=worker)
async def one(event: Event[Ask]) -> Outcome:
    await wait_for(Word, matching={"item": event.data.item}, within=days(30))
    return done()
"""
DECISIONS = (
    ("POST", "/v1/inbox/{run}/1/answer", {"kind": "did_not"}),
    ("POST", "/v1/runs/{run}/cancel", {}),
    ("POST", "/v1/stops", {"scope": "all"}),
    ("DELETE", "/v1/stops/all", None),
)
SPOKEN = "API_TOKEN"
TOKEN = "a-token-of-this-test"


def project(tmp_path: Path, desk: Desk, toml: str = SERVER + PEOPLE, rules: str = PERMIT) -> Path:
    return write_project(tmp_path, desk.base, WAITS, toml=toml, rules=rules)


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def key_of(root: Path) -> str:
    return (root / "data" / "operator.key").read_text().strip()


async def give(served: Served, root: Path, name: str = "maya") -> dict[str, Any]:
    made = await served.http.post(f"/v1/people/{name}/tokens", headers=bearer(key_of(root)))
    assert made.status_code == 201, made.text
    found: dict[str, Any] = made.json()
    return found


async def me(served: Served, token: str) -> Any:
    answer = await served.http.get("/v1/me", headers=bearer(token))
    return answer.json()["person"]["name"] if answer.status_code == 200 else answer.status_code


def said(served: Served) -> list[dict[str, Any]]:
    """What the system stream says of people."""
    entries = served.app.read(lambda view: view.entries(SYSTEM))
    return [dict(entry.body or {}) for entry in entries if entry.type == "person"]


# -- tokens ----------------------------------------------------------------------------------------------


async def test_a_token_is_shown_once_and_kept_as_its_digest_alone(tmp_path: Path, desk: Desk) -> None:
    root = project(tmp_path, desk)
    async with serving(root) as served:
        made = await give(served, root)
        assert re.fullmatch(r"dpt_[A-Za-z0-9_-]{43}", made["token"]) and made["person"] == "maya"
        assert re.fullmatch("[0-9a-f]{8}", made["id"])
        assert await me(served, made["token"]) == "maya"
        told = (await served.http.get("/v1/people")).text + (await served.http.get("/v1/entries")).text
        assert made["id"] in told and made["token"] not in told
        by = {"what": "token issued", "person": "maya", "token": made["id"], "by": "the operator's key"}
        assert said(served) == [by]
        digest = hashlib.sha256(made["token"].encode()).hexdigest()
        kept = await served.app.system.store.write(lambda tx: tx.settings("token:"))
        assert list(kept) == [f"token:{digest}"] and json.loads(kept[f"token:{digest}"])["person"] == "maya"
    stored = b"".join(path.read_bytes() for path in (root / "data").iterdir() if path.name != "operator.key")
    assert made["token"].encode() not in stored and key_of(root).encode() not in stored


async def test_a_token_outlives_a_restart_and_ends_when_it_is_taken_back(tmp_path: Path, desk: Desk) -> None:
    root = project(tmp_path, desk)
    async with serving(root) as served:
        first, second = await give(served, root), await give(served, root)
    async with serving(root) as served:
        assert await me(served, first["token"]) == await me(served, second["token"]) == "maya"
        path = f"/v1/people/maya/tokens/{first['id']}"
        assert (await served.http.delete(path, headers=bearer(key_of(root)))).status_code == 200
        assert await me(served, first["token"]) == 401
        assert await me(served, second["token"]) == "maya"
        assert said(served)[-1] | {"by": ""} == {
            "what": "token revoked",
            "person": "maya",
            "token": first["id"],
            "by": "",
        }
        gone = await served.http.delete(path, headers=bearer(key_of(root)))
        assert gone.status_code == 404 and "has no token" in gone.json()["detail"]
    async with serving(root) as served:
        assert await me(served, first["token"]) == 401


async def test_whoever_is_no_longer_named_has_no_token_even_when_the_name_comes_back(
    tmp_path: Path, desk: Desk
) -> None:
    root = project(tmp_path, desk)
    async with serving(root) as served:
        token = (await give(served, root))["token"]
    project(tmp_path, desk, SERVER + "[people.kim]\n")
    async with serving(root) as served:
        assert await me(served, token) == 401
        stopped = await served.http.post("/v1/stops", json={"scope": "all"}, headers=bearer(token))
        assert stopped.status_code == 401
        assert said(served)[-1]["what"] == "token revoked" and said(served)[-1]["by"] == "deputize.toml"
    project(tmp_path, desk)
    async with serving(root) as served:
        assert await me(served, token) == 401


async def test_a_person_has_so_many_tokens_at_most(tmp_path: Path, desk: Desk) -> None:
    root = project(tmp_path, desk)
    async with serving(root) as served:
        made = await asyncio.gather(*(give(served, root) for _ in range(TOKENS_MAX)))
        assert len({one["token"] for one in made}) == len({one["id"] for one in made}) == TOKENS_MAX
        more = await served.http.post("/v1/people/maya/tokens", headers=bearer(key_of(root)))
        assert more.status_code == 409 and "revoke one" in more.json()["detail"]
        await give(served, root, "kim")


async def test_a_token_is_known_though_whoever_asked_for_it_has_gone_away(tmp_path: Path, desk: Desk) -> None:
    async with serving(project(tmp_path, desk)) as served:
        tokens = served.app.kernel.tokens
        task = asyncio.ensure_future(tokens.issue("maya", "the tests"))
        await asyncio.sleep(0)
        task.cancel()
        await served.app.until(lambda view: any(e.type == "person" for e in view.entries(SYSTEM)))
        await asyncio.sleep(0)
        assert len(tokens.of("maya")) == 1


# -- the operator's key ----------------------------------------------------------------------------------


async def test_the_operators_key_is_made_once_and_is_its_users_alone(tmp_path: Path, desk: Desk) -> None:
    root = project(tmp_path, desk)
    async with serving(root):
        key = key_of(root)
        path = root / "data" / "operator.key"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600 and re.fullmatch("dpo_[A-Za-z0-9_-]{43}", key)
    async with serving(root):
        assert key_of(root) == key
    path.chmod(0o640)
    with pytest.raises(ProjectError, match="open to others"):
        async with serving(root):
            pass
    path.chmod(0o600)
    path.write_text("")
    with pytest.raises(ProjectError, match="holds no key: remove it"):
        operator_key(root / "data")


async def test_the_operators_key_gives_tokens_and_decides_nothing(tmp_path: Path, desk: Desk) -> None:
    root = project(tmp_path, desk)
    async with serving(root) as served:
        run = await served.send("1", item="a")
        key = bearer(key_of(root))
        for method, path, body in (
            *DECISIONS,
            ("POST", "/v1/events", cloudevent("2")),
            ("POST", "/v1/erase", {}),
        ):
            answer = await served.http.request(method, path.format(run=run), json=body, headers=key)
            assert answer.status_code == 401, path
            assert "gives people their tokens, and decides nothing" in answer.json()["detail"]
        assert (await served.http.get("/v1/runs", headers=key)).status_code == 200
        assert (await served.http.get("/v1/me", headers=key)).json()["kind"] == "operator"
        assert served.app.read(lambda view: view.counts())["events"] == 1


async def test_an_owner_gives_tokens_and_others_take_back_their_own(tmp_path: Path, desk: Desk) -> None:
    async with serving(project(tmp_path, desk)) as served:
        owner, kim = bearer(await served.token("maya")), bearer(await served.token("kim"))
        made = await served.http.post("/v1/people/ines/tokens", headers=owner)
        assert made.status_code == 201 and said(served)[-1]["by"] == "maya"
        for name in ("kim", "ines"):
            refused = await served.http.post(f"/v1/people/{name}/tokens", headers=kim)
            assert (
                refused.status_code == 403
                and "only an admin may give people their tokens" in refused.json()["detail"]
            )
        others = f"/v1/people/ines/tokens/{made.json()['id']}"
        assert (await served.http.delete(others, headers=kim)).status_code == 403
        assert (await served.http.delete(others)).status_code == 401
        own = (await served.http.get("/v1/me", headers=kim)).json()["token"]
        assert (await served.http.delete(f"/v1/people/kim/tokens/{own}", headers=kim)).status_code == 200
        assert (await served.http.get("/v1/me", headers=kim)).status_code == 401
        assert (await served.http.delete(others, headers=owner)).status_code == 200
        nobody = await served.http.post("/v1/people/ines/tokens")
        assert nobody.status_code == 401 and "operator.key" in nobody.json()["detail"]
        unknown = await served.http.post("/v1/people/ine/tokens", headers=owner)
        assert unknown.status_code == 404 and "did you mean 'ines'?" in unknown.json()["detail"]


async def test_people_are_listed_with_what_they_keep_and_no_address(tmp_path: Path, desk: Desk) -> None:
    toml = SERVER + PEOPLE + '[keepers]\none = "kim"\ndefault = "maya"\n'
    async with serving(project(tmp_path, desk, toml)) as served:
        await served.token("kim")
        found = (await served.http.get("/v1/people")).json()["people"]
        assert [(one["name"], one["shown"], one["keeps"], len(one["tokens"])) for one in found] == [
            ("ines", "ines", [], 0),
            ("kim", "kim", ["one"], 1),
            ("maya", "Maya", ["default"], 0),
        ]
        assert (found[2]["roles"], found[1]["groups"]) == (["finance", "owner"], ["shop-floor"])
        assert [one["role"] for one in found] == ["approver", "operator", "admin"]
        assert found[1]["tokens"][0].keys() == {
            "id",
            "at",
            "scope",
            "ends_at",
            "for",
        } and "@" not in json.dumps(found)
        told = (await served.http.get("/v1/me")).json()
        assert (told["kind"], told["person"], told["token"]) == ("nobody", None, None)
        assert (told["session"], told["role"], told["may"]) == (None, None, ["read", "send", "keep"])


# -- the door --------------------------------------------------------------------------------------------


async def test_nobody_and_the_project_read_and_send_and_decide_nothing(
    tmp_path: Path, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SPOKEN, TOKEN)
    for number, (toml, headers) in enumerate(
        ((SERVER, {}), (SERVER + f'token = "env:{SPOKEN}"\n', bearer(TOKEN)))
    ):
        async with serving(project(tmp_path / str(number), desk, toml + PEOPLE), headers) as served:
            run = await served.send("1", item="a")
            await served.app.state(run, "waiting")
            for method, path, body in DECISIONS:
                answer = await served.http.request(method, path.format(run=run), json=body)
                assert answer.status_code == 401, path
                detail = answer.json()["detail"]
                assert "only a person may do this: `deputize login NAME`" in detail
            assert served.app.run(run).state == "waiting"
            assert served.app.kernel.parts.stops.scopes == {}


async def test_a_persons_token_is_good_for_all_that_the_projects_is(
    tmp_path: Path, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SPOKEN, TOKEN)
    root = project(tmp_path, desk, SERVER + f'token = "env:{SPOKEN}"\n' + PEOPLE)
    async with serving(root) as served:
        assert (await served.http.get("/v1/runs")).status_code == 401
        await served.speak_as("kim")
        run = await served.send("1", item="a")
        assert (await served.http.get("/metrics")).status_code == 200
        assert (await served.http.post("/v1/stops", json={"scope": f"run:{run}"})).status_code == 200
        (halted,) = [e.body for e in served.app.read(lambda v: v.entries(SYSTEM)) if e.type == "halted"]
        assert halted is not None and halted["person"] == "kim"
        assert (await served.http.delete(f"/v1/stops/run:{run}")).status_code == 200
        assert (await served.http.post(f"/v1/runs/{run}/cancel", json={})).status_code == 202


async def test_where_nobody_is_named_it_is_told_to_name_somebody(tmp_path: Path, desk: Desk) -> None:
    async with serving(project(tmp_path, desk, SERVER)) as served:
        answer = await served.http.post("/v1/stops", json={"scope": "all"})
        assert answer.status_code == 401 and "add [people.NAME]" in answer.json()["detail"]
        root = served.app.system.project.settings.root
        made = await served.http.post("/v1/people/maya/tokens", headers=bearer(key_of(root)))
        assert made.status_code == 404 and "add [people.NAME]" in made.json()["detail"]


async def test_the_token_says_who_decides_and_the_body_may_not(tmp_path: Path, desk: Desk) -> None:
    async with serving(project(tmp_path, desk)) as served:
        run = await served.send("1", item="a")
        await served.speak_as("kim")
        for method, path, body in DECISIONS:
            if body is not None:
                named = await served.http.request(
                    method, path.format(run=run), json=body | {"person": "maya"}
                )
            else:
                named = await served.http.request(method, path + "?person=maya")
            assert named.status_code == 422 and named.json()["field"] == "person", path
            assert "the token says who decides" in named.json()["detail"]
        assert served.app.kernel.parts.stops.scopes == {}


@pytest.mark.parametrize("path", ["/v1/runs", "/v1/me", "/metrics", "/readyz", "/v1/people/maya/tokens"])
async def test_a_token_that_is_nobodys_opens_nothing(tmp_path: Path, desk: Desk, path: str) -> None:
    root = project(tmp_path, desk)
    async with serving(root) as served:
        token = await served.token("maya")
        for value in (
            b"",
            b"Bearer",
            b"Bearer  " + token.encode(),
            token.encode(),
            b"Basic " + token.encode(),
            b"Bearer " + token.encode()[:-1],
            b"Bearer " + token.encode() + b"A",
            b"Bearer " + token.upper().encode(),
            b"Bearer dpt_" + b"A" * 43,
            b"Bearer " + hashlib.sha256(token.encode()).hexdigest().encode(),
            "Bearer dpt_é".encode(),
            "Bearer dpt_é".encode("latin-1"),
            b"Bearer \xff\xfe\x80",
            b"Bearer " + b"x" * 20_000,
        ):
            answer = await served.http.get(path, headers={b"authorization": value})
            assert answer.status_code == 401, value[:60]
            assert token not in answer.text and "`deputize login NAME`" in answer.json()["detail"]


async def test_two_authorization_headers_are_none(tmp_path: Path, desk: Desk) -> None:
    async with serving(project(tmp_path, desk)) as served:
        token = await served.token("maya")
        for values in ((token, token), (token, "wrong"), ("wrong", token)):
            headers = [(b"authorization", f"Bearer {value}".encode()) for value in values]
            answer = await served.http.get("/v1/runs", headers=headers)
            assert answer.status_code == 401 and "send one Authorization header" in answer.text
        # Joined into one, as a proxy may do it.
        joined = {"authorization": f"Bearer {token}, Bearer {token}"}
        assert (await served.http.get("/v1/runs", headers=joined)).status_code == 401


async def test_a_header_beyond_all_bounds_is_turned_away_and_the_process_lives(
    tmp_path: Path, desk: Desk
) -> None:
    async with serving(project(tmp_path, desk)) as served:
        parts = urlsplit(str(served.http.base_url))
        with socket.create_connection((parts.hostname, parts.port), timeout=20) as line:
            line.setblocking(False)
            loop = asyncio.get_running_loop()
            head = f"GET /v1/runs HTTP/1.1\r\nhost: {parts.netloc}\r\nauthorization: Bearer "
            try:
                await loop.sock_sendall(line, head.encode() + b"x" * 2_000_000 + b"\r\n\r\n")
                answer = await asyncio.wait_for(loop.sock_recv(line, 100), 20)
            except ConnectionError:
                answer = b""
        assert answer == b"" or answer.split()[1].startswith(b"4")
        assert (await served.http.get("/healthz")).status_code == 200


async def test_health_and_webhooks_do_not_look_at_tokens(tmp_path: Path, desk: Desk) -> None:
    async with serving(project(tmp_path, desk)) as served:
        wrong = bearer("dpt_wrong")
        assert (await served.http.get("/healthz", headers=wrong)).status_code == 200
        hook = await served.http.post("/v1/webhooks/none", content=b"{}", headers=wrong)
        assert hook.status_code == 404


async def test_a_killed_process_knows_its_tokens_again(tmp_path: Path, desk: Desk) -> None:
    root = project(tmp_path, desk)
    async with child(root) as server, httpx2.AsyncClient(base_url=server.url, trust_env=False) as http:
        made = await http.post("/v1/people/kim/tokens", headers=bearer(key_of(root)))
        gone = await http.post("/v1/people/kim/tokens", headers=bearer(key_of(root)))
        path = f"/v1/people/kim/tokens/{gone.json()['id']}"
        assert (await http.delete(path, headers=bearer(key_of(root)))).status_code == 200
        server.process.kill()
        await server.wait()
    async with child(root) as server, httpx2.AsyncClient(base_url=server.url, trust_env=False) as http:
        kim = await http.get("/v1/me", headers=bearer(made.json()["token"]))
        assert kim.json()["person"]["name"] == "kim"
        assert (await http.get("/v1/me", headers=bearer(gone.json()["token"]))).status_code == 401
