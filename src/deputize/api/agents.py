"""Agents that live elsewhere: their tokens, what they may call, and their calls. `/mcp/NAME` and `deputize
mcp` say the same in MCP's words."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from deputize import canonical
from deputize.agent import Agent
from deputize.api.body import read_object, text_of
from deputize.api.calling import WAIT_S_MAX, Calls
from deputize.api.fresh import need_fresh
from deputize.api.here import Here
from deputize.api.problem import Problem, answer
from deputize.api.who import OPERATOR, Admitting, Speaker, Speaking
from deputize.clock import iso
from deputize.kernel.agent_tokens import AgentToken
from deputize.suggest import did_you_mean
from deputize.system import System
from deputize.token import AGENT_DAYS, AGENT_DAYS_MAX

ABOUT_CHARS_MAX = 200
ID_CHARS_MAX = 300

Wait = Annotated[float, Query(ge=0, description="How long to wait for what has not come, in seconds.")]
Id = Annotated[str, Query(max_length=ID_CHARS_MAX)]

router = APIRouter(prefix="/v1/agents")


async def _caller(request: Request, system: Here, name: str) -> Agent:
    """The agent that calls, by a token of its own. Raises `Problem`."""
    agent, speaker = elsewhere(system, name), _speaker(request)
    if speaker.agent != name:
        raise Problem(
            403, f"only a token of {name}'s speaks for it: `deputize mcp --agent {name} --token` gives one"
        )
    return agent


# Open to nobody but that agent: which is said here, and not by a role.
vars(_caller)["act"] = "open"

Calling = Annotated[Agent, Depends(_caller)]


def _speaker(request: Request) -> Speaker:
    speaker: Speaker = request.state.speaker
    return speaker


def elsewhere(system: System, name: str) -> Agent:
    """An agent that lives elsewhere. Raises `Problem` 404."""
    agents = {agent.name: agent for agent in system.project.agents.values() if agent.elsewhere}
    if name not in agents:
        near = did_you_mean(name, agents) if agents else ": agent(…, elsewhere=True) makes one"
        raise Problem(404, f"no agent called {name[:100]!r} lives elsewhere{near}")
    return agents[name]


def calls_of(request: Request) -> Calls:
    """The calls of the system that is served."""
    calls: Calls = request.app.state.calls
    return calls


@router.get("")
async def list_agents(system: Here, _: Speaking) -> Response:
    """The agents that live elsewhere: what each may use, and the ids of its tokens."""
    agents = sorted(
        (one for one in system.project.agents.values() if one.elsewhere), key=lambda one: one.name
    )
    tokens = system.kernel.agent_tokens
    shown = [
        {
            "name": one.name,
            "may": sorted(one.may or ()),
            "tokens": [_token(token) for token in tokens.of(one.name)],
        }
        for one in agents
    ]
    return answer(system, {"agents": shown})


@router.post("/{name}/tokens", status_code=201)
async def issue_agent_token(request: Request, system: Here, speaker: Admitting, name: str) -> Response:
    """A new token of an agent's: `{"days", "for"}`, both optional. It is shown once, by this answer."""
    need_fresh(system, speaker, "giving a token")
    agent, body = elsewhere(system, name), await read_object(request)
    days = body.get("days", AGENT_DAYS)
    if not isinstance(days, int) or isinstance(days, bool) or not 1 <= days <= AGENT_DAYS_MAX:
        raise Problem(422, f"days must be a number from 1 to {AGENT_DAYS_MAX}", field="days")
    about = text_of(body, "for", chars_max=ABOUT_CHARS_MAX, default="")
    made, secret = await system.kernel.agent_tokens.issue(
        agent.name, speaker.name or OPERATOR, days=days, about=about
    )
    # Not through `answer`, which takes out whatever looks like a token: this is the one place that shows it.
    shown = canonical.encode(_token(made) | {"agent": agent.name, "token": secret})
    return Response(shown, 201, {"Cache-Control": "no-store"}, media_type="application/json")


@router.delete("/{name}/tokens/{id}")
async def revoke_agent_token(system: Here, speaker: Admitting, name: str, id: str) -> Response:
    """Take a token back."""
    agent = elsewhere(system, name)
    if all(token.id != id for token in system.kernel.agent_tokens.of(agent.name)):
        raise Problem(404, f"{name} has no token {id[:100]!r}; GET /v1/agents lists them")
    await system.kernel.agent_tokens.revoke(agent.name, id, speaker.name or OPERATOR)
    return answer(system, {"agent": agent.name, "id": id})


@router.get("/{name}/tools")
async def list_tools(request: Request, system: Here, agent: Calling) -> Response:
    """What the agent may call, in MCP's words."""
    return answer(system, {"tools": calls_of(request).tools(agent)})


@router.post("/{name}/calls")
async def call_for_agent(request: Request, system: Here, agent: Calling) -> Response:
    """Have an operation done: `{"tool", "arguments", "call", "because", "wait_s"}`.

    The same `call` is the same call, for ever. The answer says its `state`: `done` with the `result`;
    `waiting`, `not_finished` or `not_sure`, to be asked after by its `call`; or a no, in words.
    """
    body = await read_object(request)
    told = await calls_of(request).call(
        agent,
        text_of(body, "tool", chars_max=ID_CHARS_MAX),
        body.get("arguments"),
        call=text_of(body, "call", chars_max=ID_CHARS_MAX, default=""),
        because=text_of(body, "because", default=""),
        token=_speaker(request).token,
        wait_s=_wait_s(body.get("wait_s", WAIT_S_MAX)),
    )
    return answer(system, told)


@router.get("/{name}/calls/{id}")
async def get_call(request: Request, system: Here, agent: Calling, id: str, wait_s: Wait = 0.0) -> Response:
    """What came of an earlier call, waiting for it so long at most."""
    return answer(system, await calls_of(request).result(agent, id, wait_s=wait_s))


@router.post("/{name}/calls/{id}/cancel")
async def cancel_call(request: Request, system: Here, agent: Calling, id: str) -> Response:
    """Call off what has not started; what is sent stays sent."""
    return answer(system, {"call": id, "said": await calls_of(request).cancel(agent, id)}, 202)


def _wait_s(given: Any) -> float:
    if not isinstance(given, int | float) or isinstance(given, bool) or not 0 <= given <= WAIT_S_MAX:
        raise Problem(422, f"wait_s must be a number from 0 to {WAIT_S_MAX:g}", field="wait_s")
    return float(given)


def _token(token: AgentToken) -> dict[str, Any]:
    return {"id": token.id, "at": iso(token.at_us), "ends_at": iso(token.ends_us), "for": token.about}
