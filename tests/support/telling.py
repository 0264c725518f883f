"""A project whose people are told what waits for them, by the town's post office and its chat."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from deputize.town import Town
from tests.support.desk import Desk
from tests.support.project import PERMIT, write_project
from tests.support.running import Running

HOOK = "/services/T1/{hook}/very-secret-part"

PAYS = """
@automation(on=Ask, agent=worker)
async def pays(event: Event[Ask]) -> Outcome:
    paid = await attempt(desk.pay(account=event.data.item, amount=Money(100 * event.data.n, "EUR")))
    return done(type(paid).__name__)
"""

ASKS = (
    PERMIT
    + """
[[rule]]
title = "More than 50 euros waits for a person"
operation = "desk.pay"
ask_above = { amount = "50.00 EUR" }
ask = "finance"
within = "20 hours"
"""
)

MAYA = '[people.maya]\nroles = ["finance"]\nemail = "maya@example.test"\n'


def telling_project(
    root: Path,
    desk: Desk,
    town: Town,
    *,
    notify: str = 'every = "5 minutes"',
    people: str = MAYA,
    rules: str = ASKS,
    automations: str = PAYS,
    smtp: str = "",
    slack: str = "",
) -> Path:
    """`smtp` is what is added to the server's settings; `slack` the name of a hook, for the chat too."""
    place = urlsplit(town.urls["smtp"])
    server = f'host = "127.0.0.1", port = {place.port}, from = "deputize@example.test", tls = false{smtp}'
    toml = f"[notify]\nsmtp = {{{server}}}\n{notify}\n"
    if slack:
        toml += 'slack = "env:CHAT_HOOK"\n'
        (root / ".env").write_text(f"CHAT_HOOK={town.urls['chat']}{HOOK.format(hook=slack)}\n")
    return write_project(root, desk.base, automations, rules=rules, toml=f"{toml}\n{people}")


async def ask_for(app: Running, number: int, first: int = 0) -> list[str]:
    """So many payments that wait for people; their runs, once each has its card."""
    before = len(app.read(lambda view: view.cards(limit=1_000)))
    runs = await app.send_all([("test.ask", {"item": f"i{first + n}", "n": 80}) for n in range(number)])
    await app.until(lambda view: len(view.cards(limit=1_000)) == before + number)
    return runs


def subjects(town: Town, reader: str = "maya@example.test") -> list[str]:
    return [letter["subject"].partition(":")[0] for letter in town.letters(reader)]


def standing(app: Running, channel: str = "email") -> Any:
    (found,) = [one for one in app.system.notifier.standing() if one.name == channel]
    return found
