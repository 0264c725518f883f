"""The command line of the practice town."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from deputize.town.wire import POSTS, SERVICES

if TYPE_CHECKING:
    from deputize.town.faults import Rule


def main(argv: Sequence[str] | None = None) -> int:
    """Run a town until it is told to stop; the exit status is 0, or 2 when it could not start."""
    from deputize.town.server import Busy, Settings, run  # late, so that --help and the handle stay light

    args = _parser().parse_args(argv)
    try:
        settings = Settings(
            dir=args.dir,
            seed=args.seed,
            customers=args.customers,
            ports=args.ports,
            key_ttl_s=args.key_ttl_s,
            faults=_faults(args.faults),
            tokens=_tokens(args.token),
            leave_on_eof=args.leave_on_eof,
        )
        run(settings)
    except (Busy, OSError, ValueError) as error:
        sys.stderr.write(f"deputize town: {error}\n")
        if args.json:
            sys.stdout.write(json.dumps({"error": str(error)}) + "\n")
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="deputize town",
        description="A small town to practise in: a shop, payments, mail, a chat and a stand-in for a model "
        "over HTTP, and SMTP.",
    )
    parser.add_argument("--dir", type=Path, required=True, help="where the town keeps its state")
    parser.add_argument("--seed", type=int, default=7, help="the same seed founds the same town")
    parser.add_argument("--customers", type=int, default=200, help="customers of long standing")
    parser.add_argument(
        "--ports", type=_ports, help="shop,payments,mail,hall[,smtp,chat,model]; 0: any free one"
    )
    parser.add_argument("--key-ttl-s", type=float, default=86_400.0, help="how long a key is remembered")
    parser.add_argument("--faults", help="a JSON file of rules, or demo, or none; without it they stay")
    parser.add_argument(
        "--token", action="append", default=[], help="bearer token: VALUE for all services, or SERVICE=VALUE"
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="its addresses as one JSON object, which is how it says them anyway",
    )
    parser.add_argument("--leave-on-eof", action="store_true", help="stop when standard input is closed")
    return parser


def _ports(text: str) -> tuple[int, ...]:
    ports = tuple(int(part) for part in text.split(","))
    least = len(SERVICES) + 1
    if not least <= len(ports) <= least + len(POSTS):
        raise argparse.ArgumentTypeError(
            "give four to seven ports: shop,payments,mail,hall[,smtp,chat,model]"
        )
    return ports


def _faults(profile: str | None) -> "tuple[Rule, ...] | None":
    from deputize.town.faults import Rule, demo_profile

    if profile is None:
        return None
    if profile in ("demo", "none"):
        return tuple(demo_profile()) if profile == "demo" else ()
    return tuple(Rule.model_validate(rule) for rule in json.loads(Path(profile).read_text("utf-8")))


def _tokens(given: Sequence[str]) -> tuple[tuple[str, str], ...]:
    tokens: dict[str, str] = {}
    for text in given:
        service, has_name, value = text.partition("=")
        named = bool(has_name) and service in (*SERVICES, *POSTS)
        tokens |= {service: value} if named else dict.fromkeys(SERVICES, text)
    return tuple(tokens.items())
