"""What the original shop answered, for tests alone: the service never reads this file or the one it opens."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Step:
    """One recorded use of an operation; `result` is the shop's text where it was rejected."""

    operation: str
    args: Mapping[str, Any]
    result: Any
    rejected: bool

    @property
    def answer(self) -> tuple[int, Any]:
        """The HTTP status and the body, amounts in cents, that the service must give."""
        return (422, {"error": self.result}) if self.rejected else (200, in_cents(self.result))


@dataclass(frozen=True)
class Request:
    """A customer's request, the steps that resolve it, and all records that differ at the end."""

    id: int
    user_id: str
    text: str
    steps: tuple[Step, ...]
    changed: Mapping[str, Any]


def load_requests(folder: Path) -> list[Request]:
    """The 500 requests of the retail data in `folder`."""
    lines = (folder / "tasks.jsonl").read_text("utf-8").splitlines()
    return [_request(json.loads(line)) for line in lines]


def in_cents(node: Any) -> Any:
    """`node` with every number as whole cents.

    The original added floats, so that its amounts are a few billionths of a cent off: those are rounded away.
    Raises ValueError on any other fraction of a cent.
    """
    if isinstance(node, dict):
        return {name: in_cents(value) for name, value in node.items()}
    if isinstance(node, list):
        return [in_cents(value) for value in node]
    if isinstance(node, int | float) and not isinstance(node, bool):
        cents = round(node * 100)
        if abs(node * 100 - cents) > 1e-6:
            raise ValueError(f"{node} is not a whole number of cents")
        return cents
    return node


def _request(line: Mapping[str, Any]) -> Request:
    steps = tuple(
        Step(step["operation"], step["args"], step["result"], step["rejected"]) for step in line["steps"]
    )
    return Request(line["id"], line["user_id"], line["request"], steps, line["changed"])
