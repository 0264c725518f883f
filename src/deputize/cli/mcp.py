"""`deputize mcp`: the calls of an agent that lives elsewhere, by MCP over standard input and output.

It is a door and no more: each call goes to the process that runs the project, which may be killed and started
again meanwhile. What it knows is the call's id.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer

from deputize.cli.here import USAGE, Here, Said
from deputize.cli.login import token_giver
from deputize.cli.process import address_of, need_process
from deputize.cli.says import moment, say, say_json
from deputize.config import AGENT_TOKEN
from deputize.token import AGENT_DAYS, AGENT_DAYS_MAX, AGENT_PREFIX, is_one

if TYPE_CHECKING:
    import httpx2

AGAIN_S = 0.2
AGAIN_S_MAX = 30.0
"""How long a process that runs the project may be away in the middle of a call."""

ANSWER_S_MAX = 60.0
CLOSE_S_MAX = 5.0


def mcp(
    ctx: typer.Context,
    agent: Annotated[str, typer.Option("--agent", metavar="NAME", help="The agent that calls.")] = "",
    token: Annotated[
        bool, typer.Option("--token", help="Give the agent a token instead, which is shown once.")
    ] = False,
    days: Annotated[
        int, typer.Option("--days", help=f"For how long it is good, {AGENT_DAYS_MAX} at most.")
    ] = AGENT_DAYS,
    about: Annotated[str, typer.Option("--for", metavar="TEXT", help="What it is for, in a few words.")] = "",
    revoke: Annotated[
        str, typer.Option("--revoke", metavar="ID", help="Take a token of the agent's back.")
    ] = "",
) -> None:
    """Serve an agent that lives elsewhere by MCP, on standard input and output."""
    here: Here = ctx.obj
    if not agent:
        raise Said("say which agent calls: --agent NAME", USAGE)
    if revoke:
        found = token_giver(here).delete("v1", "agents", agent, "tokens", revoke)
        _told(here, found, f"{revoke} is no token any more.")
    elif token:
        _give(here, agent, days, about)
    else:
        _serve(here, agent)


def _give(here: Here, agent: str, days: int, about: str) -> None:
    made = token_giver(here).post("v1", "agents", agent, "tokens", body={"days": days, "for": about})
    if here.json:
        say_json(made)
        return
    say(made["token"])
    until = moment(made["ends_at"], here.settings.zone)
    say(f"This is {agent}'s token {made['id']}, good until {until}. It is shown once.")
    say(f"`deputize mcp --agent {agent}` takes it from {AGENT_TOKEN}; over HTTP it is a bearer token of")
    say(f"/mcp/{agent}.")


def _serve(here: Here, agent: str) -> None:
    token = here.settings.agent_token
    if not is_one(token) or not token.startswith(AGENT_PREFIX):
        gives = f"`deputize mcp --agent {agent} --token` gives one"
        raise Said(f"{AGENT_TOKEN} holds no token of an agent's ({AGENT_PREFIX}…): {gives}", USAGE)
    # At once, and not with the first call: whoever has set this up is told what is wrong with it.
    process = need_process(here)
    process.with_token(token).get("v1", "agents", agent, "tools")
    asyncio.run(_speak(here, agent, token))


async def _speak(here: Here, agent: str, token: str) -> None:
    import httpx2
    from mcp.server.stdio import stdio_server

    import deputize
    from deputize.mcp.server import McpServer

    headers = {"authorization": f"Bearer {token}"}
    async with httpx2.AsyncClient(headers=headers, timeout=ANSWER_S_MAX, trust_env=False) as http:
        desk = Elsewhere(lambda: address_of(here), http, agent)
        server = McpServer(deputize.__version__, lambda _: desk)
        async with stdio_server() as (reading, writing):
            await server.server.run(reading, writing, server.server.create_initialization_options())
            server.closing = True
        await asyncio.wait_for(server.settle(), CLOSE_S_MAX)


class Elsewhere:
    """The desk of one agent, in the process that runs the project; see `deputize.mcp.server.Desk`."""

    def __init__(self, address: Callable[[], str | None], http: httpx2.AsyncClient, agent: str) -> None:
        self._address = address
        self._http = http
        self._at = f"/v1/agents/{quote(agent, safe='')}"

    async def tools(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self._ask("GET", "/tools"))["tools"]
        return found

    async def call(
        self, tool: str, arguments: Any, call: str, because: str, known: Callable[[str], None]
    ) -> dict[str, Any]:
        # Taken in first and waited for then, so that its id is known if it is to be called off.
        body = {"tool": tool, "arguments": arguments, "call": call, "because": because, "wait_s": 0}
        taking = asyncio.ensure_future(self._ask("POST", "/calls", json=body))
        taking.add_done_callback(lambda done: known(done.result()["call"]) if _went_well(done) else None)
        told = await asyncio.shield(taking)
        return told if told["state"] != "not_finished" else await self.result(told["call"])

    async def result(self, call: str) -> dict[str, Any]:
        return await self._ask("GET", f"/calls/{quote(call, safe='')}", params={"wait_s": 45})

    async def cancel(self, call: str) -> None:
        await self._ask("POST", f"/calls/{quote(call, safe='')}/cancel")

    async def _ask(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        """Ask the process, once more where it went away: a call is taken in once however often it is asked.

        Raises `No` for a no, and where the process does not come back.
        """
        import httpx2

        from deputize.mcp.server import No

        loop, until = asyncio.get_running_loop(), 0.0
        while True:
            address, why = self._address(), "it does not run"
            if address is not None:
                try:
                    answer = await self._http.request(method, address + self._at + path, **options)
                except httpx2.RequestError as error:
                    why = f"{type(error).__name__}: {error}"
                else:
                    if answer.is_success:
                        found: dict[str, Any] = answer.json()
                        return found
                    why = _detail(answer)
                    if answer.status_code != 503:
                        raise No(why)
            until = until or loop.time() + AGAIN_S_MAX
            if loop.time() >= until:
                raise No(f"The process that runs the project cannot be reached ({why}); ask again later.")
            await asyncio.sleep(AGAIN_S)


def _went_well(done: asyncio.Future[dict[str, Any]]) -> bool:
    return not done.cancelled() and done.exception() is None


def _detail(answer: httpx2.Response) -> str:
    try:
        found = answer.json().get("detail")
    except (ValueError, AttributeError):
        found = None
    return found if isinstance(found, str) else f"the process answered {answer.status_code}"


def _told(here: Here, document: dict[str, Any], sentence: str) -> None:
    if here.json:
        say_json(document)
    else:
        say(sentence)
