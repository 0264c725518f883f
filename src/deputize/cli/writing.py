"""Help for writing a project's files by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any

import typer

from deputize.cli.here import USAGE, Said
from deputize.cli.says import say_json
from deputize.suggest import did_you_mean


def _plan() -> dict[str, Any]:
    from deputize.plans.files import plan_schema

    return plan_schema()


SCHEMAS: Mapping[str, Callable[[], dict[str, Any]]] = {"plan": _plan}


def schema(of: Annotated[str, typer.Argument(help="What it is of: plan.")]) -> None:
    """Print the JSON Schema of a plan's file, for editors: they then check it as you write."""
    if of not in SCHEMAS:
        raise Said(
            f"there is no schema of {of!r}{did_you_mean(of, SCHEMAS)}; there is {', '.join(SCHEMAS)}", USAGE
        )
    say_json(SCHEMAS[of]())
