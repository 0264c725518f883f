"""Entries of many runs, each told as a line by itself."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

from deputize.api.show import show_event
from deputize.clock import iso
from deputize.ledger import SYSTEM
from deputize.standing import moment
from deputize.store.protocol import Found, View
from deputize.story import line_of
from deputize.systemwide import told_systemwide
from deputize.telling import Telling


class Teller:
    """Tells entries of many runs, each as a line by itself."""

    def __init__(self, view: View, zone: ZoneInfo) -> None:
        self._view = view
        self._zone = zone

    def line(self, found: Found) -> dict[str, Any]:
        """An entry as a line: what happened, when, and whose it is."""
        entry = found.entry
        body = entry.body or {}
        if entry.stream == SYSTEM:
            said = told_systemwide(entry, lambda at_us: moment(at_us, self._zone))
        else:
            event = self._view.event(found.event) if entry.type == "began" else None
            shown = show_event(event) if event is not None else None
            said = line_of(
                Telling(found.run, found.automation, found.agent, shown, (entry,), (), self._zone), entry
            )
        return {
            "seq": entry.seq,
            "at": iso(entry.at_us),
            "run": found.run,
            "automation": found.automation,
            "agent": str(body.get("agent") or found.agent),
            "path": str(body.get("path", "")),
            "operation": found.operation,
            "type": entry.type,
            "said": said,
        }
