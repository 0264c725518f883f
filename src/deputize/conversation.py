"""What a model was shown and what it said, for people: whole, and in their order. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from deputize.ledger import Entry
from deputize.sentence import is_answer, is_thought


def conversation(asked: Mapping[str, Any], own: Sequence[Entry]) -> list[str]:
    """All that a model was shown, and all that it said: nothing is left out."""
    args = asked.get("args")
    if not is_thought(args):
        return []
    lines = ["What the model was shown:"]
    for message in args["messages"]:
        calls = [f"calls {call['name']} {call['args']}" for call in message["calls"]]
        lines.append(_below(f"{message['role']}: {' '.join([message['text'], *calls]).strip()}"))
    names = ", ".join(choice["name"] for choice in args["choices"])
    lines += [f"  It could call {names}."] if names else []
    for entry in own:
        result = (entry.body or {}).get("result")
        if is_answer(result):
            calls = [f"calls {call['name']} {call['args']}" for call in result["calls"]]
            lines += ["What it said:", _below(" ".join([result["text"], *calls]).strip())]
    return lines


def _below(text: str) -> str:
    """A text set in below a line, whole."""
    return "  " + text.replace("\n", "\n    ")
