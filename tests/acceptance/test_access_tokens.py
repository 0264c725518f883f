"""Tokens for programs: narrower than their person, with an end, and a word on what they are for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deputize.kernel.tokens import DAYS, DAYS_MAX, TOKEN_SETTING, TOKENS_MAX
from tests.support.desk import Desk
from tests.support.fixtures import desk as desk
from tests.support.project import write_project
from tests.support.running import ShiftedClock
from tests.support.serving import PEOPLE, SERVER, Served, cloudevent, serving

CODE = """
@automation(on=Ask, agent=worker)
async def one(event: Event[Ask]) -> Outcome:
    return done()
"""
DAY_S = 86_400.0


def project(tmp_path: Path, desk: Desk, people: str = PEOPLE) -> Path:
    return write_project(tmp_path, desk.base, CODE, toml=SERVER + people)


async def made(served: Served, name: str, status: int = 201, **wanted: Any) -> dict[str, Any]:
    """What the answer to a wish for a token is."""
    key = (served.app.system.project.settings.data / "operator.key").read_text().strip()
    headers = {"authorization": f"Bearer {key}"}
    answer = await served.http.post(f"/v1/people/{name}/tokens", json=wanted, headers=headers)
    assert answer.status_code == status, answer.text
    return dict(answer.json())


async def status(
    served: Served, token: str, method: str = "GET", path: str = "/v1/me", body: Any = None
) -> int:
    headers = {"authorization": f"Bearer {token}"}
    return (await served.http.request(method, path, json=body, headers=headers)).status_code


async def test_a_token_may_no_more_than_its_scope(tmp_path: Path, desk: Desk) -> None:
    async with serving(project(tmp_path, desk)) as served:
        viewer = await made(served, "maya", scope="viewer")
        assert viewer["scope"] == "viewer"
        token = viewer["token"]
        assert await status(served, token, path="/v1/runs") == 200
        for method, path, body in (
            ("POST", "/v1/events", cloudevent("1")),
            ("POST", "/v1/stops", {"scope": "all"}),
            ("POST", "/v1/inbox/x/answer", {"kind": "noted"}),
            ("POST", "/v1/people/kim/tokens", {}),
            ("POST", "/v1/backup", {"target": "/x"}),
        ):
            assert await status(served, token, method, path, body) == 403, path
        headers = {"authorization": f"Bearer {token}"}
        told = (await served.http.post("/v1/stops", json={"scope": "all"}, headers=headers)).json()
        assert told["detail"].startswith("this token of maya's is for a viewer alone, and only an operator")
        me = (await served.http.get("/v1/me", headers=headers)).json()
        assert me["role"] == "viewer" and me["may"] == ["read", "own"] and me["person"]["role"] == "admin"
        whole = await made(served, "maya")
        assert whole["scope"] is None
        assert await status(served, whole["token"], "POST", "/v1/stops", {"scope": "all"}) == 200


async def test_a_narrow_token_ends_itself_and_no_other(tmp_path: Path, desk: Desk) -> None:
    async with serving(project(tmp_path, desk)) as served:
        narrow, whole = await made(served, "kim", scope="viewer"), await made(served, "kim")
        other = f"/v1/people/kim/tokens/{whole['id']}"
        assert await status(served, narrow["token"], "DELETE", other) == 403
        assert (
            await status(served, narrow["token"], "DELETE", other.replace(whole["id"], narrow["id"])) == 200
        )
        assert await status(served, narrow["token"]) == 401 and await status(served, whole["token"]) == 200


async def test_a_token_ends_by_itself_and_says_so(tmp_path: Path, desk: Desk) -> None:
    clock = ShiftedClock()
    root = project(tmp_path, desk)
    async with serving(root, clock=clock) as served:
        short, usual = await made(served, "kim", days=1), await made(served, "kim")
        clock.shift_s += DAY_S - 60
        assert await status(served, short["token"]) == 200
        clock.shift_s += 61
        headers = {"authorization": f"Bearer {short['token']}"}
        over = await served.http.post("/v1/stops", json={"scope": "all"}, headers=headers)
        assert over.status_code == 401 and f"kim's ended at {short['ends_at']}" in over.json()["detail"]
        assert served.app.kernel.parts.stops.scopes == {}
        clock.shift_s += (DAYS - 2) * DAY_S
        assert await status(served, usual["token"]) == 200
    async with serving(root, clock=clock) as served:
        assert await status(served, short["token"]) == 401
        clock.shift_s += DAY_S
        assert await status(served, usual["token"]) == 401


async def test_tokens_of_before_have_no_end_and_stay_as_good_as_they_were(tmp_path: Path, desk: Desk) -> None:
    clock = ShiftedClock()
    root = project(tmp_path, desk)
    async with serving(root, clock=clock) as served:
        token = (await made(served, "kim"))["token"]

        def as_before(tx: Any) -> None:
            ((name, _),) = tx.settings(TOKEN_SETTING).items()
            tx.set_setting(name, '{"at":1700000000000000,"id":"0badcafe","person":"kim"}')

        await served.app.system.store.write(as_before)
    async with serving(root, clock=clock) as served:
        clock.shift_s += 4_000 * DAY_S
        assert await status(served, token) == 200
        assert await status(served, token, "POST", "/v1/stops", {"scope": "all"}) == 200
        (kim,) = [p for p in (await served.http.get("/v1/people")).json()["people"] if p["name"] == "kim"]
        assert kim["tokens"] == [
            {"id": "0badcafe", "at": "2023-11-14T22:13:20.000000Z", "scope": None, "ends_at": None, "for": ""}
        ]


async def test_a_scope_follows_its_person_down(tmp_path: Path, desk: Desk) -> None:
    root = project(tmp_path, desk)
    async with serving(root) as served:
        token = (await made(served, "kim", scope="operator"))["token"]
        assert await status(served, token, "POST", "/v1/stops", {"scope": "connector:desk"}) == 200
    project(tmp_path, desk, PEOPLE.replace('"operator"', '"viewer"'))
    async with serving(root) as served:
        assert await status(served, token, "POST", "/v1/stops", {"scope": "all"}) == 403


async def test_what_a_token_is_for_is_told_with_it(tmp_path: Path, desk: Desk) -> None:
    async with serving(project(tmp_path, desk)) as served:
        one = await made(served, "kim", scope="viewer", days=30, **{"for": "the till <b>upstairs</b>"})
        (kim,) = [p for p in (await served.http.get("/v1/people")).json()["people"] if p["name"] == "kim"]
        assert kim["tokens"] == [{key: one[key] for key in ("id", "at", "scope", "ends_at", "for")}]
        assert kim["tokens"][0]["for"] == "the till <b>upstairs</b>"


@pytest.mark.parametrize(
    ("wanted", "word"),
    [
        ({"scope": "admin"}, "kim has the role operator, and no token of theirs may more: not admin"),
        ({"scope": "veiwer"}, "did you mean 'viewer'?"),
        ({"scope": 1}, "scope must be one of viewer, approver, operator, admin"),
        ({"scope": "owner"}, "scope must be one of"),
        ({"days": 0}, f"days must be a number from 1 to {DAYS_MAX}"),
        ({"days": DAYS_MAX + 1}, "days must be"),
        ({"days": 1.5}, "days must be"),
        ({"days": True}, "days must be"),
        ({"days": "30"}, "days must be"),
        ({"for": "x" * 201}, "for must be text of 0 to 200 characters"),
        ({"for": ["x"]}, "for must be text"),
        ({"scpoe": "viewer"}, "did you mean 'scope'?"),
    ],
)
async def test_a_token_that_cannot_be_says_why(
    tmp_path: Path, desk: Desk, wanted: dict[str, Any], word: str
) -> None:
    async with serving(project(tmp_path, desk)) as served:
        assert word in (await made(served, "kim", 422, **wanted))["detail"]
        assert served.app.kernel.tokens.of("kim") == []


async def test_ended_tokens_make_room_for_new_ones(tmp_path: Path, desk: Desk) -> None:
    clock = ShiftedClock()
    async with serving(project(tmp_path, desk), clock=clock) as served:
        for _ in range(TOKENS_MAX - 1):
            await made(served, "kim", days=1)
        kept = await made(served, "kim")
        assert "revoke one" in (await made(served, "kim", 409))["detail"]
        clock.shift_s += DAY_S + 1
        await made(served, "kim")
        assert len(served.app.kernel.tokens.of("kim")) == TOKENS_MAX
        assert await status(served, kept["token"]) == 200
