"""What an agent may use, as the tools that MCP lists: by its contracts, and in one order. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from deputize import canonical
from deputize.operation import Operation
from deputize.rule import RuleLine
from deputize.sentence import listed, quoted, short

PAGE = 50
"""Tools on one page of a list."""

RULES_SHOWN = 6
TITLE_CHARS_MAX = 160
SEPARATOR = "-"
"""Stands for the dot in an operation's name, which many models do not take in the name of a tool; ours have
none of it."""

RESULT = "deputize-result"
PENDING = "deputize_pending"

PENDING_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "description": f"It is not known yet what comes of it; {RESULT} tells, by its call.",
    "properties": {
        "state": {"enum": ["waiting", "not_finished", "not_sure"]},
        "call": {"type": "string"},
        "run": {"type": "string"},
        "said": {"type": "string"},
    },
    "required": ["state", "call", "run", "said"],
    "additionalProperties": False,
}
"""What a call is answered by where there is no result yet, and nothing has failed."""


def outward(operation: str) -> str:
    """An operation's name as that of a tool."""
    return operation.replace(".", SEPARATOR)


def inward(tool: str) -> str:
    """The name of the operation that a tool is; written with its dot it is taken as well."""
    return tool.replace(SEPARATOR, ".")


def tools_of(
    operations: Iterable[Operation[..., Any]], rules: Mapping[str, Sequence[RuleLine]]
) -> list[dict[str, Any]]:
    """Tools as MCP writes them, sorted by name; `rules` are those that may decide on each operation."""
    found = [_tool(one, rules.get(one.name, ())) for one in operations]
    return sorted([*found, dict(_RESULT_TOOL)], key=lambda tool: str(tool["name"]))


def wraps(operation: Operation[..., Any]) -> bool:
    """Whether its result is put into an object, as the protocol wants one: `{"result": …}`."""
    return bool(_result_schema(operation).get("type") != "object")


def _tool(operation: Operation[..., Any], rules: Sequence[RuleLine]) -> dict[str, Any]:
    contract = operation.contract
    writes = contract.effect == "write"
    return {
        "name": outward(operation.name),
        "title": operation.name,
        "description": _description(operation, rules),
        "inputSchema": canonical.decode(contract.input_schema),
        "outputSchema": _output_schema(operation),
        "annotations": {
            "readOnlyHint": not writes,
            "destructiveHint": writes and not contract.undo,
            "idempotentHint": not writes or contract.repeatable,
            "openWorldHint": True,
        },
    }


def _description(operation: Operation[..., Any], rules: Sequence[RuleLine]) -> str:
    contract = operation.contract
    words = " ".join((operation.function.__doc__ or "").strip().split("\n\n")[0].split()) or operation.name
    parts = [words if words.endswith(".") else f"{words}."]
    parts.append("It changes something." if contract.effect == "write" else "It only reads.")
    if contract.effect == "write" and contract.risk != "low":
        parts.append(f"What is at stake: {contract.risk}.")
    forbids = [rule for rule in rules if rule.effect == "forbid"]
    asks = _titles([rule for rule in forbids if rule.tier != "hard"])
    refuses = _titles([rule for rule in forbids if rule.tier == "hard"])
    parts += [f"Before it is done, it may be looked into or wait for people: {asks}."] if asks else []
    parts += [f"It may be refused: {refuses}."] if refuses else []
    return " ".join(parts)


def _titles(rules: Sequence[RuleLine]) -> str:
    titles = [quoted(short(rule.title, TITLE_CHARS_MAX)) for rule in rules[:RULES_SHOWN]]
    more = [f"{len(rules) - RULES_SHOWN} more rules"] if len(rules) > RULES_SHOWN else []
    return listed([*titles, *more]) if titles else ""


def _result_schema(operation: Operation[..., Any]) -> dict[str, Any]:
    """Of a result as it is stored and handed out."""
    return operation.result.json_schema(mode="serialization")


def _output_schema(operation: Operation[..., Any]) -> dict[str, Any]:
    """An object: the result, or that there is none yet."""
    schema = _result_schema(operation)
    shared = schema.pop("$defs", {})
    if wraps(operation):
        schema = {"type": "object", "properties": {"result": schema}, "required": ["result"]}
    pending = {"$ref": f"#/$defs/{PENDING}"}
    return {"type": "object", "anyOf": [schema, pending], "$defs": {**shared, PENDING: dict(PENDING_SCHEMA)}}


_RESULT_TOOL: Mapping[str, Any] = {
    "name": RESULT,
    "title": "What came of a call",
    "description": (
        "What came of an earlier call that was answered as waiting, not finished or not sure: its result "
        "once there is one. It does nothing by itself, and may be asked as often as you like."
    ),
    "inputSchema": {
        "type": "object",
        "properties": {"call": {"type": "string", "description": "The call, as its answer named it."}},
        "required": ["call"],
        "additionalProperties": False,
    },
    "annotations": {"readOnlyHint": True, "destructiveHint": False, "idempotentHint": True},
}
