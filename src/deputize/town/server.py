"""One process, a port each: the town's services and its hall on one event loop."""

import asyncio
import contextlib
import fcntl
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from deputize.town.chat import chat_app
from deputize.town.faults import Faults, Rule
from deputize.town.front import Front
from deputize.town.hall import hall_app
from deputize.town.mail import mail_app
from deputize.town.model import model_app
from deputize.town.payments import payments_app
from deputize.town.pusher import Pusher
from deputize.town.settling import found
from deputize.town.shop import shop_app
from deputize.town.smtp import PostOffice
from deputize.town.wire import POSTS, SERVICES
from deputize.town.world import World

DOORS = (*SERVICES, "hall", *POSTS)
KEEP_ALIVE_S = 75
LATE_BATCH = 50
_SCHEME = {"smtp": "smtp"}
_PATH = {"model": "/v1"}


@dataclass(frozen=True)
class Settings:
    """How a town is started. `ports` are those of shop, payments, mail, hall, smtp, chat and model, in this
    order (those that are left out are any free ones, as 0 is).

    `tokens` are bearer tokens by service; `faults` replaces the rules in force, None keeps them.
    `leave_on_eof` ends the town when its standard input is closed, so that it never outlives its parent.
    """

    dir: Path
    seed: int = 7
    customers: int = 200
    ports: tuple[int, ...] | None = None
    key_ttl_s: float = 86_400.0
    faults: tuple[Rule, ...] | None = None
    tokens: tuple[tuple[str, str], ...] = ()
    leave_on_eof: bool = False


class Busy(Exception):
    """Another process runs a town in this directory."""


class CuttableProtocol(H11Protocol):
    """HTTP/1.1 as always, but an application can close the connection through its scope's state."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app_state = {**self.app_state, "cut": transport.abort}


class _Server(uvicorn.Server):
    """Says when it listens, and leaves signals to `run`, so that a SIGTERM is an ordinary end."""

    on_ready: Callable[[], None] = staticmethod(lambda: None)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.on_ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


class _Dispatch:
    """Chooses the service by the port on which the request came in."""

    def __init__(self, by_port: dict[int, ASGIApp]) -> None:
        self._by_port = by_port

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._by_port[scope["server"][1]](scope, receive, send)


class _Lander:
    """Lets late effects happen when they are due, also those kept from before a restart."""

    def __init__(self, world: World, fronts: dict[str, Front]) -> None:
        self._world = world
        self._fronts = fronts
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """Look again at what is due: something was kept, or the clock was moved."""
        self._wake.set()

    async def run(self) -> None:
        """Ends by being cancelled."""
        while True:
            self._wake.clear()
            first = self._world.db.execute("SELECT min(due_s) AS due_s FROM late").fetchone()["due_s"]
            wait_s = None if first is None else max(0.0, first - self._world.now_s())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._wake.wait()
            due = self._world.db.execute(
                "SELECT * FROM late WHERE due_s <= ? ORDER BY due_s LIMIT ?",
                (self._world.now_s(), LATE_BATCH),
            ).fetchall()
            for row in due:
                await self._fronts[row["service"]].land(
                    row["seq"], row["path"], row["query"], row["headers"], row["body"]
                )


def run(settings: Settings) -> None:
    """Serve the town until SIGINT, SIGTERM or (if asked for) the end of standard input. Raises `Busy`."""
    settings.dir.mkdir(parents=True, exist_ok=True)
    with (settings.dir / "town.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise Busy(f"a town is already running in {settings.dir}") from error
        world = World(settings.dir / "town.sqlite", time.time, settings.key_ttl_s)
        try:
            found(world, settings.seed, settings.customers)
            asyncio.run(_serve(settings, world))
        finally:
            world.close()


async def _serve(settings: Settings, world: World) -> None:
    seed = int(world.meta("seed") or settings.seed)
    faults = Faults(world, seed)
    if settings.faults is not None:
        faults.set(settings.faults)
    tokens = dict(settings.tokens)
    apps = {
        "shop": shop_app(world),
        "payments": payments_app(world),
        "mail": mail_app(world),
        "chat": chat_app(world),
        "model": model_app(),
    }
    fronts = {name: Front(name, app, world, faults, tokens.get(name)) for name, app in apps.items()}
    pusher = Pusher(world, seed, int(world.meta("customers") or 0))
    lander = _Lander(world, fronts)
    for front in fronts.values():
        front.late_arrived = lander.wake
    hall = hall_app(world, seed, faults, pusher, lander.wake)
    sockets = _listen(settings)
    ports = {name: sock.getsockname()[1] for name, sock in zip(DOORS, sockets, strict=True)}
    doors: dict[str, ASGIApp] = {**fronts, "hall": hall}
    server = _Server(_config(_Dispatch({ports[name]: app for name, app in doors.items()})))
    server.on_ready = lambda: _announce(settings.dir, ports)
    letters = PostOffice(world, faults, tokens.get("smtp"))
    post_office = await letters.serve(sockets.pop(DOORS.index("smtp")))
    _stop_on(server, settings.leave_on_eof)
    background = [asyncio.create_task(lander.run()), asyncio.create_task(pusher.run())]
    for task in background:
        task.add_done_callback(lambda done: _end(server, done))
    await server.serve(sockets=sockets)
    post_office.close()
    for task in background:
        task.cancel()
    await asyncio.gather(*background, return_exceptions=True)


def _end(server: _Server, task: "asyncio.Task[None]") -> None:
    """A background task that ends by itself is a bug of the town: say so, and stop serving half of it."""
    if not task.cancelled():
        sys.stderr.write(f"the town stops: {task.exception()!r}\n")
        server.should_exit = True


def _config(app: ASGIApp) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=CuttableProtocol,
        loop="asyncio",
        lifespan="off",
        ws="none",
        log_config=None,
        log_level="critical",
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=1,
    )


def _listen(settings: Settings) -> list[socket.socket]:
    """A listening socket for each door: on the port asked for, else on the last time's, else on any."""
    given = settings.ports or ()
    wanted = (*given, *_last_ports(settings.dir)[len(given) :])
    sockets = []
    for place, port in enumerate(wanted):
        # By name, because asyncio turns Nagle's delay off only where the socket says that it is TCP.
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1", port))
        except OSError:
            if place < len(given):
                raise
            sock.bind(("127.0.0.1", 0))
        sock.setblocking(False)
        sockets.append(sock)
    return sockets


def _last_ports(directory: Path) -> tuple[int, ...]:
    try:
        urls = json.loads((directory / "town.json").read_text("utf-8"))
        return tuple(urlsplit(urls.get(name, "")).port or 0 for name in DOORS)
    except (OSError, ValueError):
        return (0,) * len(DOORS)


def _announce(directory: Path, ports: dict[str, int]) -> None:
    urls = {
        name: f"{_SCHEME.get(name, 'http')}://127.0.0.1:{port}{_PATH.get(name, '')}"
        for name, port in ports.items()
    }
    line = json.dumps({**urls, "pid": os.getpid()})
    draft = directory / "town.json.new"
    draft.write_text(line + "\n", "utf-8")
    draft.replace(directory / "town.json")
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _stop_on(server: _Server, eof: bool) -> None:
    def stop() -> None:
        server.should_exit = True

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    if eof:

        def read() -> None:
            if not os.read(sys.stdin.fileno(), 4096):
                loop.remove_reader(sys.stdin.fileno())
                stop()

        loop.add_reader(sys.stdin.fileno(), read)
