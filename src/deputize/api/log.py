"""What goes wrong, as JSON lines on stderr without secrets; nothing is written while all is well."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Mapping
from typing import Any

from deputize.system import System
from deputize.telemetry.writing import say

TRACE_CHARS_MAX = 8_000
LET_GO = "ASGI callable returned without completing response."
"""What uvicorn says where the stream lets a reader go who does not read."""


def complain(system: System, event: str, *, error: BaseException | None = None, **fields: Any) -> None:
    """Write one line."""
    if error is not None:
        fields["error"] = f"{type(error).__name__}: {error}"
        fields["trace"] = "".join(traceback.format_exception(error))[-TRACE_CHARS_MAX:]
    say(system.lines.write, system.secrets.scrub, "error", event, **fields)


def complain_of(system: System, context: Mapping[str, Any]) -> None:
    """One line of what the loop tells of an error that nobody took, with the run that it is about."""
    about = {"run": context["run"]} if "run" in context else {}
    complain(system, str(context.get("message", "")), error=context.get("exception"), **about)


class Complaints(logging.Handler):
    """Takes what libraries log as warnings and errors."""

    def __init__(self, system: System) -> None:
        super().__init__(logging.WARNING)
        self._system = system

    def emit(self, record: logging.LogRecord) -> None:
        if record.msg == LET_GO:
            return
        error = record.exc_info[1] if record.exc_info else None
        complain(self._system, record.getMessage(), logger=record.name, error=error)
