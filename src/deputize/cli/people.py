"""Commands about people: who may decide, their tokens, and who commands here speak for."""

from __future__ import annotations

from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer

from deputize.cli.books import open_books
from deputize.cli.here import Here
from deputize.cli.login import first_link, log_in, log_out, token_giver
from deputize.cli.says import moment, say, say_json, table
from deputize.config import PERSON_TOKEN
from deputize.kernel.tokens import DAYS, DAYS_MAX

Name = Annotated[str, typer.Argument(help="The person, by their name in deputize.toml.")]
_NOBODY = "deputize.toml names nobody who may decide: add [people.NAME]."


def people(ctx: typer.Context) -> None:
    """List who may decide, what they keep, and the ids of their tokens."""
    here: Here = ctx.obj
    found = open_books(here).people()
    if here.json:
        say_json(found)
        return
    zone = here.settings.zone
    rows = [
        (
            one["name"],
            one["shown"],
            one["role"],
            ", ".join(one["roles"]),
            ", ".join(one["groups"]),
            ", ".join(one["keeps"]),
            ", ".join(_token(token, zone) for token in one["tokens"]),
        )
        for one in found["people"]
    ]
    table(("NAME", "SHOWN", "MAY AS", "ROLES", "GROUPS", "KEEPS", "TOKENS"), rows, _NOBODY)


def token(
    ctx: typer.Context,
    name: Name,
    revoke: Annotated[str, typer.Option("--revoke", metavar="ID", help="Take this token back.")] = "",
    scope: Annotated[
        str, typer.Option("--scope", metavar="ROLE", help="It may no more than viewer, approver or operator.")
    ] = "",
    days: Annotated[int, typer.Option("--days", help=f"For how long it is good, {DAYS_MAX} at most.")] = DAYS,
    about: Annotated[str, typer.Option("--for", metavar="TEXT", help="What it is for, in a few words.")] = "",
) -> None:
    """Give a person a token, which is shown once, or take one back."""
    here: Here = ctx.obj
    process = token_giver(here)
    if revoke:
        _told(here, process.delete("v1", "people", name, "tokens", revoke), f"{revoke} is no token any more.")
        return
    wanted = {"days": days, "for": about} | ({"scope": scope} if scope else {})
    made = process.post("v1", "people", name, "tokens", body=wanted)
    if here.json:
        say_json(made)
        return
    say(made["token"])
    until = f", good until {moment(made['ends_at'], here.settings.zone)}"
    scoped = f" for {made['scope']}s' acts alone" if made["scope"] else ""
    say(f"This is {name}'s token {made['id']}{scoped}{until}. It is shown once: nobody can read it again.")
    say(f"`deputize login {name} --token -` takes it; a request carries it as Authorization: Bearer …")


def login(
    ctx: typer.Context,
    name: Name,
    token: Annotated[
        str, typer.Option("--token", metavar="-", help="Read a token from standard input.")
    ] = "",
    browser: Annotated[
        bool,
        typer.Option("--browser", help="Print a one-time link by which they set a password and come in."),
    ] = False,
) -> None:
    """Let commands in this folder speak for a person, until `deputize logout`."""
    here: Here = ctx.obj
    if browser:
        link = first_link(here, name, token)
        said = f"For {name}, once and within {link['minutes']} minutes: it sets a password and comes in."
        _told(here, link, f"{link['url']}\n{said}")
        return
    made = log_in(here, name, token)
    first = f" {PERSON_TOKEN} is set, and comes first." if here.settings.person_token else ""
    said = f"Commands here speak for {name} now; what you send is {name}'s, and others approve it.{first}"
    _told(here, {"person": made.person, "id": made.id or None}, said)


def logout(ctx: typer.Context) -> None:
    """Let commands in this folder speak for nobody again."""
    here: Here = ctx.obj
    was, ended = log_out(here)
    if was is None:
        said = "Nobody was logged in here."
    elif ended or not was.id:
        said = f"Commands here no longer speak for {was.person}."
    else:
        said = (
            f"Commands here no longer speak for {was.person}. Their token is as it was: "
            f"`deputize token {was.person} --revoke {was.id}` takes it back."
        )
    if here.settings.person_token:
        said += f" {PERSON_TOKEN} is still set."
    _told(here, {"person": was.person if was is not None else None, "revoked": ended}, said)


def _token(token: dict[str, Any], zone: ZoneInfo) -> str:
    """A token in a list: `1f2e3d4c (viewer, until …: for the till)`."""
    end = (
        f"until {moment(token['ends_at'], zone)}"
        if token["ends_at"]
        else f"since {moment(token['at'], zone)}"
    )
    scope = f"{token['scope']}, " if token["scope"] else ""
    about = f": {token['for']}" if token["for"] else ""
    return f"{token['id']} ({scope}{end}{about})"


def _told(here: Here, document: dict[str, Any], sentence: str) -> None:
    if here.json:
        say_json(document)
    else:
        say(sentence)
