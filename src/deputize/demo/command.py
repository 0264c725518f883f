"""`deputize demo`: its options."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from deputize.demo.home import DemoError
from deputize.demo.mails import READERS


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo. 0: everything held; 1: something did not, and it says what; 2: it could not start;
    130: it was stopped, and goes on when called again."""
    asked = _parser().parse_args(argv)
    from deputize.demo.play import Wishes, play  # late, so that --help is quick

    wishes = Wishes(
        dir=asked.dir.absolute(),
        days=asked.days,
        per_second=asked.per_second,
        seed=asked.seed,
        reader=asked.model,
        fresh=asked.fresh,
        exit_when_idle=asked.exit_when_idle,
        yourself=asked.yourself,
        report=asked.json,
    )
    try:
        return play(wishes)
    except (DemoError, OSError) as error:
        sys.stderr.write(f"deputize demo: {error}\n")
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="deputize demo",
        description="A small shop's orders, returns, refunds and messages, handled by agents against real "
        "HTTP services that fail on purpose. Kill it in any way you like and start it again: it goes on.",
    )
    add = parser.add_argument
    add("--dir", type=Path, default=Path(".demo"), help="where it keeps its state (default: .demo)")
    add("--fresh", action="store_true", help="forget what was, and start over")
    add("--exit-when-idle", action="store_true", help="end once all is answered, instead of going on")
    add(
        "--yourself",
        action="store_true",
        help="nobody answers the cards but you; with --fresh, they wait for days",
    )
    add("--json", type=Path, metavar="FILE", help="write the figures of the end to FILE")
    add("--days", type=_days, help="how many of the shop's days at a time (default: 3)")
    add("--per-second", type=_rate, default=6.0, help="events that are sent in a second (default: 6)")
    add(
        "--model",
        choices=list(READERS),
        help="who reads the mails: a small model on this machine (default, where it is installed), or a "
        "stand-in that goes by words",
    )
    add("--seed", type=int, help="the same seed, the same town and the same days (default: 7)")
    return parser


def _days(text: str) -> int:
    days = int(text)
    if not 1 <= days <= 1_000:
        raise argparse.ArgumentTypeError("give 1 to 1000 days")
    return days


def _rate(text: str) -> float:
    rate = float(text)
    if not 0.1 <= rate <= 1_000:
        raise argparse.ArgumentTypeError("give 0.1 to 1000 events in a second")
    return rate
