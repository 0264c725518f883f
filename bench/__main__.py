"""`python -m bench`: measure, show a table, write JSON. See `--help`."""

import argparse
import json
import sys
from pathlib import Path

from rich.console import Console

from bench.authority import authority
from bench.console import console
from bench.contenders import ReadingFailed
from bench.planning import planning
from bench.report import Flat, flatten, missed, show
from bench.rounds import run_rounds, scaled
from bench.spine import spine
from bench.thinking import thinking

SECTIONS = {
    "spine": spine,
    "authority": authority,
    "thinking": thinking,
    "planning": planning,
    "console": console,
}


def main() -> int:
    """Run the sections asked for. Returns 0; 2 if a reading failed; by `--assert`, 1 if a must is missed."""
    given = _arguments().parse_args()
    screen = Console()
    flat: Flat = {}
    short: list[str] = []
    for name in [given.only] if given.only else SECTIONS:
        section = scaled(SECTIONS[name](), given.scale)
        try:
            with screen.status(f"{name} …") as status:
                results = run_rounds(section, given.rounds, status.update)
        except ReadingFailed as error:
            print(error, file=sys.stderr)
            return 2
        show(results, screen)
        flat |= flatten(results)
        # A promise that nothing measured is not kept.
        short += missed(results) if section.figures else [f"{name}: no figure of it can be measured yet"]
    if given.json:
        given.json.write_text(json.dumps(flat, indent=2) + "\n")
    if given.assert_musts and short:
        print("\n".join(short), file=sys.stderr)
        return 1
    return 0


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--only", choices=sorted(SECTIONS), help="one section instead of all")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write one flat JSON object")
    parser.add_argument("--rounds", type=_at_least_one, default=5, help="alternated rounds (default 5)")
    parser.add_argument("--scale", type=_positive, default=1.0, help="times the usual work (default 1)")
    parser.add_argument(
        "--assert", dest="assert_musts", action="store_true", help="exit 1 if a must is missed"
    )
    return parser


def _at_least_one(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number <= 1000:
        raise argparse.ArgumentTypeError("above 0, up to 1000")
    return number


if __name__ == "__main__":
    sys.exit(main())
