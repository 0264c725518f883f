"""Calls of agents that live elsewhere: taken in once each, waited for a while, and told.

A call is the event `/mcp/AGENT` with the call's id, and its run is `mcp_AGENT`'s. So whatever becomes of this
process or of the caller, the same id finds the same run.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Any

from deputize import canonical
from deputize.agent import Agent
from deputize.api.problem import Problem
from deputize.api.told import FINAL, Told, tell_call
from deputize.elsewhere import is_call, is_unnamed, name_of, same_call, source_of, type_of, unnamed
from deputize.errors import BadEvent, ContractError
from deputize.event import EVENT_BYTES_MAX, Occurrence, depth_of
from deputize.kernel.live import LiveRun
from deputize.mcp.tools import inward, outward, tools_of, wraps
from deputize.operation import Operation
from deputize.rule import RuleLine
from deputize.store.protocol import RunRow, View
from deputize.suggest import did_you_mean
from deputize.system import System

WAIT_S_MAX = 45.0
"""A call that has no end by then is answered as not finished: clients give up after a minute."""

LOOK_S = 0.5
"""What is written of a run that is not in memory (a card for its doubt) is looked for so often."""

AT_ONCE_MAX = 100
"""Calls of one agent that are waited for at the same time."""

HANDED_MAX = 10_000
"""Answers that are remembered as handed out."""

FETCH_US = 900_000_000
"""For so long after its end an answer that nobody has had is that of the next call for the same."""

DEPTH_MAX = 32
WHY_CHARS_MAX = 500
NUMBERS_MAX = 2**29


class Calls:
    """The calls of one system. `stopping` is set when it lets go of whoever waits."""

    def __init__(self, system: System, stopping: asyncio.Event) -> None:
        self._system = system
        self._stopping = stopping
        self._waiting: dict[int, set[asyncio.Future[None]]] = {}
        self._at_once: Counter[str] = Counter()
        self._handed: OrderedDict[str, None] = OrderedDict()
        system.kernel.watchers.append(self._left)

    # -- what there is to call ----------------------------------------------------------------------------

    def tools(self, agent: Agent) -> list[dict[str, Any]]:
        """What an agent may use and some rule permits, as MCP's tools, in one order."""
        rules, name = self._system.project.rules, name_of(agent.name)
        usable = self._usable(agent)
        permitted = [one for one in usable.values() if not rules.bars(agent.name, name, one.name)]
        concerning: dict[str, list[RuleLine]] = {one.name: [] for one in permitted}
        for loaded in rules.explain():
            if loaded.agents and agent.name not in loaded.agents:
                continue
            if loaded.automations and name not in loaded.automations:
                continue
            for operation in loaded.operations & concerning.keys():
                concerning[operation].append(loaded.rule)
        return tools_of(permitted, concerning)

    def _usable(self, agent: Agent) -> dict[str, Operation[..., Any]]:
        return self._system.project.automations[name_of(agent.name)].means.usable(agent.may)

    # -- a call ------------------------------------------------------------------------------------------

    async def call(
        self,
        agent: Agent,
        tool: str,
        arguments: Any,
        *,
        call: str = "",
        because: str = "",
        token: str = "",
        wait_s: float = WAIT_S_MAX,
        known: Callable[[str], None] = lambda _: None,
    ) -> dict[str, Any]:
        """Have an operation done once for this call, and tell what came of it. `known` is told its id once it
        is taken in, which is done whether whoever called waits for it or not.

        Raises `Problem` for what cannot be called so; `StoreError` and `Overloaded` as the intake does.
        """
        operation, args = self._checked(agent, tool, arguments)
        if call and not is_call(call):
            raise Problem(422, "a call's id has 1 to 200 of A-Z, a-z, 0-9, and . _ : -", field="call")
        if len(because) > WHY_CHARS_MAX:
            raise Problem(422, f"say why in {WHY_CHARS_MAX} characters at most", field="because")
        with self._place(agent.name):
            id = call or self._unnamed(agent, operation, args)
            if call and is_unnamed(call) and self._run(agent, call) is None:
                raise Problem(422, f"there is no call {call}; ids that begin so are given here", field="call")
            taking = asyncio.ensure_future(self._take_in(agent, id, operation, args, because, token))
            taking.add_done_callback(lambda done: known(id) if not _failed(done) else None)
            await asyncio.shield(taking)
            return await self._answered(agent, id, wait_s)

    async def result(self, agent: Agent, call: str, *, wait_s: float = WAIT_S_MAX) -> dict[str, Any]:
        """What came of an earlier call. Raises `Problem` 404 where there was none."""
        if not is_call(call) or self._run(agent, call) is None:
            raise Problem(404, f"{agent.name} has made no call {call[:200]!r}", field="call")
        with self._place(agent.name):
            return await self._answered(agent, call, wait_s)

    async def cancel(self, agent: Agent, call: str) -> str:
        """Call off what has not started; what is sent stays sent. Returns a sentence."""
        run = self._run(agent, call) if is_call(call) else None
        if run is None:
            raise Problem(404, f"{agent.name} has made no call {call[:200]!r}", field="call")
        if run.state == "ended":
            return "has ended already"
        return await self._system.kernel.people.cancel(run.id, f"the agent {agent.name}")

    def _checked(self, agent: Agent, tool: str, arguments: Any) -> tuple[Operation[..., Any], bytes]:
        usable = self._usable(agent)
        operation = usable.get(inward(tool[:WHY_CHARS_MAX]))
        if operation is None:
            near = did_you_mean(tool[:WHY_CHARS_MAX], map(outward, usable))
            raise Problem(404, f"{agent.name} may use nothing called {tool[:200]!r}{near}", field="tool")
        given = {} if arguments is None else arguments
        if depth_of(given, DEPTH_MAX) > DEPTH_MAX:
            raise Problem(
                422, f"{operation.name}: arguments nest {DEPTH_MAX} levels deep at most", field="arguments"
            )
        try:
            # Secrets go before anything else reads it, so that what a run sees is what its replay sees.
            scrubbed = canonical.decode(self._system.secrets.scrub(canonical.encode(given)))
            args = operation.canonical_json(scrubbed)
        except (ContractError, TypeError) as error:
            raise Problem(
                422, f"Not done, the arguments do not fit: {error}"[:2_000], field="arguments"
            ) from None
        if len(args) > EVENT_BYTES_MAX - 10_000:
            said = f"the arguments of {operation.name} are {len(args):,} bytes; less than a million are taken"
            raise Problem(413, f"Not done, {said}", field="arguments")
        return operation, args

    def _unnamed(self, agent: Agent, operation: Operation[..., Any], args: bytes) -> str:
        """The id of a call that was given none: that of the last one for the same whose answer nobody has had
        yet, so that a client that gave up and calls again does not have it done again; else a new one."""
        number = self._last(agent, operation.name, args)
        if number:
            last = unnamed(operation.name, args, number)
            run = self._run(agent, last)
            if run is not None and not self._had(run):
                return last
        return unnamed(operation.name, args, number + 1)

    def _had(self, run: RunRow) -> bool:
        if run.state != "ended":
            return False
        over = (run.ended_at or 0) + FETCH_US <= self._system.time.now_us()
        return over or run.id in self._handed

    def _last(self, agent: Agent, operation: str, args: bytes) -> int:
        """The number of the latest call for the same that was given no id; 0 where there was none."""

        def there(number: int) -> bool:
            return self._run(agent, unnamed(operation, args, number)) is not None

        high = 1
        while high < NUMBERS_MAX and there(high):
            high *= 2
        low = high // 2
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if there(middle) else (low, middle)
        return low

    async def _take_in(
        self, agent: Agent, id: str, operation: Operation[..., Any], args: bytes, because: str, token: str
    ) -> None:
        data = {
            "operation": operation.name,
            "args": canonical.decode(args),
            "because": self._system.secrets.scrub(because),
            "token": token,
        }
        if self._run(agent, id) is None:
            now = self._system.time.now_us()
            source, type = source_of(agent.name), type_of(agent.name)
            event = Occurrence(source, id, type, operation.name, now, canonical.encode(data))
            intake = self._system.kernel.intake
            try:
                intake.check(event)
            except BadEvent as error:
                raise Problem(422, str(error)) from None
            await intake.accept([event])
        run = self._run(agent, id)
        kept = self._system.store.read(lambda view: view.event(run.event)) if run is not None else None
        known = canonical.decode(kept.occurrence.data) if kept is not None else None
        if isinstance(known, dict) and not same_call(known, operation.name, args):
            said = f"the call {id} was for something else; give another call another id"
            raise Problem(409, f"Not done: {said}", field="call")

    # -- its answer -----------------------------------------------------------------------------------------

    async def _answered(self, agent: Agent, id: str, wait_s: float) -> dict[str, Any]:
        loop = asyncio.get_running_loop()
        until = loop.time() + max(0.0, min(wait_s, WAIT_S_MAX))
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            while True:
                run = self._run(agent, id)
                if run is None:
                    raise Problem(404, f"{agent.name} has made no call {id!r}", field="call")
                changed = loop.create_future()
                self._waiting.setdefault(run.no, set()).add(changed)
                try:
                    told, run = self._told(run)
                    left = until - loop.time()
                    if not told.settles or left <= 0 or self._stopping.is_set():
                        return self._handed_out(agent, id, run, told)
                    await asyncio.wait(
                        [changed, stopping], timeout=min(left, LOOK_S), return_when=asyncio.FIRST_COMPLETED
                    )
                finally:
                    self._forget(run.no, changed)
        finally:
            stopping.cancel()

    def _told(self, run: RunRow) -> tuple[Told, RunRow]:
        system, settings = self._system, self._system.project.settings
        console = settings.notify.console.rstrip("/") if settings.notify is not None else ""

        def read(view: View) -> tuple[Told, RunRow]:
            row = view.run_no(run.no) or run
            stands, now = system.kernel.standing.of(row), system.time.now_us()
            return tell_call(view, row, now, console, settings.zone, stands), row

        return system.store.read(read)

    def _handed_out(self, agent: Agent, id: str, run: RunRow, told: Told) -> dict[str, Any]:
        if told.state in FINAL:
            self._handed[run.id] = None
            self._handed.move_to_end(run.id)
            if len(self._handed) > HANDED_MAX:
                self._handed.popitem(last=False)
        operation = self._operation_of(run)
        shown = {
            "call": id,
            "run": run.id,
            "state": told.state,
            "said": told.said,
            "result": told.result,
            "wrapped": operation is None or wraps(operation),
        }
        # What a service answered may repeat a secret that it was sent.
        cleaned: dict[str, Any] = canonical.decode(self._system.secrets.scrub(canonical.encode(shown)))
        return cleaned

    def _operation_of(self, run: RunRow) -> Operation[..., Any] | None:
        kept = self._system.store.read(lambda view: view.event(run.event))
        return self._system.project.operations.get(kept.occurrence.subject) if kept is not None else None

    def _left(self, run: LiveRun) -> None:
        """A run has left memory: whoever waits for it looks again."""
        for one in self._waiting.pop(run.no, ()):
            if not one.done():
                one.set_result(None)

    def _forget(self, no: int, changed: asyncio.Future[None]) -> None:
        changed.cancel()
        waiting = self._waiting.get(no)
        if waiting is not None:
            waiting.discard(changed)
            if not waiting:
                del self._waiting[no]

    def _run(self, agent: Agent, id: str) -> RunRow | None:
        run_ids = self._system.kernel.intake.run_ids(type_of(agent.name), source_of(agent.name), id)
        return self._system.store.read(lambda view: view.run(run_ids[0])) if run_ids else None

    def _place(self, agent: str) -> _Place:
        if self._at_once[agent] >= AT_ONCE_MAX:
            said = f"{AT_ONCE_MAX} calls of {agent} are under way; wait for one of them"
            raise Problem(429, f"Not done: {said}", retry_after_s=1)
        return _Place(self._at_once, agent)


class _Place:
    """A place among the calls that are waited for."""

    def __init__(self, taken: Counter[str], agent: str) -> None:
        self._taken, self._agent = taken, agent

    def __enter__(self) -> None:
        self._taken[self._agent] += 1

    def __exit__(self, *_: object) -> None:
        self._taken[self._agent] -= 1


def _failed(done: asyncio.Future[None]) -> bool:
    return done.cancelled() or done.exception() is not None
