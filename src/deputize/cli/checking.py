"""`deputize check`: its child process, the time that it gets, and what people read of its report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from deputize.aside import Aside
from deputize.cli.aside import run_aside
from deputize.cli.says import count, say
from deputize.config import read_settings

TOLD_MAX = 20


def check_project(
    root: Path, within_s: float, *, code_only: bool = False, replay: bool = True
) -> dict[str, Any]:
    """Run the child on a project. Returns its report with `ok`; a child that hangs is a problem of it.

    `code_only` leaves out what stands outside the code, and so the replays; `replay` those alone.
    Raises `ProjectError` for settings that cannot be read, `Said` for a child that ends without a word.
    """
    settings = read_settings(root.resolve())
    words = ["--code-only"] if code_only else [] if replay else ["--no-replay"]
    child = run_aside("deputize.cli.check_child", words, settings.root, within_s, "checking")
    report = child.report or {"problems": [_hung(child, within_s)]}
    stuck = report.get("replayed", {}).get("stuck", [])
    return {"ok": not report["problems"] and not stuck, **report}


def say_checked(report: dict[str, Any]) -> None:
    """The report for people."""
    for line in (*report["problems"], *report.get("notes", ())):
        say(line)
    if "automations" in report:
        names = ("automation", "agent", "connector", "rule")
        say(f"Imports: {', '.join(count(len(report[f'{name}s']), name) for name in names)}.")
    if "replayed" in report:
        _say_replayed(report["replayed"])
    if "cedar" in report:
        say(report["cedar"])
    say("All is well." if report["ok"] else "Not ready to go live: see above.")


def _say_replayed(replayed: dict[str, Any]) -> None:
    both = f"{count(replayed['open'], 'open run')} and {count(replayed['ended'], 'ended run')}"
    say(f"Replayed {both} against this code.")
    _say_alike("Would be stuck", replayed["stuck"])
    _say_alike("Would go another way now (it has ended, and stays as it is)", replayed["differs"])
    if changed := replayed["changed"]:
        names = ", ".join(sorted({one["automation"] for one in changed}))
        say(f"{count(len(changed), 'open run')} of {names} began under other code, and match this one too.")


def _say_alike(what: str, told: list[dict[str, Any]]) -> None:
    """One of each kind with both sides, and how many more there are of it."""
    kinds: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for one in told:
        kinds.setdefault((one["automation"], one["reason"]), []).append(one)
    for (automation, reason), alike in list(kinds.items())[:TOLD_MAX]:
        one = alike[0]
        more = f" (and {len(alike) - 1} more like it)" if len(alike) > 1 else ""
        say(f"{what}: run {one['run']} of {automation}{more}: {reason}")
        if one["code"] or one["record"]:
            say(f"  the code:   {one['code']}\n  the record: {one['record']}")
    if len(kinds) > TOLD_MAX:
        say(f"… and {len(kinds) - TOLD_MAX} more kinds; --json has all of them.")


def _hung(child: Aside, within_s: float) -> str:
    remedy = "move what takes long out of the module's top level and out of automations"
    return (
        f"{child.where}still {child.doing} after {within_s:g} s, so the check was ended; {remedy}, "
        "or give it --within-s"
    )
