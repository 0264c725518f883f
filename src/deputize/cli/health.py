"""How work goes, for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from deputize.cli.books import open_books
from deputize.cli.here import Here
from deputize.cli.says import count, moment, say, say_json, table

_AUTOMATIONS = (
    "AUTOMATION", "RUNS", "FAILED", "STUCK", "CARDS", "REFUSED", "MENDED IN", "HALF IN", "95 % IN", "NOW",
)  # fmt: skip
_UNITS_S = {"days": 86_400, "h": 3_600, "min": 60}
_THOUGHTS = (
    "BY", "NAME", "THOUGHTS", "HALF IN", "95 % IN", "TOKENS IN", "TOKENS OUT", "COST", "LOST",
)  # fmt: skip
_CONNECTORS = ("CONNECTOR", "ACTIONS", "CALLS FAILED", "MENDED IN", "HALF IN", "95 % IN", "NOW")


def health(
    ctx: typer.Context,
    days: Annotated[int, typer.Option(min=0, max=3_660, help="Of so many days; 0 for all there were.")] = 7,
) -> None:
    """Say how work goes: failures, cards and refusals, how long things take, what thoughts cost, and what is
    down now."""
    here: Here = ctx.obj
    found = open_books(here).health(days)
    if here.json:
        say_json(found)
        return
    zone = here.settings.zone
    say(f"Since {moment(found['since'], zone)}." if found["since"] else "Since the beginning.")
    rows = [_automation(one, moment(one["down_since"], zone)) for one in found["automations"]]
    table(_AUTOMATIONS, rows, "No run has ended yet.")
    say("")
    circuits = found.get("circuits", {})
    rows = [
        _connector(one, moment(one["down_since"], zone), circuits.get(one["name"]))
        for one in found["connectors"]
    ]
    table(_CONNECTORS, rows, "Nothing was sent yet.")
    if found["thoughts"]:
        say("")
        table(_THOUGHTS, [_thoughts(one) for one in found["thoughts"]], "")
    waits = "waits" if found["cards"] == 1 else "wait"
    say(f"\n{count(found['cards'], 'card')} {waits} for a person.")
    for one in found.get("slowed", ()):
        said = f"{one['automation']} begins its runs one by one, and {one['held']:,} wait"
        say(f"The inbox is full (at {found['inbox_full_at']:,}): {said}.")


def _automation(one: Mapping[str, Any], down_since: str) -> tuple[Any, ...]:
    now = (
        "its writes are confirmed" if one["confirming"] else f"fails since {down_since}" if down_since else ""
    )
    return (
        one["name"],
        one["runs"],
        _part(one["failed"], one["failure_rate"]),
        one["stuck"],
        _part(sum(one["cards"].values()), one["escalation_rate"]),
        _part(one["refusals"], one["refusal_rate"]),
        *_times(one),
        now,
    )


def _connector(one: Mapping[str, Any], down_since: str, circuit: Mapping[str, Any] | None) -> tuple[Any, ...]:
    now = f"fails since {down_since}" if down_since else ""
    if circuit is not None and circuit["state"] == "open":
        now = f"circuit open, {circuit['waiting']:,} wait"
    failed = _part(one["calls_failed"], one["failure_rate"])
    return (one["name"], one["actions"], failed, *_times(one), now)


def _thoughts(one: Mapping[str, Any]) -> tuple[Any, ...]:
    lost = f"{one['lost']:,} ({_usd(one['lost_usd_micros'])})" if one["lost"] else ""
    times, tokens = (_time(one["p50_s"]), _time(one["p95_s"])), (one["input_tokens"], one["output_tokens"])
    counted = (f"{n:,}" for n in tokens)
    return (one["by"], one["name"], one["thoughts"], *times, *counted, _usd(one["cost_usd_micros"]), lost)


def _usd(micros: int) -> str:
    return f"{micros / 1_000_000:,.4f} USD"


def _part(n: int, rate: float | None) -> str:
    return f"{n:,} ({rate:.1%})" if n and rate is not None else f"{n:,}"


def _times(one: Mapping[str, Any]) -> tuple[str, str, str]:
    return _time(one["mttr_s"]), _time(one["p50_s"]), _time(one["p95_s"])


def _time(s: float | None) -> str:
    if s is None:
        return ""
    if s < 1:
        return f"{s * 1_000:.0f} ms"
    return next((f"{s / one:.1f} {unit}" for unit, one in _UNITS_S.items() if s >= one), f"{s:.1f} s")
