"""The retail shop as an HTTP service in a process of its own.

    python -m tests.acceptance.retail.service --db FILE [--port N] [--faults JSON] [--exit-with-stdin]

prints one line `{"url": …, "pid": …}` when it answers. Without --faults, those last set in FILE hold.

    GET  /worlds/{world}/operations/{name}?arg=…   the nine operations that change nothing
    POST /worlds/{world}/operations/{name}         the seven that write: a JSON object of arguments;
                                                   repeated only by `Idempotency-Key`, never by themselves
    GET  /worlds/{world}/writes?key=…              what became of a write: found → its result or its refusal
    GET  /worlds/{world}/changed                   every order and user that differs from the base
    GET  /log?after=N&limit=N&wait_s=S             performed writes; with wait_s, waits for the next one
    GET  /faults, POST /faults                     settings and counts by kind; new settings

A world is there as soon as it is named. 400: arguments of the wrong shape. 404 and 422: the shop's refusal.
"""

import argparse
import asyncio
import json
import os
import re
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvicorn
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from tests.acceptance.retail.data import Base, data_folder, load_base
from tests.acceptance.retail.faults import KINDS, Asked, Fault, FaultSettings, choose, covered
from tests.acceptance.retail.shop import READS, WRITES, argument_fault
from tests.acceptance.retail.store import Reply, Store, canonical, reply_to

BODY_BYTES_MAX = 65_536
LOG_PAGE_MAX = 1_000
WAIT_S_MAX = 30.0
KEY_CHARS_MAX = 255
WORLD = re.compile(r"[A-Za-z0-9_.~-]{1,64}")


class Cuttable(H11Protocol):
    """Uvicorn's HTTP protocol, with a way for the application to drop the connection: `scope["cut"]()`."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        inner = self.app

        async def app(scope: Any, receive: Any, send: Any) -> None:
            scope["cut"] = transport.abort
            await inner(scope, receive, send)

        self.app = app


class Cut(Response):
    """No answer at all: silence for `hold_s` (or until the client hangs up), then the connection is gone."""

    def __init__(self, hold_s: float = 0.0) -> None:
        super().__init__()
        self._hold_s = hold_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with asyncio.timeout(self._hold_s):
                await _gone(receive)
        except TimeoutError:
            scope["cut"]()
            await _gone(receive)


class Service:
    """The routes, over one store and one base; all of it on one event loop, so writes never interleave."""

    def __init__(self, store: Store, base: Base) -> None:
        self._store = store
        self._base = base
        self._faults = store.fault_settings()
        self._written = asyncio.Event()  # replaced at each write

    def app(self) -> Starlette:
        """The ASGI application."""
        operation = "/worlds/{world}/operations/{name}"
        return Starlette(
            routes=[
                Route(operation, self._read, methods=["GET"]),
                Route(operation, self._write, methods=["POST"]),
                Route("/worlds/{world}/writes", self._look_up, methods=["GET"]),
                Route("/worlds/{world}/changed", self._changed, methods=["GET"]),
                Route("/log", self._log, methods=["GET"]),
                Route("/faults", self._show_faults, methods=["GET"]),
                Route("/faults", self._set_faults, methods=["POST"]),
            ],
            max_body_size=BODY_BYTES_MAX,
        )

    async def _read(self, request: Request) -> Response:
        world, name = request.path_params["world"], request.path_params["name"]
        args = dict(request.query_params)
        wrong = self._wrong(world, name, args, writes=False)
        if wrong is not None:
            return wrong
        return self._with_faults(
            Asked(world, name, canonical(args)),
            lambda: reply_to(READS[name](self._store.world(world), **args)),
        )

    async def _write(self, request: Request) -> Response:
        world, name = request.path_params["world"], request.path_params["name"]
        try:
            args = json.loads(await request.body())
        except ClientDisconnect:
            return Cut()
        except (ValueError, RecursionError):
            return _bad("the body is not JSON")
        wrong = self._wrong(world, name, args, writes=True)
        if wrong is not None:
            return wrong
        key = request.headers.get("idempotency-key")
        if key is not None and not 0 < len(key) <= KEY_CHARS_MAX:
            return _bad(f"an idempotency key has 1 to {KEY_CHARS_MAX} characters")

        def perform() -> Reply:
            reply = self._store.perform(world, name, args, key)
            self._written.set()
            self._written = asyncio.Event()
            return reply

        return self._with_faults(Asked(world, name, key or canonical(args)), perform)

    def _wrong(self, world: str, name: str, args: Any, *, writes: bool) -> Response | None:
        """The answer to a request that no shop need look at."""
        if not WORLD.fullmatch(world):
            return _bad("a world's name is 1 to 64 letters, digits or any of _ . ~ -")
        if name not in (WRITES if writes else READS):
            known = name in WRITES or name in READS
            text = (
                f"{name} is asked for by {'GET' if writes else 'POST'}" if known else f"no operation {name!r}"
            )
            return _bad(text, 405 if known else 404)
        if not isinstance(args, dict):
            return _bad("the arguments are not a JSON object")
        fault = argument_fault(self._base.operations[name], args)
        return None if fault is None else _bad(fault)

    def _with_faults(self, asked: Asked, work: Callable[[], Reply]) -> Response:
        settings, fault = self._faults, None
        if covered(settings, asked.operation):
            fault = choose(settings, asked, self._store.times_seen(asked))
        if fault is None:
            return _json(work())
        self._store.count_fault(fault.kind)
        if fault.effect:
            work()
        return _failure(fault, settings)

    async def _look_up(self, request: Request) -> Response:
        world, key = request.path_params["world"], request.query_params.get("key")
        if key is None:
            return _bad("which write? Give its key")
        return self._with_faults(
            Asked(world, "look_up", key), lambda: Reply(200, self._store.look_up(world, key))
        )

    async def _changed(self, request: Request) -> Response:
        return JSONResponse(self._store.changed(request.path_params["world"]))

    async def _log(self, request: Request) -> Response:
        try:
            after = int(request.query_params.get("after", "0"))
            limit = min(max(int(request.query_params.get("limit", str(LOG_PAGE_MAX))), 1), LOG_PAGE_MAX)
            wait_s = float(request.query_params.get("wait_s", "0"))
        except ValueError:
            return _bad("after, limit and wait_s are numbers")
        if not 0 <= wait_s <= WAIT_S_MAX:  # false of a NaN too
            return _bad(f"wait_s is 0 to {WAIT_S_MAX:g}")
        writes = self._store.log(after, limit)
        try:
            async with asyncio.timeout(wait_s):
                while not writes:
                    await self._written.wait()
                    writes = self._store.log(after, limit)
        except TimeoutError:
            pass  # nothing new is an answer too
        return JSONResponse({"writes": writes, "last_seq": writes[-1]["seq"] if writes else after})

    async def _show_faults(self, request: Request) -> Response:
        met = self._store.fault_counts()
        counts = {kind: met.get(kind, 0) for kind in KINDS}
        return JSONResponse({"settings": self._faults.model_dump(), "counts": counts})

    async def _set_faults(self, request: Request) -> Response:
        try:
            self._faults = FaultSettings.model_validate_json(await request.body())
        except ValidationError as error:
            return _bad(str(error))
        self._store.set_faults(self._faults)
        return await self._show_faults(request)


def _json(reply: Reply) -> Response:
    return JSONResponse(reply.body, reply.status)


def _bad(text: str, status: int = 400) -> Response:
    return JSONResponse({"error": text}, status)


def _failure(fault: Fault, settings: FaultSettings) -> Response:
    match fault.kind:
        case "error_500":
            return _bad("internal error", 500)
        case "error_502":
            return _bad("bad gateway", 502)
        case "too_many":
            headers = {"Retry-After": str(settings.retry_after_s)}
            return JSONResponse({"error": "too many requests"}, 429, headers)
        case "cut_before" | "cut_after":
            return Cut()
        case "lost":
            return Cut(settings.hold_s)


async def _gone(receive: Receive) -> None:
    """Wait until the connection is no more."""
    while (await receive())["type"] != "http.disconnect":
        pass


class ReadyServer(uvicorn.Server):
    """A uvicorn server that says when it answers, and can end with its parent."""

    def __init__(self, config: uvicorn.Config, url: str, *, exit_with_stdin: bool) -> None:
        super().__init__(config)
        self._url = url
        self._exit_with_stdin = exit_with_stdin

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then print the ready line."""
        await super().startup(sockets)
        if self._exit_with_stdin:
            asyncio.get_running_loop().add_reader(sys.stdin.fileno(), self._on_stdin)
        print(json.dumps({"url": self._url, "pid": os.getpid()}), flush=True)

    def _on_stdin(self) -> None:
        """The parent holds the other end and writes nothing: to be readable is to be closed."""
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
        self.should_exit = True


async def serve(args: argparse.Namespace) -> None:
    """Serve until a signal, or the end of standard input, says to stop."""
    base = load_base(data_folder())
    store = Store(args.db, base)
    if args.faults is not None:
        store.set_faults(args.faults)
    listening = socket.create_server(("127.0.0.1", args.port), backlog=1024)
    # asyncio sets this only where the protocol is named; without it each answer waits 40 ms for an ACK.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    config = uvicorn.Config(
        Service(store, base).app(),
        http=Cuttable,
        lifespan="off",
        log_level="warning",
        timeout_keep_alive=75,  # else an idle connection closes under a client that is about to use it
        timeout_graceful_shutdown=1,  # a withheld answer holds up nothing
    )
    await ReadyServer(config, url, exit_with_stdin=args.exit_with_stdin).serve(sockets=[listening])
    store.close()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.acceptance.retail.service", description=__doc__)
    parser.add_argument("--db", type=Path, required=True, help="the shop's SQLite file, made if absent")
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument(
        "--faults", type=FaultSettings.model_validate_json, help='{"rate": 0.1, "seed": 3, …}'
    )
    parser.add_argument("--exit-with-stdin", action="store_true", help="end when standard input is closed")
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
