"""The commands, by what they are for."""

from __future__ import annotations

from typing import Any

import typer

from deputize.cli import acting, approving, asking, keeping, moving, notifying, people, rehearsing, writing
from deputize.cli.health import health
from deputize.cli.here import USAGE, Here, Said
from deputize.cli.mcp import mcp

EVERYWHERE = "With every command: --project DIR (else this folder), --json, --debug."
_PASS = {"allow_extra_args": True, "ignore_unknown_options": True}

app = typer.Typer(
    name="deputize",
    help="Agents that act on real services, within the authority that people gave them.",
    epilog=EVERYWHERE,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
_ledger = typer.Typer(help="Check the ledger.", epilog=EVERYWHERE, no_args_is_help=True)


def run(here: Here, words: list[str]) -> int:
    """Run one command. Raises `Said` for wrong usage as for everything else."""
    try:
        code = app(args=words, prog_name="deputize", standalone_mode=False, obj=here)
    except typer.Abort:
        return 130
    except typer.TyperException as error:
        context: Any = getattr(error, "ctx", None)
        helped = f"; `{context.command_path} --help` shows how" if context is not None else ""
        message = error.format_message().rstrip(".")
        if not message:
            # Without a command, or one's own, all that there is to say is the help, which was printed.
            return USAGE
        raise Said(f"{message}{helped}", USAGE) from None
    return code if isinstance(code, int) else 0


def _elsewhere(name: str, about: str) -> None:
    """A command that `main` hands on before it comes here; listed for `--help`."""

    def listed() -> None:
        raise Said(f"write {name} as the first word: deputize {name} …", USAGE)

    app.command(name, help=about, context_settings=_PASS)(listed)


_READING = (asking.runs, asking.show, asking.why, asking.events, asking.inbox, asking.connectors, health)
_ACTING = (acting.send, acting.pause, acting.resume, acting.cancel, acting.undo, acting.halt)
_ANSWERING = (
    approving.approve,
    approving.refuse,
    approving.change,
    approving.ask_keeper,
    approving.answer,
    acting.resolve,
)
_PEOPLE = (people.people, people.login, people.logout, people.token, notifying.notify, mcp)
_KEEPING = (
    keeping.check,
    rehearsing.rehearse,
    keeping.doctor,
    keeping.backup,
    keeping.restore,
    moving.move,
    writing.schema,
)

app.command(epilog=EVERYWHERE)(keeping.init)
_elsewhere("up", "Serve the project in this folder.")
_elsewhere("demo", "Watch a small shop being run, with faults, and its books compared.")
_elsewhere("town", "Run the practice town: a shop, payments and mail over HTTP.")
for _command in (*_READING, *_ANSWERING, *_ACTING, *_PEOPLE, *_KEEPING):
    app.command(epilog=EVERYWHERE)(_command)
_ledger.command(epilog=EVERYWHERE)(keeping.verify)
_ledger.command(epilog=EVERYWHERE)(keeping.rebuild)
app.add_typer(_ledger, name="ledger")
