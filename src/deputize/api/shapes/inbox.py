"""The inbox: cards and their answers; channels and links."""

from __future__ import annotations

from typing import Any, Literal

from deputize.api.inbox import Kind
from deputize.api.shapes.shape import Answer, Body, Object, Sent, Shape, Time, Told


class Choice(Shape):
    """A way to answer a card."""

    kind: str
    """What an answer over HTTP says: `approve`, `happened`, …; `undo` is a request of its own."""
    command: str
    """On the command line."""
    causes: str
    """What comes of it."""


class Card(Shape):
    """Something that waits for a person."""

    seq: int
    id: str
    """What an answer names: the action (`run/path`), or the run."""
    kind: Kind
    run: str
    path: str
    title: str
    body: Object
    """The entry that made it."""
    at: Time
    state: Literal["open", "closed"]
    about: str
    of: str
    key: str
    first_sent_at: Time | None
    evidence: str
    answers: list[Choice]
    """Every way to answer it; empty once it is closed."""
    binding: str | None = None
    """Of an approval: what an answer repeats, so that it answers what was read."""
    asks: list[str] | None = None
    findings: list[str] | None = None
    handed: str | None = None
    cost: str | None = None
    undo: str | None = None
    due: Time | None = None
    silence: str | None = None
    """What comes of no answer until `due`."""
    digest: str | None = None
    """Of a plan."""
    plan: list[str] | None = None
    answer: str | None = None
    """Of a question: what answers it."""


class Troubled(Shape):
    """A poll, a schedule or a channel that has trouble."""

    name: str
    kind: Literal["poll", "schedule", "channel"]
    next_at: Time | None
    last_at: Time | None
    events: int | None = None
    skipped: int | None = None
    sent: int | None = None
    failures: int
    trouble: str


class Unfinished(Shape):
    """A write from before the ledger was restored of which nobody knows the outcome."""

    id: str
    operation: str
    about: str
    key: str
    first_sent_at: Time
    how: str


class Inbox(Shape):
    """A page of cards, and what else needs a person."""

    cards: list[Card]
    next: int | None
    """The `seq` to go on after; null at the end."""
    sources: list[Troubled]
    unfinished: list[Unfinished]


class CardAnswer(Sent):
    """An answer to a card."""

    kind: Literal[
        "happened",
        "did_not",
        "do_again",
        "abandon",
        "approve",
        "refuse",
        "change",
        "ask_keeper",
        "answer",
        "noted",
        "lift",
    ]
    reason: str = ""
    """At most 2,000 characters; needed for `ask_keeper`."""
    binding: str | None = None
    """The card's, for `approve`, `refuse`, `change` and `ask_keeper`."""
    args: dict[str, Any] | None = None
    """All of the arguments, for `change`."""
    answer: Any = None
    """For `answer`."""
    result: Any = None
    """What the service answered, for `happened`."""


class Answered(Shape):
    """What came of an answer."""

    card: str
    kind: str
    said: str


class Channel(Shape):
    """How a channel stands by which people are told."""

    name: str
    kind: Literal["channel"]
    next_at: Time | None
    last_at: Time | None
    sent: int
    failures: int
    trouble: str


class Channels(Shape):
    """The channels, and by which of them each person is told."""

    channels: list[Channel]
    people: dict[str, list[str]]


class LinkOpened(Shape):
    """The card that a link was made for, and the person."""

    card: str
    seq: int
    kind: str
    person: str


_ID = "3f9d0c6a51b7e2480f6c1d2e/2"
CARD: Object = {
    "seq": 44,
    "id": _ID,
    "kind": "approval",
    "run": "3f9d0c6a51b7e2480f6c1d2e",
    "path": "2",
    "title": "Refunds over 50 euros wait for a person",
    "body": {"op": "payments.refund", "args": {"charge": "ch_1", "amount": "80.00 EUR"}},
    "at": "2026-11-02T08:15:01.000000Z",
    "state": "open",
    "about": 'payments.refund with charge "ch_1" and amount "80.00 EUR", because "returned in time"',
    "of": "the automation handle_return, for shop.return.requested return-1 from /shop",
    "key": "",
    "first_sent_at": None,
    "evidence": "shop.get_order answered days_since_delivery 3",
    "answers": [
        {
            "kind": "approve",
            "command": f"deputize approve {_ID}",
            "causes": "it is judged once more, and starts",
        },
        {
            "kind": "refuse",
            "command": f'deputize refuse {_ID} --reason "…"',
            "causes": "it is not done, and the automation is told why",
        },
    ],
    "binding": "5b1f0e77c2a94d3c8a6f7e10",
    "asks": ['"Refunds over 50 euros wait for a person" asks finance'],
    "findings": [],
    "handed": "",
    "cost": "",
    "undo": "there is no undo for it",
    "due": "2026-11-03T08:15:01.000000Z",
    "silence": "it is refused, and the automation goes on with that",
}
CHANNEL: Object = {
    "name": "email",
    "kind": "channel",
    "next_at": None,
    "last_at": "2026-11-02T08:20:01.000000Z",
    "sent": 12,
    "failures": 0,
    "trouble": "",
}

ROUTES = {
    "list_cards": Told(
        {
            200: Answer(
                "A page of cards.",
                Inbox,
                {"cards": [CARD], "next": None, "sources": [], "unfinished": []},
            )
        }
    ),
    "answer_card": Told(
        {
            200: Answer(
                "It is answered.",
                Answered,
                {"card": _ID, "kind": "approve", "said": "Approved; it is judged once more as it starts."},
            )
        },
        Body(
            CardAnswer,
            {
                "approve": {"kind": "approve", "binding": "5b1f0e77c2a94d3c8a6f7e10"},
                "refuse": {"kind": "refuse", "binding": "5b1f0e77c2a94d3c8a6f7e10", "reason": "too late"},
                "it happened": {"kind": "happened", "result": {"id": "re_1", "status": "succeeded"}},
            },
        ),
        {
            400: "the body is not JSON: unexpected end of data: line 1 column 2 (char 1)",
            404: "there is no run '3f9d', or more than one begins so; GET /v1/runs lists them",
            409: f"action {_ID} is settled; nobody is asked for it (any more)",
            422: "kind must be one of happened, did_not, do_again, abandon, approve, refuse, change, "
            "ask_keeper, answer, noted, lift",
        },
        needs_person=True,
    ),
    "list_channels": Told(
        {200: Answer("The channels.", Channels, {"channels": [CHANNEL], "people": {"maya": ["email"]}})}
    ),
    "open_link": Told(
        {
            200: Answer(
                "The link is used up.",
                LinkOpened,
                {"card": _ID, "seq": 44, "kind": "approval", "person": "maya"},
            )
        },
        refuses={
            403: "this link was not made here, or was changed; `deputize inbox` lists what waits",
            410: "this link was good until 2026-11-09T08:15:01Z; `deputize inbox` lists what waits",
        },
    ),
}
