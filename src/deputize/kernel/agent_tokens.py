"""The tokens of agents that live elsewhere: each speaks for one agent, and may nothing but call for it.

Kept as those of people are: by their digests, and no token anywhere.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from deputize import canonical
from deputize.agent import Agent
from deputize.kernel.committed import once_committed
from deputize.kernel.parts import Parts
from deputize.kernel.people import NotAnswerable
from deputize.ledger import SYSTEM, Draft
from deputize.store.protocol import Tx
from deputize.token import AGENT_DAYS, AGENT_PREFIX, BYTES, digest_of, written

AGENT_TOKEN_SETTING = "agent-token:"
TOKENS_MAX = 20
"""Of one agent at one time."""

_DAY_US = 86_400_000_000


@dataclass(frozen=True, slots=True)
class AgentToken:
    """What is kept of a token beside its digest: whose it is, the `id` that people call it by, since and
    until when it is good (ledger time), and what it is for."""

    agent: str
    id: str
    at_us: int
    ends_us: int
    about: str = ""


class AgentTokens:
    """Which token speaks for which agent. What is in memory is what the ledger has: this process owns it."""

    def __init__(self, parts: Parts, agents: Mapping[str, Agent]) -> None:
        self._parts = parts
        self._agents = {name: agent for name, agent in agents.items() if agent.elsewhere}
        self._known: dict[str, AgentToken] = {}

    def take_in(self, tx: Tx) -> None:
        """Know the tokens that the ledger has; at start. Those of agents that do not live elsewhere (any
        more) end for good."""
        known = _of_settings(tx.settings(AGENT_TOKEN_SETTING))
        for digest, token in list(known.items()):
            if token.agent not in self._agents:
                _take_back(tx, digest, token, "agents.py")
                del known[digest]
        self._known = known

    def find(self, token: bytes) -> AgentToken | None:
        """Which agent a token speaks for; None where it speaks for none, or has ended."""
        # Looked up by its digest: how long that takes says nothing of any token.
        known = self._known.get(digest_of(token))
        return known if known is not None and not self._over(known) else None

    def is_good(self, agent: str, id: str) -> bool:
        """Whether an agent's token of this id is good still."""
        return any(one.id == id and not self._over(one) for one in self.of(agent))

    def of(self, agent: str) -> list[AgentToken]:
        """An agent's tokens, oldest first."""
        return sorted((one for one in self._known.values() if one.agent == agent), key=lambda t: t.at_us)

    async def issue(
        self, agent: str, by: str, *, days: int = AGENT_DAYS, about: str = ""
    ) -> tuple[AgentToken, str]:
        """A new token of an agent's, and what it is: it is never known again.

        Raises `NotAnswerable` for an agent that does not live elsewhere, and for one too many.
        """
        if agent not in self._agents:
            raise NotAnswerable(f"{agent} is no agent that lives elsewhere: agent(…, elsewhere=True)")
        token, id = written(AGENT_PREFIX, os.urandom(BYTES)), os.urandom(4).hex()
        digest = digest_of(token.encode())

        def work(tx: Tx) -> tuple[AgentToken, list[str]]:
            over = _make_room(tx, agent)
            made = AgentToken(agent, id, tx.at_us, tx.at_us + days * _DAY_US, about)
            tx.set_setting(AGENT_TOKEN_SETTING + digest, _kept(made))
            _tell(tx, "token issued", made, by)
            return made, over

        def known(done: tuple[AgentToken, list[str]]) -> None:
            for gone in done[1]:
                self._known.pop(gone, None)
            self._known[digest] = done[0]

        made, _ = await once_committed(self._parts.store.write(work), known)
        return made, token

    async def revoke(self, agent: str, id: str, by: str) -> None:
        """Let a token speak for nobody. Raises `NotAnswerable` where the agent has none of this id."""
        found = {d: one for d, one in self._known.items() if (one.agent, one.id) == (agent, id)}
        if not found:
            raise NotAnswerable(f"{agent} has no token {id}")

        def work(tx: Tx) -> None:
            for digest, token in found.items():
                _take_back(tx, digest, token, by)

        def gone(_: None) -> None:
            for digest in found:
                self._known.pop(digest, None)

        await once_committed(self._parts.store.write(work), gone)

    def _over(self, token: AgentToken) -> bool:
        return self._parts.time.now_us() >= token.ends_us


def _of_settings(settings: Mapping[str, str]) -> dict[str, AgentToken]:
    found = {}
    for name, value in settings.items():
        told = canonical.decode(value)
        found[name.removeprefix(AGENT_TOKEN_SETTING)] = AgentToken(
            told["agent"], told["id"], int(told["at"]), int(told["ends"]), told["about"]
        )
    return found


def _kept(token: AgentToken) -> str:
    value = {
        "agent": token.agent,
        "id": token.id,
        "at": token.at_us,
        "ends": token.ends_us,
        "about": token.about,
    }
    return canonical.encode(value).decode()


def _make_room(tx: Tx, agent: str) -> list[str]:
    """Take away those that have ended where one more would be too many: the digests. Raises
    `NotAnswerable`."""
    found = {d: t for d, t in _of_settings(tx.settings(AGENT_TOKEN_SETTING)).items() if t.agent == agent}
    over = [d for d, t in found.items() if tx.at_us >= t.ends_us] if len(found) >= TOKENS_MAX else []
    if len(found) - len(over) >= TOKENS_MAX:
        raise NotAnswerable(f"{agent} has {TOKENS_MAX} tokens; revoke one that is not in use")
    for digest in over:
        tx.set_setting(AGENT_TOKEN_SETTING + digest, None)
    return over


def _take_back(tx: Tx, digest: str, token: AgentToken, by: str) -> None:
    tx.set_setting(AGENT_TOKEN_SETTING + digest, None)
    _tell(tx, "token revoked", token, by)


def _tell(tx: Tx, what: str, token: AgentToken, by: str) -> None:
    body = {"what": what, "agent": token.agent, "token": token.id, "by": by}
    tx.append(SYSTEM, tx.version(SYSTEM), [Draft("person", body)])
