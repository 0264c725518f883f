"""`deputize up`: serve the project until told to stop. Nothing here imports the command line's libraries."""

from __future__ import annotations

import asyncio
import getpass
import os
import sys
from typing import TYPE_CHECKING

from deputize.cli.here import USAGE, Here, Said
from deputize.cli.stopped import stop_line
from deputize.errors import LedgerOwned, ProjectError
from deputize.loopback import is_loopback

if TYPE_CHECKING:
    from socket import socket

    from deputize.config import Settings
    from deputize.kernel.tokens import Opener
    from deputize.system import System

HELD_FILE = "held.txt"
USAGE_LINE = "Usage: deputize up [--project DIR] [--json]"


def up(here: Here, words: list[str]) -> int:
    """Serve; returns once it was stopped. Raises `Said` and `DeputizeError` where it cannot start."""
    if words:
        raise Said(f"up takes no {words[0]!r}. {USAGE_LINE}", USAGE)
    from deputize.cli.restarting import Restart
    from deputize.clock import SystemClock
    from deputize.kernel.watchdog import Watchdog
    from deputize.processor import OneProcessor
    from deputize.project import load_project
    from deputize.system import System, restart_process

    _look_whether_moved(here.settings)
    project = load_project(here.root)
    # The address first: a start that cannot be served must not make a ledger, or bring it to a new epoch.
    with _address(project.settings) as listener:
        # Beside the ledger, and only touched by the process that has it.
        watchdog = Watchdog(project.settings.data / HELD_FILE)
        restart = Restart(here.root)
        processor = OneProcessor(SystemClock())
        opener = _opener(project.settings)
        system = System(project, watchdog=watchdog, processor=processor, restart=restart, opener=opener)
        asyncio.run(_serve(system, here, listener))
    if restart.reason:
        restart_process(restart.reason)
    return 0


def _opener(settings: Settings) -> Opener:
    """Whoever commands here speak for, and the account that this process runs as."""
    from deputize.cli.process import login_of
    from deputize.kernel.tokens import Opener

    login = login_of(settings.data)
    token = settings.person_token or (login["token"] if login is not None else "")
    try:
        account = getpass.getuser()
    except (OSError, KeyError):
        # An account without a name, as in some containers.
        account = str(os.getuid())
    return Opener(token.encode(), account)


def _look_whether_moved(settings: Settings) -> None:
    """Raises `LedgerMoved` for what stayed behind of a move; one not finished is taken back."""
    from deputize.moving.leaving import settle_move

    if settle_move(settings):
        sys.stderr.write("deputize: a move that had not come to its end was taken back; this copy goes on\n")


def _address(settings: Settings) -> socket:
    """Raises `LedgerOwned` where the address is taken because this very project runs already."""
    from deputize.api.listening import listen
    from deputize.store.sqlite.offline import owner_of

    try:
        return listen(settings)
    except ProjectError:
        owner = owner_of(settings.ledger)
        if owner is None:
            raise
        raise LedgerOwned(
            f"{settings.ledger} belongs to the running process {owner}, which serves it; stop it first"
        ) from None


async def _serve(system: System, here: Here, listener: socket) -> None:
    # Imported here and not above: the ledger is taken, or refused, before the server is read in.
    from deputize.api.server import serve
    from deputize.console.app import add_pages

    project = system.project
    automations, rules = len(project.automations), len(project.rules.explain())

    def ready(url: str) -> None:
        stops, link = sorted(system.kernel.parts.stops.scopes.items()), _first_link(system, url)
        if here.json:
            import orjson

            stopped = [{"scope": scope, "reason": reason} for scope, reason in stops]
            said = {"url": url, "automations": automations, "rules": rules, "stops": stopped}
            said |= {"link": link[1]} if link is not None else {}
            lines = [orjson.dumps(said).decode()]
        else:
            lines = [
                f"Deputize is ready: {url} "
                f"({_count(automations, 'automation')}, {_count(rules, 'rule')}); Ctrl-C stops it",
                *(f"  {stop_line(scope, reason)}" for scope, reason in stops),
                *([f"  {link[0]}: {link[1]}"] if link is not None else []),
            ]
        sys.stdout.write("\n".join(lines) + "\n")
        sys.stdout.flush()

    await serve(system, ready=ready, listener=listener, pages=add_pages)


def _first_link(system: System, url: str) -> tuple[str, str] | None:
    """Where nobody here could come in by a browser yet: what a one-time link is for, and the link."""
    found = system.entrance.first_link() if is_loopback(system.project.settings.host) else None
    if found is None:
        return None
    person, path = found
    does = f"{person} sets a password and comes in" if person else "Opens it in a browser"
    return f"{does}, once and within 15 minutes", url + path


def _count(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"
