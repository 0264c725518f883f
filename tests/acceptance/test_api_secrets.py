"""Secrets planted wherever they may come from are in no answer, line, metric, error or byte of the ledger."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from pathlib import Path
from urllib.parse import quote

import httpx2

from tests.support.desk import Desk, fault
from tests.support.fixtures import desk as desk
from tests.support.project import write_project
from tests.support.serving import PEOPLE, SERVER, child, cloudevent

CODE = """
@automation(on=Ask, agent=worker)
async def one(event: Event[Ask]) -> Outcome:
    if event.data.n == 1:
        raise RuntimeError("leaking " + event.data.item)
    if event.data.n == 2:
        got = await attempt(desk.refuse(item=event.data.item))
        return gave_up("declined", said=got.reason)
    if event.data.n == 3:
        await desk.broken(item=event.data.item)
    if event.data.n == 4:
        await wait_for(Word, matching={"item": event.data.item}, within=days(30))
    got = await desk.write(item=event.data.item).because("for " + event.data.item)
    return done("written", item=got.item)

@webhook("hook", verify=hmac_sha256(header="X-Sign", secret="env:CANARY_HOOK"))
def hook(payload):
    raise ValueError("leaking " + str(payload))

@schedule("* * * * * *", event=Ask)
def each(tick):
    import os
    raise ValueError("leaking " + os.environ["CANARY_HOOK"])
"""
MORE = """
@connector.operation(effect="write", **KEYED)
async def refuse(call: Call, item: str) -> Item:
    return Item.model_validate((await call.post("/items", json={"item": item})).json())

@connector.operation(effect="write", **QUICK)
async def broken(call: Call, item: str) -> Item:
    raise ValueError("leaking " + item)
"""
ENV, FILE, HOOK = "canary-env-7f3a91", 'canary "file" ~&</9c2b', "canary-hook-55aa10"
PATHS = (
    "/v1/events", "/v1/runs", "/v1/entries", "/v1/inbox", "/v1/budgets", "/v1/rules", "/v1/connectors",
    "/v1/sources", "/v1/stops", "/v1/people", "/v1/me", "/metrics", "/openapi.json", "/healthz", "/readyz",
)  # fmt: skip


def forms(secret: str) -> list[bytes]:
    return [
        secret.encode(),
        quote(secret, safe="").encode(),
        json.dumps(secret)[1:-1].encode(),
        json.dumps(secret, ensure_ascii=False)[1:-1].encode(),
        base64.b64encode(secret.encode()).rstrip(b"=")[:-1],
    ]


async def test_no_planted_secret_is_ever_shown_or_stored(tmp_path: Path, desk: Desk) -> None:
    login = 'token = "env:CANARY_ENV"'
    toml = SERVER + PEOPLE + '\n[connectors.vault]\nbase = "http://127.0.0.1:9"\ntoken = "file:secret.txt"\n'
    root = write_project(tmp_path, desk.base, CODE, toml=toml, desk=login, connector=MORE)
    (root / "connectors" / "vault.py").write_text(
        'from deputize import Connector\nconnector = Connector("vault", version="1")\n'
    )
    (root / "secret.txt").write_text(FILE)
    (root / "secret.txt").chmod(0o600)
    environ = {"CANARY_ENV": ENV, "CANARY_HOOK": HOOK}
    answers: list[bytes] = []
    async with child(root, environ) as server:
        assert server.url, await server.wait()
        async with httpx2.AsyncClient(base_url=server.url, timeout=30, trust_env=False) as http:

            async def note(method: str, path: str, **more: object) -> httpx2.Response:
                answer = await http.request(method, path, **more)  # type: ignore[arg-type]
                answers.append(answer.content + repr(answer.headers).encode())
                return answer

            key = (root / "data" / "operator.key").read_text().strip()
            made = await http.post("/v1/people/maya/tokens", headers={"authorization": f"Bearer {key}"})
            token = made.json()["token"]
            maya = {"authorization": f"Bearer {token}"}
            for index, planted in enumerate((key, token)):
                # As a person does who pastes it into the wrong place.
                event = cloudevent(f"{index}-{planted}", n=1, item=f"x {planted} y") | {"subject": planted}
                run = (await note("POST", "/v1/events", json=event)).json()["accepted"][0]["runs"][0]
                await settled(http, run)
                for path in ("runs", "why"):
                    await note("GET", f"/v1/{path}/{run}")
                stopped = {"scope": "agent:worker", "reason": planted}
                assert (await note("POST", "/v1/stops", json=stopped, headers=maya)).status_code == 200
                assert (await note("DELETE", "/v1/stops/agent:worker", headers=maya)).status_code == 200
                await note("POST", "/v1/stops", json={"scope": planted}, headers=maya)
                await note("GET", "/v1/runs/" + planted)
                await note("DELETE", f"/v1/people/maya/tokens/{planted}", headers=maya)
                await note("GET", "/v1/runs", headers={"authorization": f"Bearer {planted}x"})
            for number in range(5):
                for index, secret in enumerate((ENV, FILE, HOOK)):
                    desk.faults.clear()
                    if number == 2:
                        desk.faults.append(fault("status", 422, {"error": f"bad token {ENV} {FILE}"}))
                    event = cloudevent(f"{number}-{index}-{secret}", n=number, item=f"x {secret} y")
                    sent = await note("POST", "/v1/events", json=event | {"subject": secret})
                    assert sent.status_code == 202, sent.text
                    # What a header hides from a search of its bytes is found once it is read.
                    apart = "".join(f"%{byte:02X}" for byte in secret.encode())
                    binary = {"ce-specversion": "1.0", "ce-source": "/tests", "ce-type": "test.word"}
                    binary |= {"ce-id": f"{number}-{index}-{apart}", "ce-subject": apart}
                    assert (await note("POST", "/v1/events", headers=binary)).status_code == 202
                    run = sent.json()["accepted"][0]["runs"][0]
                    await settled(http, run)
                    for path in ("runs", "why"):
                        await note("GET", f"/v1/{path}/{run}")
                    await note("GET", f"/v1/runs/{run}/entries")
                    await note("GET", f"/v1/why/{run}/1")
                    await note("GET", f"/v1/actions/{run}/1")
            for secret in (ENV, FILE, HOOK):
                bad = [
                    json.dumps({"specversion": secret}),
                    json.dumps(cloudevent("1", n=secret)),
                    json.dumps(cloudevent("1") | {"time": secret}),
                    '{"specversion": "' + secret,
                ]
                for content in bad:
                    kind = {"content-type": "application/json"}
                    assert (
                        await note("POST", "/v1/events", content=content.encode(), headers=kind)
                    ).status_code >= 400
                await note("GET", "/v1/runs/" + quote(secret, safe=""))
                await note("GET", "/v1/runs", params={"limit": secret})
                await note("POST", "/v1/stops", json={"scope": f"agent:{secret}"})
                stopped = {"scope": "agent:worker", "reason": f"because of {secret}"}
                assert (await note("POST", "/v1/stops", json=stopped, headers=maya)).status_code == 200
                own = await note("POST", "/v1/stops", json=stopped | {"person": secret}, headers=maya)
                assert own.status_code == 422
                await note("GET", "/v1/stops")
                await note("POST", "/v1/backup", json={"target": secret})
                await note("POST", "/v1/webhooks/hook", content=secret.encode())
            body = json.dumps({"leak": ENV}).encode()
            good = hmac.new(HOOK.encode(), body, hashlib.sha256).hexdigest()
            hooked = await note("POST", "/v1/webhooks/hook", content=body, headers={"X-Sign": good})
            assert hooked.status_code == 422
            async with asyncio.timeout(20):
                while not (await note("GET", "/v1/sources")).json()["sources"][0]["failures"]:
                    pass
            for path in PATHS:
                assert (await note("GET", path)).status_code == 200, path
        server.process.terminate()
        code, errors = await server.wait()
    assert code == 0
    assert "leaking" in errors and "[secret CANARY_HOOK]" in errors
    stored = b"".join(path.read_bytes() for path in (root / "data").iterdir() if path.name != "operator.key")
    assert b"[secret CANARY_ENV]" in stored
    assert b"[secret token]" in stored
    for secret in (ENV, FILE, HOOK, key, token):
        for form in forms(secret)[: 5 if secret in (ENV, FILE, HOOK) else 4]:
            assert form not in errors.encode(), form
            assert form not in stored, form
            assert not [answer for answer in answers if form in answer], form


async def settled(http: httpx2.AsyncClient, run: str) -> None:
    """Wait until a run has ended, waits or is in doubt."""
    async with asyncio.timeout(20):
        while (await http.get(f"/v1/runs/{run}")).json()["run"]["state"] == "ready":
            pass  # each look is a round trip, and gives the process its turn
