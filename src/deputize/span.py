"""Spans: what a trace says of a run and its actions, told from the ledger's entries alone. Pure.

One run is one trace. Ids follow from the ledger, the run and the path, so whoever tells the same thing again
(after a crash, or of a restored copy) tells it under the same ids. Names and attributes are those of
OpenTelemetry's semantic conventions for generative AI, version 1.41.0, and our own, which begin with
`deputize.`. Nothing that came from outside is in them: no arguments, no answers, no reasons, no labels.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from deputize.event import RUN_SOURCE
from deputize.ledger import Entry
from deputize.taking import COST, LOST, USED
from deputize.undo import UNDO

Kind = Literal["internal", "client"]
Value = str | int | bool | tuple[str, ...]
Place = tuple[int, str]
"""A run's number and the path of an action in it."""

OUTCOMES = {
    "read": "settled",
    "receipt": "settled",
    "rehearsed": "rehearsed",
    "granted": "granted",
    "drift": "drifted",
    "declined": "declined",
    "refused": "refused",
    "abandoned": "abandoned",
}
"""The entries by which an action comes to an end, and how that is called."""

TELLS = frozenset({"began", "ended", "asked", "intent", "attempt", "doubt", *OUTCOMES})
"""The types of entries that say anything of a span."""

_WELL = frozenset({"settled", "rehearsed", "granted", "done", "gave_up"})


@dataclass(frozen=True, slots=True)
class Span:
    """One span. `trace` has 32 hexadecimal digits, `id` and `parent` 16 (`parent` is empty for a run);
    times are microseconds since the epoch. `error` is empty where it came to a good end; `link` is the trace
    and the span of the run that sent the event."""

    name: str
    trace: str
    id: str
    parent: str
    began_us: int
    ended_us: int
    kind: Kind = "internal"
    attributes: Mapping[str, Value] = field(default_factory=dict)
    error: str = ""
    link: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Model:
    """A model as the conventions call it."""

    provider: str
    name: str
    local: bool = False


@dataclass(frozen=True, slots=True)
class Run:
    """What the first entry of a run says."""

    id: str
    automation: str
    agent: str
    began_us: int
    event: int
    sender: str


@dataclass(frozen=True, slots=True)
class Open:
    """What is known of an action before it ends. `intent` is None as long as nothing was sent."""

    intent: Entry | None = None
    asked: Entry | None = None
    attempts: int = 1
    doubted: bool = False


def begun(run_id: str, entry: Entry) -> Run | None:
    """What a `began` says; None where it was erased."""
    body = entry.body
    if body is None:
        return None
    event, source = body["event"], str(body["event"]["source"])
    sender = source.removeprefix(RUN_SOURCE) if source.startswith(RUN_SOURCE) else ""
    return Run(run_id, body["automation"], body["agent"], entry.at_us, event["seq"], sender)


def opened(known: Open, entry: Entry) -> Open:
    """What is known of an action after an entry that does not end it."""
    match entry.type:
        case "asked":
            return replace(known, asked=entry)
        case "intent":
            asked = known.asked if "asked" in (entry.body or {}) else None
            return Open(entry, asked)
        case "attempt":
            return replace(known, attempts=(entry.body or {}).get("n", known.attempts))
        case "doubt":
            return replace(known, doubted=True)
    return known


class Trace:
    """Makes the spans of one ledger."""

    def __init__(self, ledger_id: str, models: Mapping[str, Model]) -> None:
        self._ledger_id = ledger_id
        self._models = models

    def of_run(self, run: Run, entry: Entry) -> Span:
        """A run, from its `ended`."""
        body = entry.body or {}
        attributes: dict[str, Value] = {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.agent.name": run.agent,
            **_of(run, entry),
            "deputize.event": run.event,
            "deputize.outcome": body["kind"],
        }
        link = (self._id(32, run.sender), self._id(16, run.sender)) if run.sender else None
        return Span(
            f"invoke_agent {run.agent}",
            self._id(32, run.id),
            self._id(16, run.id),
            "",
            run.began_us,
            entry.at_us,
            attributes=attributes,
            error=_error(body["kind"]),
            link=link,
        )

    def of_action(self, run: Run, known: Open, entry: Entry) -> list[Span]:
        """An action, from the entry that ends it and from what was known before; and how long people were
        asked for it."""
        body = entry.body or {}
        path, outcome = str(body["path"]), OUTCOMES[entry.type]
        asked = [self._of_asking(run, known, path, entry)] if known.asked is not None else []
        if outcome == "granted":
            return asked
        intent = known.intent.body if known.intent is not None and known.intent.body is not None else None
        asked_for = dict(known.asked.body or {}) if known.asked is not None else {}
        about = intent or asked_for | dict(body)
        began_us = entry.at_us if known.intent is None or intent is None else known.intent.at_us
        again, operation = body.get("was") == "drifted", str(about.get("op", ""))
        model = self._models.get(operation)
        name, kind, attributes = _execute(operation) if model is None else _chat(model)
        attributes |= _of(run, entry) | {
            "gen_ai.agent.name": about.get("agent", run.agent),
            "deputize.operation": operation,
            "deputize.path": path,
            "deputize.outcome": outcome,
            "deputize.rules": tuple(about.get("rules", ())),
            "deputize.attempts": 0 if intent is None and entry.type == "refused" else known.attempts,
            "deputize.doubted": known.doubted,
        }
        if model is None:
            attributes["gen_ai.tool.call.id"] = f"{run.id}/{path}"
        round = about.get("round", 1)
        span = Span(
            f"resolve {operation}" if again else name,
            self._id(32, run.id),
            self._id(16, run.id, path, round, *(["again"] if again else [])),
            self._id(16, run.id, path, round) if again else self._parent(run, path),
            entry.at_us if again else began_us,
            entry.at_us,
            kind,
            attributes | _used(body),
            _error(outcome),
        )
        return [*asked, span]

    def _of_asking(self, run: Run, known: Open, path: str, entry: Entry) -> Span:
        """How long people were asked: until something was sent, or nothing was to be."""
        assert known.asked is not None
        body = known.asked.body or {}
        until = known.intent or entry
        attributes: dict[str, Value] = _of(run, known.asked) | {
            "gen_ai.agent.name": body.get("agent", run.agent),
            "deputize.operation": body.get("op", ""),
            "deputize.path": path,
            "deputize.outcome": "approved" if until.type in ("intent", "granted") else "not approved",
            "deputize.rules": tuple(body.get("rules", ())),
        }
        return Span(
            f"ask_people {body.get('op', '')}",
            self._id(32, run.id),
            self._id(16, run.id, path, "asked", known.asked.version),
            self._parent(run, path),
            known.asked.at_us,
            until.at_us,
            attributes=attributes,
        )

    def _parent(self, run: Run, path: str) -> str:
        """An inquiry is made for an action; all else for the run."""
        above, slash, _ = path.rpartition("/")
        if not slash or path.startswith(UNDO):
            return self._id(16, run.id)
        return self._id(16, run.id, above, 1)

    def _id(self, digits: int, run_id: str, *place: str | int) -> str:
        named = "\x1f".join(map(str, (self._ledger_id, run_id, *place)))
        # A byte of it is never 0: an id of zeros alone is none.
        return f"1{hashlib.sha256(named.encode()).hexdigest()[: digits - 1]}"


def provider_of(name: str) -> str:
    """A provider of pydantic-ai's as the conventions call it."""
    return _PROVIDERS.get(name, name)


_PROVIDERS = {
    "azure": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "google": "gcp.gemini",
    "google-gla": "gcp.gemini",
    "google-vertex": "gcp.vertex_ai",
    "grok": "x_ai",
    "mistral": "mistral_ai",
    "openai-chat": "openai",
    "openai-responses": "openai",
    "xai": "x_ai",
}


def _execute(operation: str) -> tuple[str, Kind, dict[str, Value]]:
    named: dict[str, Value] = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": operation}
    return f"execute_tool {operation}", "internal", named


def _chat(model: Model) -> tuple[str, Kind, dict[str, Value]]:
    named: dict[str, Value] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": model.provider,
        "gen_ai.request.model": model.name,
    }
    return f"chat {model.name}", "internal" if model.local else "client", named


def _of(run: Run, entry: Entry) -> dict[str, Value]:
    return {
        "deputize.run": run.id,
        "deputize.automation": run.automation,
        "deputize.entry": entry.seq,
    }


def _used(body: Mapping[str, Any]) -> dict[str, Value]:
    """What a thought used, and what any action is known to have cost."""
    found: dict[str, Value] = {}
    if USED in body:
        found["gen_ai.usage.input_tokens"] = body[USED]["in"]
        found["gen_ai.usage.output_tokens"] = body[USED]["out"]
        found["deputize.cost_usd_micros"] = body[USED]["usd_micros"]
    elif COST in body:
        found["deputize.cost_usd_micros"] = body[COST]
    if LOST in body:
        found["deputize.lost_usd_micros"] = body[LOST]
    if body.get("by") == "cache":
        found["deputize.from_cache"] = True
    return found


def _error(outcome: str) -> str:
    return "" if outcome in _WELL else outcome
