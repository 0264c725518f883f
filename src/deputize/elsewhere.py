"""Agents that live elsewhere: what they call for is an event of their own, and its run asks for just that.

Each call becomes one run of one action, so that it is judged, waits, is sent once and is told like every
other. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import create_model

from deputize import canonical
from deputize.action import Action, attempt
from deputize.agent import Agent
from deputize.automation import Automation, NoParams, Outcome, done, gave_up
from deputize.awaiting import current_step
from deputize.errors import ActionError, CodeError, ContractError
from deputize.event import ELSEWHERE, OWN_TYPES, Event, EventData

CALL_CHARS_MAX = 200
_CALL = re.compile(rf"[A-Za-z0-9._:-]{{1,{CALL_CHARS_MAX}}}")
_UNNAMED = re.compile(r"same-([0-9a-f]{24})-([1-9][0-9]{0,8})")


def source_of(agent: str) -> str:
    """The source of the events by which an agent calls."""
    return f"{ELSEWHERE}{agent}"


def type_of(agent: str) -> str:
    """Their type; in rules, where the arguments of its actions come from."""
    return f"{OWN_TYPES}mcp.{agent}"


def name_of(agent: str) -> str:
    """The name of the automation that answers them."""
    return f"mcp_{agent}".replace("-", "_")


def is_call(text: str) -> bool:
    """Whether it can be the id of a call."""
    return _CALL.fullmatch(text) is not None


def is_unnamed(call: str) -> bool:
    """Whether a call was given its id here."""
    return _UNNAMED.fullmatch(call) is not None


def unnamed(operation: str, args: bytes, number: int) -> str:
    """The id of a call that was given none: of the same operation with the same stored arguments, the so
    many-th."""
    return f"same-{canonical.name(operation, canonical.digest(args))}-{number}"


def automation_of(agent: Agent, where: str) -> Automation:
    """What answers the calls of an agent that lives elsewhere. Its runs await one action each."""
    on = create_model(
        f"CallOf{name_of(agent.name).title().replace('_', '')}",
        __base__=EventData,
        __cls_kwargs__={"type": type_of(agent.name)},
        operation=(str, ...),
        args=(dict[str, Any], ...),
        because=(str, ""),
        token=(str, ""),
    )

    async def handler(event: Event[Any]) -> Outcome:
        call = event.data
        step = current_step()
        usable = step.automation.means.usable(agent.may) if step is not None else {}
        operation = usable.get(call.operation)
        if operation is None:
            return gave_up("refused", reason=f"{agent.name} may not use {call.operation} any more")
        try:
            action = Action[Any](operation, operation.canonical_json(call.args))
        except (ContractError, CodeError) as error:
            # The contract has changed since it was called.
            return gave_up("refused", reason=str(error))
        got = await attempt(action.because(call.because))
        if isinstance(got, ActionError):
            # A no is an answer, and no failure of this code.
            return gave_up(type(got).__name__.lower(), reason=got.reason)
        return done("done")

    return Automation(name_of(agent.name), on, agent, handler, None, NoParams, "mcp-1", where)


def same_call(data: Mapping[str, Any], operation: str, args: bytes) -> bool:
    """Whether a kept event's data calls for this operation with these stored arguments."""
    return data.get("operation") == operation and canonical.encode(data.get("args")) == args
