"""What a halt or a pause holds up, in a line that says how it goes on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Stops = Mapping[str, str]
"""The reason of each stop by its scope, as `/v1/stops` gives them."""


def stop_line(scope: str, reason: str) -> str:
    """`halted: all (stock-taking); deputize resume all`."""
    word = "paused" if scope.startswith(("automation:", "run:")) else "halted"
    why = f" ({reason})" if reason not in ("", word) else ""
    return f"{word}: {scope}{why}; deputize resume {scope}"


def stop_of_run(run: Mapping[str, Any], stops: Stops) -> str:
    """The line of the stop that a run (as the API shows it) is held up by; empty where none is.

    A run that waits for something else is not: it stands still with or without the stop. Which connector
    a run wants next is not on record, so a halted one is named only where nothing else explains the run.
    """
    if run["state"] != "ready":
        return ""
    own = ("all", f"agent:{run['agent']}", f"automation:{run['automation']}", f"run:{run['id']}")
    for scope in (*own, *(scope for scope in sorted(stops) if scope.startswith("connector:"))):
        if scope in stops:
            line = stop_line(scope, stops[scope])
            return line if scope in own else f"perhaps {line}"
    return ""
