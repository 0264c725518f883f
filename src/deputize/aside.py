"""A project's code run aside: in a child process, for a time, where it can harm nobody.

The child writes one JSON line for each thing that it is about to do, and its report as the last one.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deputize.errors import DeputizeError

STANDING_S = 1.0
LOOK_EVERY_S = 0.5
ERRORS_SHOWN = 2_000

_FRAME = re.compile(r'File "([^"]+)", line (\d+)')


@dataclass(frozen=True)
class Aside:
    """How a child ended: its report, or, where it was ended for its time, what it was doing and where."""

    report: dict[str, Any] | None
    doing: str
    where: str


class EndedWithoutReport(DeputizeError):
    """A child process ended without a report."""


def run_aside(
    module: str,
    words: list[str],
    root: Path,
    within_s: float,
    what: str,
    given_up: Callable[[], bool] = lambda: False,
) -> Aside:
    """Run a module of ours on a project; it is ended once it is `given_up`, as where its time is over.

    Raises `EndedWithoutReport`.
    """
    # -P: a file of the project must not stand in for a module of ours.
    command = [sys.executable, "-P", "-m", module, str(root), *words]
    # Files, not pipes: whatever the project prints, and however much, the child never waits for us.
    with tempfile.TemporaryFile() as told, tempfile.TemporaryFile() as errors:
        child = subprocess.Popen(
            command,
            cwd=root,
            stdin=subprocess.DEVNULL,
            stdout=told,
            stderr=errors,
            start_new_session=True,
        )
        try:
            hung = not _waited(child, within_s, given_up)
        finally:
            _end(child)
        stages, report = _lines(told)
        said = _text(errors)
    if report is None and not hung:
        tail = said[-ERRORS_SHOWN:].strip()
        raise EndedWithoutReport(f"{what} ended without a report (exit {child.returncode}): {tail}")
    return Aside(report, stages[-1] if stages else "starting", _standing(root, said) if hung else "")


def _waited(child: subprocess.Popen[bytes], within_s: float, given_up: Callable[[], bool]) -> bool:
    """Whether a child has come to its end in time."""
    left_s = within_s
    while left_s > 0 and not given_up():
        try:
            child.wait(min(LOOK_EVERY_S, left_s))
            return True
        except subprocess.TimeoutExpired:
            left_s -= LOOK_EVERY_S
    return False


def _end(child: subprocess.Popen[bytes]) -> None:
    """Ask where it stands, then end it and all that it started."""
    if child.poll() is None:
        child.send_signal(signal.SIGUSR1)
        with suppress(subprocess.TimeoutExpired):
            child.wait(STANDING_S)
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _standing(root: Path, said: str) -> str:
    """`file:line: ` in the project where the child stood when it was ended."""
    dump = said.rpartition("most recent call first")[2]
    own = [(file, line) for file, line in _FRAME.findall(dump) if file.startswith(f"{root}/")]
    return f"{own[0][0].removeprefix(f'{root}/')}:{own[0][1]}: " if own else ""


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
