"""Templates, and how times, money and long texts are written in them.

Jinja is imported with the first page that somebody opens: most processes are started by a program.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

from deputize import canonical
from deputize.clock import parse_time, to_datetime
from deputize.duration import duration_text
from deputize.money import money_of

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

HERE = Path(__file__).parent


def render(template: str, zone: ZoneInfo, now: int, values: Mapping[str, Any]) -> str:
    """A template with its values; times in a zone, as they are from `now` (ledger time)."""
    words = {**values, "when": partial(when, zone, now)}
    words["clock"] = partial(clock, zone, now)
    return _environment().get_template(template).render(words)


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters |= {
        "usd": usd,
        "words": words,
        "place": partial(quote, safe="/~"),
        "lasts": lasts,
        "percent": percent,
        "name_of": name_of,
        "sentence": sentence,
        "outcome": outcome,
    }
    environment.globals |= {"asset": asset}
    return environment


@cache
def asset(name: str) -> str:
    """The address of a file that comes with the console, which changes with what is in it."""
    digest = hashlib.sha256((HERE / "static" / name).read_bytes()).hexdigest()[:12]
    return f"/static/{name}?v={digest}"


def when(zone: ZoneInfo, now: int, at: str | int | None) -> Markup | str:
    """A moment (ISO 8601 or ledger time): how long ago or how far off, with the exact time behind it."""
    from markupsafe import Markup

    if at is None:
        return "—"
    at_us = parse_time(at) if isinstance(at, str) else at
    moment = to_datetime(at_us).astimezone(zone)
    exact = f"{moment:%a %d %b %Y, %H:%M:%S} ({moment.tzname()})"
    said = _near(moment.date() == to_datetime(now).astimezone(zone).date(), now - at_us, f"{moment:%H:%M}")
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        moment.isoformat(), exact, said or f"{moment:%d %b, %H:%M}"
    )


def clock(zone: ZoneInfo, now: int, at: str | int) -> Markup:
    """A moment to the second, with its day where that is not today's."""
    from markupsafe import Markup

    moment = to_datetime(parse_time(at) if isinstance(at, str) else at).astimezone(zone)
    exact = f"{moment:%a %d %b %Y, %H:%M:%S} ({moment.tzname()})"
    here = to_datetime(now).astimezone(zone)
    far = f"{moment:%d %b %Y, }" if moment.year != here.year else f"{moment:%d %b, }"
    said = f"{'' if moment.date() == here.date() else far}{moment:%H:%M:%S}"
    return Markup('<time datetime="{}" title="{}">{}</time>').format(moment.isoformat(), exact, said)


def _near(today: bool, ago_us: int, clock: str) -> str:
    """How near a moment is, in words; empty where the date says it better."""
    away_s = abs(ago_us) / 1_000_000
    if away_s < 60:
        return "just now" if ago_us >= 0 else "in less than a minute"
    if away_s < 3_600:
        minutes = f"{int(away_s // 60)} min"
        return f"{minutes} ago" if ago_us > 0 else f"in {minutes}"
    return clock if today else ""


def usd(micros: int) -> str:
    """Micro-dollars as dollars: `3.12 USD`, and small sums so that something is seen of them."""
    dollars = micros / 1_000_000
    return f"{dollars:,.2f} USD" if dollars >= 1 or not micros else f"{dollars:.4f} USD"


def lasts(seconds: float | None) -> str:
    """How long something takes."""
    if seconds is None:
        return "—"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 120 else duration_text(round(seconds))


def percent(share: float | None) -> str:
    """A share of 0 to 1."""
    return (
        "—"
        if share is None
        else f"{share * 100:.0f} %"
        if share >= 0.1 or not share
        else f"{share * 100:.1f} %"
    )


def words(value: Any) -> str:
    """A value whole, as people write it: money as money, texts without quotes."""
    if (money := money_of(value)) is not None:
        return str(money)
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "nothing"
    return canonical.encode(value).decode()


def name_of(name: str) -> str:
    """A name in code as a title: `handle_return` is `Handle return`."""
    spaced = name.replace("_", " ").replace(".", ": ")
    return spaced[:1].upper() + spaced[1:]


def sentence(text: str) -> str:
    """A text with a capital letter at its beginning, where that is no name in code."""
    return text if "." in text.partition(" ")[0].rstrip(".") else text[:1].upper() + text[1:]


ENDS = {"done": "Done", "gave_up": "Gave up", "failed": "Failed", "cancelled": "Cancelled"}
"""How a run may end."""


def outcome(label: str) -> str:
    """How a run ended, as people say it: `done(refunded)` is `Done: refunded`."""
    kind, _, rest = label.partition("(")
    name = ENDS.get(kind)
    if name is None:
        return label
    return f"{name}: {rest.removesuffix(')')}" if rest else name
