"""A run's story, what would undo it, what would come of it now, and the history."""

from __future__ import annotations

from deputize.api.shapes.events import Event
from deputize.api.shapes.runs import RUN, RUN_ID, Run
from deputize.api.shapes.shape import Answer, Object, Shape, Time, Told
from deputize.ledger import EntryType
from deputize.store.rows import RunState


class Beside(Shape):
    """Another run that has to do with this one."""

    run: str
    automation: str
    state: RunState
    label: str


class Behind(Shape):
    """The run that sent the event which this one answers, and at which of its steps."""

    run: str
    automation: str
    path: str
    """Empty where its end did."""


class Story(Shape):
    """A page of a run's story."""

    run: Run
    event: Event | None
    led_here: Behind | None
    beside: list[Beside]
    """Runs that answer the same event."""
    led_to: list[Beside]
    story: list[Object]
    """Sentences in the order of time, those of an action together: what is about none has `said`, an action
    its `parts` and `steps`."""
    after: int
    before: int | None
    next: int | None
    """The version to go on after; null at the end."""


class UndoStep(Shape):
    """One action that would undo another."""

    path: str
    of: str
    undoes: str
    op: str
    args: Object
    said: str


class NotUndone(Shape):
    """What would stay as it is, and why."""

    path: str
    op: str
    why: str
    said: str


class UndoPlan(Shape):
    """What would undo a run, latest first."""

    run: str
    path: str
    steps: list[UndoStep]
    left: list[NotUndone]
    said: str
    """Why it cannot be undone; empty where it can."""


class RunRehearsed(Shape):
    """What would come of a run's event now, and how that differs from what did."""

    run: str
    automation: str
    same: bool
    came: str
    end: str
    reason: str
    really: str
    """How it ended then; empty where it has not."""
    differences: list[Object]
    actions: list[Object]


class Line(Shape):
    """A line of the history."""

    seq: int
    at: Time
    run: str
    automation: str
    agent: str
    path: str
    operation: str
    type: EntryType
    said: str


class History(Shape):
    """What was found, newest first."""

    entries: list[Line]
    hints: list[str]
    """What in the search names nothing that is known, and the nearest that does."""
    next: int | None
    """Where to go on, as `before`; null at the end."""
    searched_to: Time | None
    """Back to when was looked in this moment; null where that was to the end."""


_NO_RUN = "there is no run '3f9d', or more than one begins so; GET /v1/runs lists them"
_SAID: Object = {
    "kind": "told",
    "version": 1,
    "at": "2026-11-02T08:15:00.000000Z",
    "type": "began",
    "said": "the automation handle_return began",
    "card": None,
}

ROUTES = {
    "tell_story": Told(
        {
            200: Answer(
                "A page of it.",
                Story,
                {
                    "run": RUN,
                    "event": None,
                    "led_here": None,
                    "beside": [],
                    "led_to": [],
                    "story": [_SAID],
                    "after": 0,
                    "before": None,
                    "next": None,
                },
            )
        },
        refuses={404: _NO_RUN},
    ),
    "plan_undo": Told(
        {
            200: Answer(
                "What would be done.",
                UndoPlan,
                {
                    "run": RUN_ID,
                    "path": "",
                    "steps": [],
                    "left": [
                        {
                            "path": "2",
                            "op": "payments.refund",
                            "why": "it has no undo",
                            "said": "payments.refund (2): it has no undo",
                        }
                    ],
                    "said": "nothing of it can be undone: payments.refund (2): it has no undo",
                },
            )
        },
        refuses={404: _NO_RUN, 409: f"run {RUN_ID} was not there any more"},
    ),
    "rehearse_run": Told(
        {
            200: Answer(
                "What would come of it.",
                RunRehearsed,
                {
                    "run": RUN_ID,
                    "automation": "handle_return",
                    "same": True,
                    "came": "ended",
                    "end": "done(refunded)",
                    "reason": "",
                    "really": "done(refunded)",
                    "differences": [],
                    "actions": [],
                },
            )
        },
        refuses={404: _NO_RUN, 409: "another run is being rehearsed; send it again in a moment"},
        needs_person=True,
    ),
    "get_history": Told(
        {
            200: Answer(
                "What was found.",
                History,
                {
                    "entries": [
                        {
                            "seq": 21,
                            "at": "2026-11-02T08:15:01.000000Z",
                            "run": RUN_ID,
                            "automation": "handle_return",
                            "agent": "returns-desk",
                            "path": "2",
                            "operation": "payments.refund",
                            "type": "receipt",
                            "said": 'the service answered: id "re-1"',
                        }
                    ],
                    "hints": [],
                    "next": 21,
                    "searched_to": None,
                },
                also=("application/x-ndjson", "text/csv"),
            )
        },
        refuses={404: _NO_RUN, 429: "2 exports are under way; send it again when one of them has ended"},
    ),
}
