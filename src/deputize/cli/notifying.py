"""`deputize notify`: by what a person is told, and whether that works."""

from __future__ import annotations

import asyncio
import secrets
from typing import Annotated, Any

import typer

from deputize.cli.here import NO, Here, Said
from deputize.cli.says import say, say_json
from deputize.clock import SystemClock
from deputize.suggest import did_you_mean


def notify(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="A person of deputize.toml.")],
    test: Annotated[bool, typer.Option("--test", help="Send them a test message, now.")] = False,
) -> None:
    """Say by what a person is told that something waits for them; with --test, try it."""
    here: Here = ctx.obj
    settings = here.settings
    people = settings.directory.people
    if name not in people:
        said = did_you_mean(name, people) if people else "; add [people.NAME] to deputize.toml"
        raise Said(f"there is nobody called {name!r}{said}")
    if settings.notify is None:
        raise Said("nobody is told of anything: deputize.toml has no [notify]")
    channels = settings.notify.channels_of(people[name])
    if not channels:
        raise Said(f"nothing reaches {name}: add email (or slack) to [people.{name}]")
    tried = asyncio.run(_try(here, name)) if test else {}
    if here.json:
        say_json({"person": name, "channels": list(channels), **({"tried": tried} if test else {})})
    else:
        say(f"{name} is told by {' and '.join(channels)}.")
        for channel, trouble in tried.items():
            say(f"{channel}: {trouble or 'the test message was taken.'}")
    if any(tried.values()):
        raise typer.Exit(NO)


async def _try(here: Here, name: str) -> dict[str, Any]:
    """Why each channel did not take a test message; None where it did."""
    from deputize.connectors.secret import Secrets
    from deputize.notify.channels import NotSent, open_channels, send_within
    from deputize.notify.message import sample_letter

    settings = here.settings
    assert settings.notify is not None
    person = settings.directory.people[name]
    opened = open_channels(settings.notify, Secrets(settings.root, settings.environ))
    tried: dict[str, Any] = {}
    for channel in settings.notify.channels_of(person):
        try:
            letter = sample_letter(person.shown, secrets.token_hex(16))
            await send_within(opened[channel], letter, person, SystemClock().now_us())
            tried[channel] = None
        except NotSent as error:
            tried[channel] = error.reason
    for one in opened.values():
        await one.aclose()
    return tried
