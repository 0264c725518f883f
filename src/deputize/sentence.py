"""Values and lists in people's form: money as money, long values short. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

from deputize import canonical
from deputize.money import money_of

VALUE_CHARS_MAX = 200


def asked_for(body: Mapping[str, Any]) -> str:
    """What an entry asked for: its operation with its arguments in short, or a plan by its goal."""
    args, plan = body.get("args"), body.get("plan")
    if isinstance(plan, Mapping) and "goal" in plan:
        return f"the plan {quoted(plan['goal'])}"
    if is_thought(args):
        last = " ".join(args["messages"][-1]["text"].split())
        return f"{body['op']} a thought on {quoted(last)} ({len(args['messages'])} messages)"
    return f"{body['op']} with {pairs(args)}" if isinstance(args, Mapping) and args else str(body["op"])


def is_thought(args: Any) -> TypeGuard[Mapping[str, Any]]:
    """Whether arguments are those of a model's operation."""
    return (
        isinstance(args, Mapping)
        and args.keys() == {"messages", "choices", "answer"}
        and isinstance(args["messages"], list)
        and bool(args["messages"])
    )


def is_answer(result: Any) -> TypeGuard[Mapping[str, Any]]:
    """Whether a result is what a model said."""
    return isinstance(result, Mapping) and {"text", "calls", "finish", "output_tokens"} <= result.keys()


def thought(result: Mapping[str, Any]) -> str:
    """What a model said, with its tokens."""
    said = [f"it said {quoted(' '.join(result['text'].split()))}"] if result["text"] else []
    said += [f"it called {call['name']} with {short(call['args'])}" for call in result["calls"]]
    if result["finish"] not in ("stop", "tool_call"):
        said.append(f"it stopped because of {result['finish']!r}")
    counted = f"{result['input_tokens']} tokens in and {result['output_tokens']} out"
    return f"{listed(said or ['it said nothing'])} ({counted})"


def because(body: Mapping[str, Any]) -> str:
    """The reason that an entry gives, as the end of a sentence; empty without one."""
    return f", because {quoted(body['why'])}" if body.get("why") else ""


def for_event(event: Mapping[str, Any] | None) -> str:
    """The event of a run (as the API shows it), as the end of a sentence; empty without one."""
    if event is None:
        return ""
    about = f" about {event['subject']}" if event.get("subject") else ""
    return f", for the event {event['id']} from {event['source']} ({event['type']}){about}"


def pairs(values: Mapping[str, Any]) -> str:
    """`charge "ch", amount 12.50 EUR`."""
    return ", ".join(f"{name} {in_words(value)}" for name, value in values.items())


def in_words(value: Any) -> str:
    """A value, at most `VALUE_CHARS_MAX` characters of it."""
    if (money := money_of(value)) is not None:
        return str(money)
    if isinstance(value, Mapping) and value:
        return short(pairs(value))
    if isinstance(value, str):
        return quoted(value)
    return short(canonical.encode(value).decode())


def quoted(text: str) -> str:
    """A text in quotes (single ones round a text with double ones), at most `VALUE_CHARS_MAX` of it."""
    mark = "'" if '"' in text else '"'
    return f"{mark}{short(text)}{mark}"


def short(text: str, chars_max: int = VALUE_CHARS_MAX) -> str:
    """At most so many characters of a text."""
    return text if len(text) <= chars_max else text[:chars_max] + "…"


def reason_of(text: str) -> str:
    """A reason as a part of a sentence that ends with a full stop of its own."""
    return text.rstrip(".") or "no reason was given"


def listed(parts: Sequence[str]) -> str:
    """`a, b and c`."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
