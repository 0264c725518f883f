"""What came of a call, as MCP answers it: a result, that there is none yet, or a no in words. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deputize import canonical

CALL_META = "deputize/call"
"""In `_meta`: the id of a call. The caller may give it; the same id is the same call, for ever."""

BECAUSE_META = "deputize/because"
"""In `_meta`: why it is called for, in a sentence that people will read."""

RUN_META = "deputize/run"

PENDING_STATES = frozenset({"waiting", "not_finished", "not_sure"})
"""Nothing has failed, and there is no result yet."""


def answer_of(told: Mapping[str, Any]) -> dict[str, Any]:
    """The answer to a call of which this is told (see `deputize.api.told`)."""
    meta = {CALL_META: told["call"], RUN_META: told["run"]}
    if told["state"] == "done":
        result = told["result"]
        structured = {"result": result} if told["wrapped"] else result
        text = canonical.encode(structured).decode()
        return {"content": [_text(text)], "structuredContent": structured, "isError": False, "_meta": meta}
    structured = {name: told[name] for name in ("state", "call", "run", "said")}
    failed = told["state"] not in PENDING_STATES
    return {
        "content": [_text(told["said"])],
        "structuredContent": structured,
        "isError": failed,
        "_meta": meta,
    }


def no(said: str) -> dict[str, Any]:
    """The answer to what could not be taken as a call at all."""
    return {"content": [_text(said)], "isError": True}


def _text(text: str) -> dict[str, str]:
    return {"type": "text", "text": text}
