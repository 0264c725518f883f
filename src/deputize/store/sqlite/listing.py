"""What the lists that people go through page by page are chosen by: the end of each query, and its values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Chosen = tuple[str, list[Any]]


class _Where:
    def __init__(self, first: str, *values: Any) -> None:
        self._parts, self.values = [first], list(values)

    def also(self, part: str, *values: Any) -> None:
        self._parts.append(part)
        self.values += values

    def among(self, column: str, values: Sequence[str]) -> None:
        if values:
            self.also(f"{column} IN ({','.join('?' * len(values))})", *values)

    def equal(self, column: str, value: str) -> None:
        if value:
            self.also(f"{column}=?", value)

    def __str__(self) -> str:
        return f"WHERE {' AND '.join(self._parts)}"


def runs(
    *,
    states: Sequence[str],
    automation: str,
    agent: str,
    since: int | None,
    before: int | None,
    after: int,
) -> Chosen:
    """Of `run`; newest first with `before`."""
    where, index = _Where("no>?", after), ""
    if before is not None:
        where.also("no<?", before)
    where.among("state", states)
    where.equal("automation", automation)
    where.equal("agent", agent)
    if since is not None:
        # Ledger time never runs back, so runs are numbered in the order in which they began.
        earlier = "SELECT no FROM run WHERE began_at<? ORDER BY no DESC LIMIT 1"
        where.also(f"no>COALESCE(({earlier}), 0)", since)
    if states and "ended" not in states:
        index = "INDEXED BY run_unfinished "
        where.also("state <> 'ended'")
    return f"{index}{where} ORDER BY no {'DESC' if before is not None else 'ASC'}", where.values


def entries(after: int, *, run: int | None, types: Sequence[str], until: int | None) -> Chosen:
    """Of `entry e`, in the order of their commits."""
    where, order = _Where("e.seq>?", after), "e.seq"
    where.among("e.type", types)
    if until is not None:
        where.also("e.seq<=?", until)
    if run is not None:
        # There is an index for a stream's versions, and their order is that of its commits.
        where.also("e.stream=?", run)
        order = "e.version"
    return f"{where} ORDER BY {order}", where.values


def events(after: int, *, state: str, type: str) -> Chosen:
    """Of `event`, in the order of their arrival."""
    where = _Where("seq>?", after)
    where.equal("state", state)
    where.equal("type", type)
    return f"{where} ORDER BY seq", where.values


def cards(after: int, *, state: str, kinds: Sequence[str], automation: str) -> Chosen:
    """Of `inbox i` with its `run r`, oldest first."""
    where = _Where("i.seq>? AND i.state=?", after, state)
    where.among("i.kind", kinds)
    where.equal("COALESCE(r.automation, i.path)", automation)
    return f"{where} ORDER BY i.seq", where.values
