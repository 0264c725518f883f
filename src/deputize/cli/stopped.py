"""What a halt or a pause holds up, in a line that says how it goes on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deputize.kernel.moved import MOVED

Stops = Mapping[str, str]
"""The reason of each stop by its scope, as `/v1/stops` gives them; of a moved copy `moved` alone."""


def stop_line(scope: str, reason: str) -> str:
    """`halted: all (stock-taking); deputize resume all`."""
    if scope == MOVED:
        return reason
    word = "paused" if scope.startswith(("automation:", "run:")) else "halted"
    return f"{word}: {scope}{_because(reason, word)}; deputize resume {scope}"


def stop_of_run(run: Mapping[str, Any], stops: Stops) -> str:
    """The line of the stop that a run (as the API shows it) is held up by; empty where none is.

    A run that waits for something else is not: it stands still with or without the stop. Which connector
    a run wants next is not on record, so of halted connectors it is said that they are, and no more.
    """
    if run["state"] != "ready":
        return ""
    if MOVED in stops:
        return "this copy was moved and starts no more; `deputize inbox` says where it goes on"
    for scope in ("all", f"agent:{run['agent']}", f"automation:{run['automation']}", f"run:{run['id']}"):
        if scope in stops:
            return stop_line(scope, stops[scope])
    return " · ".join(
        f"{scope} is halted{_because(reason, 'halted')}: a run that needs it waits; deputize resume {scope}"
        for scope, reason in sorted(stops.items())
        if scope.startswith("connector:")
    )


def waits_of(run: Mapping[str, Any]) -> str:
    """What a run (as the API shows it) waits for, in one line; stops are told by `stop_of_run`."""
    said = [wait["said"].removeprefix("waits for ") for wait in run["waits_for"] if wait["kind"] != "stop"]
    return f"waits for {'; '.join(said)}" if said else ""


def _because(reason: str, word: str) -> str:
    return f" ({reason})" if reason not in ("", word) else ""
