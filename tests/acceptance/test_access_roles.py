"""Each role and each act, over HTTP; and that every route says which act it is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from deputize.access import ACTS
from deputize.api.app import build_app
from deputize.api.here import Readiness
from deputize.api.who import act_of
from deputize.system import System
from tests.support.desk import Desk
from tests.support.fixtures import desk as desk
from tests.support.project import write_project
from tests.support.serving import SERVER, Served, cloudevent, serving

CODE = """
@automation(on=Ask, agent=worker)
async def one(event: Event[Ask]) -> Outcome:
    return done(await ask("house", "Is it so?", choices=["yes", "no"]))
"""
PEOPLE = "".join(
    f'[people.{name}]\ngroups = ["house"]\n' + (f'roles = ["{role}"]\n' if role else "")
    for name, role in (
        ("vera", "viewer"),
        ("abel", ""),
        ("otto", "operator"),
        ("adam", "admin"),
        ("olga", "owner"),
    )
)
ALLOWED = {
    "vera": {"read", "own"},
    "abel": {"read", "own", "send", "decide"},
    "otto": {"read", "own", "send", "decide", "operate"},
    "adam": {"read", "own", "send", "decide", "operate", "change", "keep", "admit", "move"},
    "olga": {"read", "own", "send", "decide", "operate", "change", "keep", "admit", "move"},
    "nobody": {"read", "send", "keep"},
    "operator": {"read", "own", "admit"},
}
"""The table of the docs, once more: whoever changes one has to change the other."""


def project(tmp_path: Path, desk: Desk, people: str = PEOPLE) -> Path:
    return write_project(tmp_path, desk.base, CODE, toml=SERVER + people)


async def requests_of(served: Served, name: str) -> dict[str, list[tuple[str, str, Any]]]:
    """Of each act a request that comes to good where it is allowed."""
    await served.send("1", item="a")
    card = await served.app.card()
    person = name if name in ("vera", "abel", "otto", "adam", "olga") else "vera"
    token, _ = await served.app.kernel.tokens.issue(person, "the tests")
    return {
        "read": [("GET", "/v1/runs", None), ("GET", "/v1/people", None), ("GET", "/metrics", None)],
        "own": [("DELETE", f"/v1/people/{person}/tokens/{token.id}", None)],
        "send": [("POST", "/v1/events", cloudevent("2", item="b"))],
        "decide": [("POST", f"/v1/inbox/{card.id}/answer", {"kind": "answer", "answer": "yes"})],
        "operate": [
            ("POST", "/v1/stops", {"scope": "automation:one"}),
            ("DELETE", "/v1/stops/automation:one", None),
        ],
        "keep": [("POST", "/v1/ledger/verify", {})],
        "admit": [("POST", "/v1/people/abel/tokens", {})],
        "move": [("POST", "/v1/leaving", {"within_s": 0})],
    }


@pytest.mark.parametrize("name", sorted(ALLOWED))
async def test_each_role_may_what_the_table_says_and_nothing_else(
    tmp_path: Path, desk: Desk, name: str
) -> None:
    root = project(tmp_path, desk)
    async with serving(root) as served:
        asked = await requests_of(served, name)
        if name == "operator":
            key = (root / "data" / "operator.key").read_text().strip()
            served.http.headers["authorization"] = f"Bearer {key}"
        elif name != "nobody":
            await served.speak_as(name)
        for act, requests in asked.items():
            for method, path, body in requests:
                answer = await served.http.request(method, path, json=body)
                if act in ALLOWED[name]:
                    assert answer.is_success, (act, path, answer.text)
                    continue
                told = answer.json()
                assert answer.status_code == (401 if name in ("nobody", "operator") else 403), (act, path)
                if answer.status_code == 403:
                    assert told["type"] == "deputize:role" and told["act"] == act
                    assert "adam" in told["people"] and "ask " in told["detail"]
    # There is no route yet by which rules and limits are changed.
    assert set(asked) == set(ACTS) - {"change"}


async def test_a_refusal_says_which_roles_may_and_whom_one_could_ask(tmp_path: Path, desk: Desk) -> None:
    async with serving(project(tmp_path, desk)) as served:
        await served.speak_as("vera")
        answer = await served.http.post("/v1/stops", json={"scope": "all"})
        assert answer.status_code == 403
        assert answer.json()["detail"] == (
            "vera is a viewer, and only an operator or an admin may halt, pause, resume, cancel and undo; "
            "ask adam, olga or otto"
        )
        assert answer.json()["roles"] == ["operator", "admin"]
        assert served.app.kernel.parts.stops.scopes == {}
    async with serving(project(tmp_path / "alone", desk, '[people.abel]\ngroups = ["house"]\n')) as served:
        await served.speak_as("abel")
        answer = await served.http.post("/v1/leaving", json={})
        assert "nobody else is one: see roles in [people.abel]" in answer.json()["detail"]


# -- every route -------------------------------------------------------------------------------------------


def routes(app: FastAPI) -> Iterator[APIRoute]:
    for route in app.routes:
        own = getattr(getattr(route, "original_router", None), "routes", [route])
        yield from (one for one in own if isinstance(one, APIRoute))


def acts(dependant: Dependant) -> set[str]:
    found = {act for act in [act_of(dependant.call)] if act is not None}
    return found.union(*(acts(one) for one in dependant.dependencies))


def test_every_route_says_which_act_it_is(tmp_path: Path, desk: Desk) -> None:
    system = System.open(project(tmp_path, desk))
    try:
        found = list(routes(build_app(system, Readiness(), operator="dpo_" + "A" * 43)))
    finally:
        system.store.close()
    assert len(found) > 30
    for route in found:
        said = acts(route.dependant)
        assert said, f"{route.path}: say by a dependency of deputize.api.who which act it is"
        if route.methods != {"GET"}:
            assert said - {"read"}, f"{route.path} changes something, and says only that it reads"
            assert len(said - {"read"}) == 1, f"{route.path} says {said}"


async def test_a_viewer_comes_to_no_route_that_changes_anything(tmp_path: Path, desk: Desk) -> None:
    async with serving(project(tmp_path, desk)) as served:
        app = build_app(served.app.system, Readiness(), operator="dpo_" + "A" * 43)
        await served.speak_as("vera")
        for route in routes(app):
            said = acts(route.dependant)
            if "own" in said:
                continue
            if route.path == "/v1/stream":
                continue  # it has no end
            path = re.sub(r"\{[^}]*\}", "x", route.path)
            for method in route.methods:
                answer = await served.http.request(method, path, json={} if method == "POST" else None)
                forbidden = "open" not in said and said != {"read"}
                assert (answer.status_code == 403 and "deputize:role" in answer.text) == forbidden, (
                    method,
                    path,
                    answer.text,
                )
