"""`deputize check`: its child process, the time that it gets, and what people read of its report."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from deputize.cli.here import Said
from deputize.cli.says import count, progress, say
from deputize.config import read_settings

STANDING_S = 1.0
ERRORS_SHOWN = 2_000
TOLD_MAX = 20

_FRAME = re.compile(r'File "([^"]+)", line (\d+)')


def check_project(
    root: Path, within_s: float, *, code_only: bool = False, replay: bool = True
) -> dict[str, Any]:
    """Run the child on a project. Returns its report with `ok`; a child that hangs is a problem of it.

    `code_only` leaves out what stands outside the code, and so the replays; `replay` those alone.
    Raises `ProjectError` for settings that cannot be read, `Said` for a child that ends without a word.
    """
    settings = read_settings(root.resolve())
    # -P: a file of the project must not stand in for a module of the check itself.
    command = [sys.executable, "-P", "-m", "deputize.cli.check_child", str(settings.root)]
    command += ["--code-only"] if code_only else [] if replay else ["--no-replay"]
    # Files, not pipes: whatever the project prints, and however much, the child never waits for us.
    with tempfile.TemporaryFile() as told, tempfile.TemporaryFile() as errors, progress("checking"):
        child = subprocess.Popen(
            command,
            cwd=settings.root,
            stdin=subprocess.DEVNULL,
            stdout=told,
            stderr=errors,
            start_new_session=True,
        )
        hung = False
        try:
            child.wait(within_s)
        except subprocess.TimeoutExpired:
            hung = True
        finally:
            _end(child)
        stages, report = _lines(told)
        said = _text(errors)
    if report is None:
        if not hung:
            raise Said(
                f"the check ended without a report (exit {child.returncode}): {said[-ERRORS_SHOWN:].strip()}"
            )
        report = {"problems": [_hung(settings.root, stages, said, within_s)]}
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


def _end(child: subprocess.Popen[bytes]) -> None:
    """Ask where it stands, then end it and all that it started."""
    if child.poll() is None:
        child.send_signal(signal.SIGUSR1)
        with suppress(subprocess.TimeoutExpired):
            child.wait(STANDING_S)
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _hung(root: Path, stages: list[str], said: str, within_s: float) -> str:
    doing = stages[-1] if stages else "starting"
    dump = said.rpartition("most recent call first")[2]
    own = [(file, line) for file, line in _FRAME.findall(dump) if file.startswith(f"{root}/")]
    where = f"{own[0][0].removeprefix(f'{root}/')}:{own[0][1]}: " if own else ""
    remedy = "move what takes long out of the module's top level and out of automations"
    return (
        f"{where}still {doing} after {within_s:g} s, so the check was ended; {remedy}, or give it --within-s"
    )


def _lines(told: Any) -> tuple[list[str], dict[str, Any] | None]:
    stages, report = [], None
    for text in _text(told).splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            continue  # cut off where the child was ended
        if "stage" in line:
            stages.append(line["stage"])
        else:
            report = line["report"]
    return stages, report


def _text(file: Any) -> str:
    file.seek(0)
    return str(file.read().decode(errors="replace"))
