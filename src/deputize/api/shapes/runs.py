"""Runs, actions and entries."""

from __future__ import annotations

from deputize.api.shapes.events import EVENT, Event
from deputize.api.shapes.shape import Answer, Body, Nothing, Object, Sent, Shape, Time, Told
from deputize.ledger import EntryType
from deputize.standing import WaitKind
from deputize.store.rows import RunState


class WaitsFor(Shape):
    """One thing that a run waits for, and who is in its way."""

    kind: WaitKind
    what: str
    by: str
    """The action (`run/path`) or run that is in the way; empty where none is."""
    operation: str
    since: Time | None
    until: Time | None
    said: str
    """The same as a sentence's end: `waits for …`."""


class Run(Shape):
    """An automation answering an event."""

    no: int
    """The number by which runs are listed (`after`, `before`)."""
    id: str
    automation: str
    agent: str
    event: int
    """The `seq` of its event."""
    key: str | None
    priority: int
    state: RunState
    label: str
    """How it ended, `done(refunded)`; empty while it has not."""
    reason: str
    began_at: Time
    ended_at: Time | None
    version: int
    waits_for: list[WaitsFor]


class Action(Shape):
    """One requested use of an operation."""

    id: str
    """Its run's id and its path."""
    run: str
    path: str
    operation: str
    state: str
    digest: str
    key: str
    """The idempotency key that its service is sent; empty where none is."""
    round: int
    attempts: int
    first_sent: Time | None
    give_up_at: Time | None
    connector_version: str
    agent: str
    at: Time
    ended_at: Time | None


class Wait(Shape):
    """A wait of a run's."""

    path: str
    kind: str
    due: Time | None


class Entry(Shape):
    """A line of the ledger."""

    seq: int
    run: str
    """The run whose stream it is in, or `system`."""
    version: int
    type: EntryType
    at: Time
    body: Object | None
    """Null once erased."""
    hash: str


class Runs(Shape):
    """A page of runs."""

    runs: list[Run]
    next: int | None
    """Where to go on: as `before` (newest first) or `after` (oldest first). Null at the end."""
    searched_to: Time | None = None
    """With `show`: back to when was looked in this moment; null where that was to the end."""


class RunTold(Shape):
    """A run with what belongs to it."""

    run: Run
    actions: list[Action]
    waits: list[Wait]
    event: Event | None


class Entries(Shape):
    """A page of entries."""

    entries: list[Entry]
    next: int | None
    """Where to go on, as `after`; null at the end. A page of chosen types may hold few entries, or none,
    and go on."""


class Actions(Shape):
    """A page of a run's actions."""

    actions: list[Action]
    next: str | None
    """The path to go on after; null at the end."""


class ActionTold(Shape):
    """An action with every entry about it."""

    action: Action
    entries: list[Entry]


class Cancelled(Shape):
    """What came of a wish to cancel."""

    run: str
    said: str


class Undone(Shape):
    """What is undone from now on."""

    run: str
    path: str
    said: str


class Undo(Sent):
    """What to undo: of the whole run, or of one action."""

    path: str = ""
    """The path of one action; all of the run's without it."""
    reason: str = ""


RUN_ID = "3f9d0c6a51b7e2480f6c1d2e"
RUN: Object = {
    "no": 7,
    "id": RUN_ID,
    "automation": "handle_return",
    "agent": "returns-desk",
    "event": 7,
    "key": "order:o1",
    "priority": 1,
    "state": "waiting",
    "label": "",
    "reason": "",
    "began_at": "2026-11-02T08:15:00.000000Z",
    "ended_at": None,
    "version": 4,
    "waits_for": [
        {
            "kind": "approval",
            "what": "payments.refund",
            "by": f"{RUN_ID}/2",
            "operation": "",
            "since": None,
            "until": "2026-11-03T08:15:00.000000Z",
            "said": f"waits for people's answer to the card {RUN_ID}/2 until 03 Nov 2026, 09:15:00",
        }
    ],
}
ACTION: Object = {
    "id": f"{RUN_ID}/2",
    "run": RUN_ID,
    "path": "2",
    "operation": "payments.refund",
    "state": "asking",
    "digest": "9c1185a5c5e9fc54612808977ee8f548b2258d31",
    "key": "",
    "round": 0,
    "attempts": 0,
    "first_sent": None,
    "give_up_at": None,
    "connector_version": "",
    "agent": "returns-desk",
    "at": "2026-11-02T08:15:01.000000Z",
    "ended_at": None,
}
ENTRY: Object = {
    "seq": 41,
    "run": RUN_ID,
    "version": 1,
    "type": "began",
    "at": "2026-11-02T08:15:00.000000Z",
    "body": {"automation": "handle_return", "agent": "returns-desk", "event": 7},
    "hash": "d5579c46dfcc7f18207013e65b44e4cb4e2c2298f4ac457ba8f82743f31e930b",
}
ENTRIES: Object = {"entries": [ENTRY], "next": 41}
STREAM = f'id: 41\nevent: began\ndata: {{"seq":41,"run":"{RUN_ID}","version":1,"type":"began"}}\n\n'
NO_RUN = "there is no run '3f9d', or more than one begins so; GET /v1/runs lists them"

ROUTES = {
    "list_runs": Told({200: Answer("A page of runs.", Runs, {"runs": [RUN], "next": 7})}),
    "get_run": Told(
        {
            200: Answer(
                "The run.",
                RunTold,
                {
                    "run": RUN,
                    "actions": [ACTION],
                    "waits": [{"path": "2", "kind": "approval", "due": None}],
                    "event": EVENT,
                },
            )
        },
        refuses={404: NO_RUN},
    ),
    "get_run_entries": Told({200: Answer("A page of its stream.", Entries, ENTRIES)}, refuses={404: NO_RUN}),
    "get_run_actions": Told(
        {200: Answer("A page of its actions.", Actions, {"actions": [ACTION], "next": None})},
        refuses={404: NO_RUN},
    ),
    "get_action": Told(
        {200: Answer("The action.", ActionTold, {"action": ACTION, "entries": [ENTRY]})},
        refuses={404: f"run {RUN_ID} has no action '9'; GET /v1/runs/{RUN_ID}/actions lists them"},
    ),
    "list_entries": Told(
        {200: Answer("A page of the ledger.", Entries, ENTRIES)},
        refuses={404: NO_RUN},
    ),
    "stream_entries": Told(
        {200: Answer("The entries, one event each.", None, STREAM, media="text/event-stream")},
        refuses={
            404: NO_RUN,
            422: "no entry has the type 'recipt'; did you mean 'receipt'?",
            429: "as many listen as may; come back in a moment",
        },
    ),
    "cancel_run": Told(
        {
            202: Answer(
                "It is wished for, and on disk.",
                Cancelled,
                {"run": RUN_ID, "said": "cancelled"},
            )
        },
        Body(Nothing, {"nothing": {}}, required=False),
        {404: NO_RUN, 409: f"run {RUN_ID} has ended already: done(refunded)"},
        needs_person=True,
    ),
    "undo_run": Told(
        {
            202: Answer(
                "It is being undone.",
                Undone,
                {"run": RUN_ID, "path": "", "said": "2 actions are undone, the latest first"},
            )
        },
        Body(
            Undo,
            {
                "all of it": {"reason": "sent to the wrong customer"},
                "one action": {"path": "2", "reason": "x"},
            },
            required=False,
        ),
        {404: NO_RUN, 409: f"run {RUN_ID} is waiting; cancel it first, then undo what it did"},
        needs_person=True,
    ),
}
