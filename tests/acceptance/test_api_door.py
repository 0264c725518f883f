"""Who may speak to the process, when it takes events, and how it stops."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
from pathlib import Path
from typing import Any

import httpx2
import pytest

from deputize.api.server import serve
from deputize.errors import ProjectError
from deputize.system import System
from tests.support.desk import Desk
from tests.support.fixtures import desk as desk
from tests.support.project import write_project
from tests.support.serving import PEOPLE, SERVER, child, cloudevent, serving

ONE = """
@automation(on=Ask, agent=worker)
async def one(event: Event[Ask]) -> Outcome:
    return done((await desk.write(item=event.data.item)).item)
"""
TOKEN = "a-token-of-this-test"


def project(tmp_path: Path, desk: Desk, toml: str = SERVER + PEOPLE, code: str = ONE) -> Path:
    return write_project(tmp_path, desk.base, code, toml=toml)


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "127.evil", "", "localhost@evil", "[::1"]
)
async def test_a_page_that_rebinds_its_name_to_this_machine_reads_nothing(
    tmp_path: Path, desk: Desk, host: str
) -> None:
    async with serving(project(tmp_path, desk)) as served:
        answer = await served.http.get("/v1/runs", headers={"host": host})
        assert answer.status_code in (400, 421) and "runs" not in answer.text
        for own in ("localhost:1", "127.0.0.1:8477", "[::1]:9"):
            assert (await served.http.get("/v1/runs", headers={"host": own})).status_code == 200


async def test_a_page_of_another_origin_may_not_act(tmp_path: Path, desk: Desk) -> None:
    async with serving(project(tmp_path, desk)) as served:
        await served.speak_as("maya")
        body = {"scope": "all"}
        for origin in ("https://evil.example", "null", "http://localhost:1"):
            answer = await served.http.post("/v1/stops", json=body, headers={"origin": origin})
            assert answer.status_code == 403
        own = str(served.http.base_url).rstrip("/")
        assert (await served.http.post("/v1/stops", json=body, headers={"origin": own})).status_code == 200
        assert (await served.http.delete("/v1/stops/all")).status_code == 200


async def test_with_a_token_every_route_but_health_asks_for_it(
    tmp_path: Path, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_TOKEN", TOKEN)
    root = project(tmp_path, desk, SERVER + 'token = "env:API_TOKEN"\n')
    async with serving(root) as served:
        assert (await served.http.get("/healthz")).status_code == 200
        for path in ("/readyz", "/metrics", "/openapi.json", "/v1/runs", "/v1/nothing"):
            for header in (
                {},
                {"authorization": "Bearer wrong"},
                {"authorization": TOKEN},
                {"authorization": "Bearer é"},
            ):
                raw = {k: v.encode() for k, v in header.items()}
                answer = await served.http.get(path, headers=raw)
                assert answer.status_code == 401 and TOKEN not in answer.text, (path, header)
        answer = await served.http.post("/v1/events", json=cloudevent("1"))
        assert answer.status_code == 401
        good = {"authorization": f"Bearer {TOKEN}"}
        assert (await served.http.get("/v1/runs", headers=good)).status_code == 200
        assert served.app.read(lambda view: view.counts())["events"] == 0


async def test_an_address_that_others_reach_is_refused_without_a_token(tmp_path: Path, desk: Desk) -> None:
    system = System.open(project(tmp_path, desk, '[server]\nhost = "0.0.0.0"\nport = 0\n'))
    with pytest.raises(ProjectError, match=r"0\.0\.0\.0 can be reached by others: add token = \"env:"):
        await serve(system, ready=lambda url: None, stop=asyncio.Event())


async def test_a_taken_port_is_told_and_the_ledger_let_go(tmp_path: Path, desk: Desk) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        root = project(tmp_path, desk, f"[server]\nport = {port}\n")
        with pytest.raises(ProjectError, match=f"{port} cannot be used"):
            async with serving(root):
                pass
    System.open(project(tmp_path, desk)).store.close()


async def test_a_note_says_where_the_process_is_while_it_runs(tmp_path: Path, desk: Desk) -> None:
    note = tmp_path / "data" / "server.json"
    async with serving(project(tmp_path, desk)) as served:
        assert note.stat().st_mode & 0o777 == 0o600
        said = json.loads(note.read_text())
        assert said["url"] == str(served.http.base_url).rstrip("/") and said.keys() == {
            "url",
            "pid",
            "started_at",
        }
    assert not note.exists()


async def test_kept_alive_requests_are_not_held_for_forty_milliseconds(tmp_path: Path, desk: Desk) -> None:
    async with serving(project(tmp_path, desk)) as served:
        loop = asyncio.get_running_loop()
        await served.http.get("/healthz")
        times = []
        for _ in range(20):
            began = loop.time()
            await served.http.get("/v1/runs")
            times.append(loop.time() - began)
        assert sorted(times)[10] < 0.03


async def test_while_starting_it_is_alive_and_not_ready_and_takes_nothing(
    tmp_path: Path, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = System.open(project(tmp_path, desk))
    going, seen, stop = asyncio.Event(), asyncio.Event(), asyncio.Event()
    start = system.start

    async def slowly() -> None:
        seen.set()
        await going.wait()
        await start()

    monkeypatch.setattr(system, "start", slowly)
    listening: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    listen = socket.socket.listen

    def noting(own: socket.socket, *backlog: int) -> None:
        listen(own, *backlog)
        listening.set_result(own.getsockname()[1])

    monkeypatch.setattr(socket.socket, "listen", noting)
    ready = asyncio.Event()
    task = asyncio.create_task(serve(system, ready=lambda url: ready.set(), stop=stop))
    await asyncio.wait_for(seen.wait(), 20)
    url = f"http://127.0.0.1:{await asyncio.wait_for(listening, 20)}"
    async with httpx2.AsyncClient(base_url=url, trust_env=False) as http:
        assert (await http.get("/healthz")).status_code == 200
        answer = await http.get("/readyz")
        assert answer.status_code == 503 and "starting" in answer.json()["detail"]
        posted = await http.post("/v1/events", json=cloudevent("1"))
        assert posted.status_code == 503 and int(posted.headers["retry-after"]) >= 1
        # Which tokens there are is not known yet, so none is called wrong.
        someones = {"authorization": "Bearer dpt_" + "A" * 43}
        early = await http.get("/v1/runs", headers=someones)
        assert early.status_code == 503 and "starting" in early.json()["detail"]
        going.set()
        await asyncio.wait_for(ready.wait(), 20)
        assert (await http.get("/v1/runs", headers=someones)).status_code == 401
        assert (await http.get("/readyz")).status_code == 200
        assert (await http.post("/v1/events", json=cloudevent("1"))).status_code == 202
    stop.set()
    await task


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_stops_it_in_order_with_nothing_lost(tmp_path: Path, desk: Desk, number: Any) -> None:
    root = project(tmp_path, desk)
    desk.hold = asyncio.Event()
    async with child(root) as server, httpx2.AsyncClient(base_url=server.url, trust_env=False) as http:
        assert (await http.post("/v1/events", json=cloudevent("1", item="a"))).status_code == 202
        await asyncio.wait_for(desk.seen_of(1), 20)
        server.process.send_signal(number)
        code, errors = await server.wait()
    assert (code, errors) == (0, "")
    assert not (root / "data" / "server.json").exists()
    desk.hold.set()
    async with serving(root) as served:
        run = served.app.read(lambda view: view.runs())[0].id
        assert await served.app.label(run) == "done(a)"


async def test_a_second_signal_ends_it_at_once(tmp_path: Path, desk: Desk) -> None:
    root = project(tmp_path, desk)
    async with child(root) as server:
        _, host, port = server.url.replace("//", "").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        # A request that is never finished keeps the orderly stop waiting.
        head = f"POST /v1/events HTTP/1.1\r\nhost: {host}:{port}\r\ncontent-type: application/json\r\n"
        writer.write(head.encode() + b"expect: 100-continue\r\ncontent-length: 100\r\n\r\n")
        assert b"100" in await reader.readline()
        server.process.send_signal(signal.SIGTERM)
        async with httpx2.AsyncClient(base_url=server.url, trust_env=False) as http:
            with pytest.raises(httpx2.TransportError):
                while True:
                    await http.get("/healthz", headers={"connection": "close"})
        assert server.process.returncode is None
        server.process.send_signal(signal.SIGTERM)
        exit_code, _ = await server.wait()
        writer.close()
    assert exit_code == 130


async def test_every_error_is_a_problem_that_says_what_to_do(tmp_path: Path, desk: Desk) -> None:
    async with serving(project(tmp_path, desk)) as served:
        await served.speak_as("maya")
        for method, path, status in (
            ("GET", "/v1/nothing", 404),
            ("PUT", "/v1/runs", 405),
            ("GET", "/v1/runs/zzzz", 404),
            ("GET", "/v1/runs?limit=0", 422),
            ("GET", "/v1/runs?limit=1001", 422),
            ("GET", "/v1/runs?after=-1", 422),
            ("GET", f"/v1/runs?after={2**70}", 422),
            ("GET", f"/v1/events/{2**70}", 404),
            ("GET", "/v1/why/zzzz/1", 404),
            ("POST", "/v1/runs/zzzz/cancel", 404),
            ("DELETE", "/v1/stops/all", 404),
        ):
            answer = await served.http.request(method, path)
            assert answer.status_code == status, (path, answer.text)
            assert answer.headers["content-type"] == "application/problem+json"
            assert len(answer.json()["detail"]) > 10
