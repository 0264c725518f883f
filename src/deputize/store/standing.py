"""Who waits for whom, read from a ledger, and from what the process that owns it has in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import cast

from deputize.standing import Stand, WaitKind, WaitsFor, line_of
from deputize.store.protocol import ActionRow, RunRow, View

UNSETTLED_MAX = 2_000
"""Actions under way that are looked through for the one that is in the way, at most."""

OWN_MAX = 50


class Standings:
    """What runs wait for, on one snapshot."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._under_way: dict[str, ActionRow] | None = None

    def of(self, run: RunRow, stands: Sequence[Stand] = ()) -> list[WaitsFor]:
        """What a run waits for. `stands` is what memory knows of it."""
        if run.state == "ended":
            return []
        return [*self._ahead(run), *(self._in_line(stand) for stand in stands), *self._in_ledger(run)]

    def _ahead(self, run: RunRow) -> Iterator[WaitsFor]:
        before = self._view.run_before(run) if run.state == "behind" else None
        if before is not None:
            yield WaitsFor("key", run.key or "", before.id, before.automation, before.began_at)

    def _in_line(self, stand: Stand) -> WaitsFor:
        if stand.kind != "resource":
            return WaitsFor(stand.kind, stand.name, until=stand.until, why=stand.why)
        holder = self._view.lease_holder([stand.name])
        action = self._view.action(holder[1], holder[2]) if holder is not None else None
        if action is not None:
            return _by("lease", stand.name, action)
        action = self._lines().get(stand.name)
        return _by("under_way", stand.name, action) if action is not None else WaitsFor("line", stand.name)

    def _lines(self) -> dict[str, ActionRow]:
        """The action that is under way by each line that others wait in."""
        if self._under_way is None:
            self._under_way = {}
            for row in self._view.actions_in(["open", "doubtful"], (0, ""), UNSETTLED_MAX):
                intent = self._view.entry(row.intent)
                for counter, subject, *_ in (intent.body or {}).get("under_way", ()) if intent else ():
                    self._under_way.setdefault(line_of(counter, subject), row)
        return self._under_way

    def _in_ledger(self, run: RunRow) -> Iterator[WaitsFor]:
        for wait in self._view.waits(run.no):
            what = wait.path if wait.kind != "unwind" else ""
            yield WaitsFor(cast("WaitKind", wait.kind), what, f"{run.id}/{wait.path}", until=wait.due)
        for row in self._view.unsettled_of(run.no, OWN_MAX):
            yield _by("answer" if row.state == "open" else "doubt", row.operation, row)


def _by(kind: WaitKind, what: str, action: ActionRow) -> WaitsFor:
    id = f"{action.run_id}/{action.path}"
    return WaitsFor(kind, what, id, action.operation, action.at)
