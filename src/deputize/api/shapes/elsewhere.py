"""Agents that live elsewhere: their tokens, what they may call, and what comes of a call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from deputize.api.shapes.shape import Answer, Body, Object, Sent, Shape, Time, Told
from deputize.api.told import State
from deputize.token import AGENT_DAYS, AGENT_DAYS_MAX


class AgentToken(Shape):
    """A token of an agent's by its id; what it is itself nobody knows."""

    id: str
    at: Time
    ends_at: Time
    for_: str = Field(alias="for")
    """What it is for, as whoever made it said."""


class AgentElsewhere(Shape):
    """An agent that lives elsewhere: the operations that it may use, and its tokens."""

    name: str
    may: list[str]
    tokens: list[AgentToken]


class AgentsElsewhere(Shape):
    """Every agent that lives elsewhere."""

    agents: list[AgentElsewhere]


class AgentTokenWanted(Sent):
    """What a new token is to be; nothing has to be said."""

    days: int = Field(AGENT_DAYS, ge=1, le=AGENT_DAYS_MAX)
    for_: str = Field("", alias="for", max_length=200)
    """What it is for."""


class AgentTokenGiven(AgentToken):
    """A new token. This is the only time that it is shown."""

    agent: str
    token: str


class AgentTokenTaken(Shape):
    """The token that is good no more."""

    agent: str
    id: str


class Tools(Shape):
    """What may be called, as MCP writes it."""

    tools: list[dict[str, Any]]


class CallWanted(Sent):
    """A call."""

    tool: str = Field(max_length=300)
    arguments: dict[str, Any] | None = None
    call: str = Field("", max_length=300)
    """Its id: the same is the same call, for ever. Without one it is given one."""
    because: str = Field("", max_length=2_000)
    """Why, for the people who are asked."""
    wait_s: float = Field(45.0, ge=0, le=45)
    """How long it is waited for."""


class CallTold(Shape):
    """What came of a call."""

    call: str
    run: str
    state: State
    said: str
    result: Any
    """Null where it is not done."""
    wrapped: bool
    """Whether MCP has the result as `{"result": …}`."""


class CallCancelled(Shape):
    """What comes of calling it off, in words."""

    call: str
    said: str


_TOKEN: Object = {
    "id": "5f0c2b11",
    "at": "2026-11-02T08:00:00Z",
    "ends_at": "2027-01-31T08:00:00Z",
    "for": "their desk",
}
_TOLD: Object = {
    "call": "c-1",
    "run": "0a0bdd3f89e7784fc44e6701",
    "state": "waiting",
    "said": "Waiting for approval, and not done yet.",
    "result": None,
    "wrapped": False,
}
_NOT_ITS: dict[int, str] = {
    403: "only a token of partner's speaks for it: `deputize mcp --agent partner --token` gives one",
    404: "no agent called 'partnre' lives elsewhere; did you mean 'partner'?",
    429: "Not done: 100 calls of partner are under way; wait for one of them",
}
_GIVES: dict[int, str] = {
    403: "kim is an approver, and only an admin may give people their tokens and links",
    404: "no agent called 'partnre' lives elsewhere; did you mean 'partner'?",
    409: "partner has 20 tokens; revoke one that is not in use",
}

ROUTES: Mapping[str, Told] = {
    "list_agents": Told(
        {
            200: Answer(
                "The agents.",
                AgentsElsewhere,
                {"agents": [{"name": "partner", "may": ["payments.refund"], "tokens": [_TOKEN]}]},
            )
        }
    ),
    "issue_agent_token": Told(
        {
            201: Answer(
                "The token; it is never shown again.",
                AgentTokenGiven,
                _TOKEN | {"agent": "partner", "token": "dpa_…"},
            )
        },
        body=Body(AgentTokenWanted, {"for a desk": {"days": 90, "for": "their desk"}}, False),
        refuses=_GIVES,
        needs_person=True,
    ),
    "revoke_agent_token": Told(
        {200: Answer("It is good no more.", AgentTokenTaken, {"agent": "partner", "id": "5f0c2b11"})},
        refuses=_GIVES,
        needs_person=True,
    ),
    "list_tools": Told(
        {200: Answer("The tools.", Tools, {"tools": []})}, refuses=_NOT_ITS, needs_person=True
    ),
    "call_for_agent": Told(
        {200: Answer("What came of it, so far.", CallTold, _TOLD)},
        body=Body(
            CallWanted,
            {"a refund": {"tool": "payments-refund", "arguments": {"charge": "ch_1"}, "call": "c-1"}},
        ),
        refuses=_NOT_ITS
        | {409: "Not done: the call c-1 was for something else; give another call another id"},
        needs_person=True,
    ),
    "get_call": Told(
        {200: Answer("What came of it, so far.", CallTold, _TOLD)}, refuses=_NOT_ITS, needs_person=True
    ),
    "cancel_call": Told(
        {202: Answer("What comes of that.", CallCancelled, {"call": "c-1", "said": "is being cancelled"})},
        refuses=_NOT_ITS | {409: "run 0a0bdd3f has ended already: done(done)"},
        needs_person=True,
    ),
}
