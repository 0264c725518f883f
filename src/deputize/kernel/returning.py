"""What an automation returned, as the end of its run.

All that the project's own code may do to it (`__str__`, serialisers) is done here, on the driver's
thread; the writer gets plain data that any store can hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from deputize import canonical
from deputize.automation import ContinueWith, Outcome
from deputize.errors import CodeError
from deputize.kernel.failing import failed, readable
from deputize.kernel.live import Ends, LiveRun

LABEL_CHARS_MAX = 200
DETAILS_BYTES_MAX = 1_000_000


def returned(run: LiveRun, value: Any) -> Ends:
    """The end of a run by what its code returned; by a failure, where that is not lawful."""
    if run.step.violation is not None:
        return failed(run, run.step.violation)
    unawaited = next((a for a in run.step.built if not a.awaited), None)
    if unawaited is not None:
        return failed(
            run,
            CodeError(
                f"{unawaited.describe()} built at {unawaited.where} was never awaited, so it was never done; "
                "write `await` before it"
            ),
        )
    if isinstance(value, ContinueWith):
        data = canonical.encode(value.state.model_dump(mode="json"))
        return Ends(run, "continued", Outcome("done"), state=(value.state.event_type, data))
    place = f"{run.automation.where}: {run.automation.name}"
    if not isinstance(value, Outcome) or value.kind not in ("done", "gave_up"):
        what = type(value).__name__
        hint = ": write `await` before it" if what in ("coroutine", "Action", "Together", "Attempt") else ""
        return failed(run, CodeError(f"{place} must return done(…) or gave_up(…), and returned {what}{hint}"))
    label: object = value.label
    if not isinstance(label, str) or len(label) > LABEL_CHARS_MAX:
        return failed(run, CodeError(f"{place}: a label is text of at most {LABEL_CHARS_MAX} characters"))
    if not value.details:
        return Ends(run, value.kind, Outcome(value.kind, readable(label)))
    # Made plain here, because it is the project's code that turns what it returned into text.
    details = canonical.encode(plain(value.details))
    if len(details) > DETAILS_BYTES_MAX:
        return failed(run, CodeError(f"{place}: details are {len(details):,} bytes; return a reference"))
    return Ends(run, value.kind, Outcome(value.kind, readable(label), canonical.decode(details)))


def plain(value: Any) -> Any:
    """Details as JSON can hold them; what it cannot becomes text. Raises `RecursionError` for a cycle."""
    if isinstance(value, BaseModel):
        return plain(value.model_dump(mode="json"))
    if isinstance(value, Mapping):
        return {readable(str(k)): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(v) for v in value]
    if isinstance(value, bool | float | None):
        return value
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        return int(value)
    return readable(str(value))
