"""Events."""

from __future__ import annotations

from typing import Any, Literal

from deputize.api.shapes.shape import Answer, Body, Object, Sent, Shape, Time, Told


class CloudEvent(Sent):
    """A CloudEvent 1.0. Its source and id are known for ever: the same two again are a duplicate."""

    specversion: Literal["1.0"]
    source: str
    """Who says so, 1 to 500 characters; not one of Deputize's own (`/runs/`, `/polls/`, …)."""
    id: str
    """1 to 500 characters, unique for the source."""
    type: str
    """What kind of thing happened, 1 to 500 characters; automations answer types."""
    subject: str | None = None
    time: Time | None = None
    """When it happened, with an offset; now, where it is not said."""
    data: Any = None
    """JSON of at most a megabyte, as the automation's event type wants it."""


class Event(Shape):
    """A kept event."""

    seq: int
    source: str
    id: str
    type: str
    subject: str
    time: Time
    data: Any
    """Null once erased."""
    received_at: Time
    state: Literal["answered", "waiting", "unanswered"]
    """`waiting` where some run waits for its kind, `unanswered` where nothing does."""


class Events(Shape):
    """A page of events."""

    events: list[Event]
    next: int | None
    """The `seq` to go on after; null at the end."""


class Accepted(Shape):
    """What became of one event."""

    id: str
    source: str
    seq: int | None
    """Null for a duplicate."""
    duplicate: bool
    runs: list[str]
    """The runs that it began; of a duplicate those that its first coming began."""
    hint: str | None = None
    """Where nothing answers its type, the end of a sentence that names the nearest that something does."""


class AcceptedAll(Shape):
    """What became of each event, in the order in which they were sent."""

    accepted: list[Accepted]


class WebhookTaken(Shape):
    """How many events a payload was, and how many of them are new."""

    events: int
    new: int


SENT: Object = {
    "specversion": "1.0",
    "source": "/shop",
    "id": "return-1",
    "type": "shop.return.requested",
    "data": {"order_id": "o1"},
}
EVENT: Object = {
    "seq": 7,
    "source": "/shop",
    "id": "return-1",
    "type": "shop.return.requested",
    "subject": "",
    "time": "2026-11-02T08:15:00.000000Z",
    "data": {"order_id": "o1"},
    "received_at": "2026-11-02T08:15:00.000000Z",
    "state": "answered",
}
ACCEPTED: Object = {
    "accepted": [
        {
            "id": "return-1",
            "source": "/shop",
            "seq": 7,
            "duplicate": False,
            "runs": ["3f9d0c6a51b7e2480f6c1d2e"],
        }
    ]
}
_ONE = {"$ref": "#/components/schemas/CloudEvent"}

ROUTES = {
    "accept_events": Told(
        {202: Answer("They are on disk.", AcceptedAll, ACCEPTED)},
        Body(
            CloudEvent,
            {"one event": SENT},
            media={
                "application/cloudevents+json": {"schema": _ONE, "examples": {"one event": {"value": SENT}}},
                "application/cloudevents-batch+json": {
                    "schema": {"type": "array", "items": _ONE, "minItems": 1, "maxItems": 1_000},
                    "examples": {"a batch": {"value": [SENT, SENT | {"id": "return-2"}]}},
                },
            },
        ),
        {
            400: "specversion must be '1.0', and is '0.3'",
            415: "send application/cloudevents+json for one event or application/cloudevents-batch+json for "
            "several",
            422: "event return-1 of type shop.return.requested: data.order_id: Field required",
            429: "Too many runs wait to begin; send the event again later (nothing of it was kept).",
        },
    ),
    "list_events": Told({200: Answer("A page of events.", Events, {"events": [EVENT], "next": None})}),
    "get_event": Told(
        {200: Answer("The event.", Event, EVENT)},
        refuses={404: "there is no event 8; GET /v1/events lists them"},
    ),
    "accept_webhook": Told(
        {202: Answer("Its events are on disk.", WebhookTaken, {"events": 1, "new": 1})},
        Body(Sent, {"as the service sends it": {"order": "o1"}}),
        {
            400: "the body is not JSON: unexpected end of data: line 1 column 2 (char 1)",
            401: "not accepted",
            404: "there is no webhook 'shop'; GET /v1/sources lists them",
            422: "webhook shop cannot read this payload; the process's log says why",
            429: "Too many runs wait to begin; send the event again later (nothing of it was kept).",
        },
    ),
}
