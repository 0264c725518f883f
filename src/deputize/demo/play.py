"""The demo from its start to its end: the folder, the processes, the picture, the reckoning."""

from __future__ import annotations

import json
import signal
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from rich.console import Console

from deputize.clock import SystemClock
from deputize.demo.balance import Check
from deputize.demo.children import Server, start_town
from deputize.demo.hall import Hall
from deputize.demo.home import begin, open_home
from deputize.demo.picture import Frame, Picture
from deputize.demo.stage import Stage
from deputize.signals import Stopped, stopping_on

TICK_S = 0.25
STOPPED = 130
NOT_FIGURES = ("title", "stories", "hint")


@dataclass(frozen=True)
class Wishes:
    """What was asked for on the command line; None takes what was begun with, or the default."""

    dir: Path
    days: int | None
    per_second: float
    seed: int | None
    reader: str | None
    fresh: bool
    exit_when_idle: bool
    yourself: bool
    report: Path | None


def play(wishes: Wishes) -> int:
    """Run the demo to its end, or until it is stopped; the exit code. Raises `DemoError`."""
    clock = SystemClock()
    signals = stopping_on(signal.SIGINT, signal.SIGTERM)
    with open_home(wishes.dir, fresh=wishes.fresh) as home, signals as stopped:
        begun = begin(home, wishes.days, wishes.seed, wishes.reader, hurried=not wishes.yourself)
        town, server = start_town(home, begun.seed), Server(home)
        picture = Picture(Console())
        stage = Stage(
            home,
            Hall(town),
            server,
            clock,
            picture.say,
            days=begun.days,
            per_second=wishes.per_second,
            ends=wishes.exit_when_idle,
            reader=begun.reader,
            yourself=wishes.yourself,
        )
        try:
            with picture:
                finished = _until_end(stage, picture, clock, stopped)
            return _sum_up(stage, picture, wishes.report, finished)
        finally:
            stage.close()
            server.stop()
            town.stop()


def _until_end(stage: Stage, picture: Picture, clock: SystemClock, stopped: Stopped) -> bool:
    """Turn after turn; whether the demo came to its end, and was not stopped before."""
    wait_s = 0.0
    while not stopped(wait_s):
        ended = stage.turn()
        picture.show(stage.frame(), clock.monotonic())
        if ended:
            return True
        wait_s = TICK_S
    return False


def _sum_up(stage: Stage, picture: Picture, report: Path | None, finished: bool) -> int:
    frame, found = stage.frame(), stage.checks() if finished else []
    if report is not None:
        _write(report, _report(frame, found, finished))
    if not finished:
        picture.say(
            f"Stopped after {frame.answered} of {frame.of} events; nothing is lost. "
            "The same command goes on from here, and --fresh starts over."
        )
        return STOPPED
    picture.sum_up(found)
    return 0 if all(check.holds for check in found) else 1


def _report(frame: Frame, found: list[Check], finished: bool) -> dict[str, Any]:
    return {
        "finished": finished,
        "ok": finished and all(check.holds for check in found),
        "checks": {check.name: check.holds for check in found},
        "says": {check.name: check.says for check in found},
        **{f.name: getattr(frame, f.name) for f in fields(frame) if f.name not in NOT_FIGURES},
        "mails": asdict(frame.mails),
    }


def _write(path: Path, report: Mapping[str, Any]) -> None:
    draft = path.with_name(f"{path.name}.new")
    draft.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", "utf-8")
    draft.replace(path)
