"""People and their tokens."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from deputize.access import Act, Role
from deputize.api.shapes.shape import Answer, Body, Object, Sent, Shape, Time, Told
from deputize.kernel.tokens import DAYS, DAYS_MAX


class Token(Shape):
    """A token by its id; what it is itself nobody knows."""

    id: str
    at: Time
    scope: Role | None
    """For how much of what its person may; null: for all of it."""
    ends_at: Time | None
    """Null: it has no end, as those of earlier versions."""
    for_: str = Field(alias="for")
    """What it is for, as whoever made it said."""


class Person(Shape):
    """Someone who may decide."""

    name: str
    shown: str
    role: Role
    """What they may do here."""
    roles: list[str]
    groups: list[str]
    keeps: list[str]
    """The automations that they are answerable for; `default` is all others."""


class PersonWithTokens(Person):
    """The same with the ids of their tokens."""

    tokens: list[Token]


class People(Shape):
    """Everybody who may decide."""

    people: list[PersonWithTokens]


class Me(Shape):
    """Who speaks, by which token or in which session, and what they may do."""

    kind: Literal["nobody", "project", "operator", "local", "person"]
    person: Person | None
    token: str | None
    """The id of the token; null where it is not a person's."""
    session: str | None
    """The id of the session in a browser."""
    role: Role | None
    may: list[Act]
    fresh_until: Time | None
    """Until when a session may do what needs a password just given."""


class TokenWanted(Sent):
    """What a new token is to be; nothing has to be said."""

    scope: Role | None = None
    """A role that is less than its person's."""
    days: int = Field(DAYS, ge=1, le=DAYS_MAX)
    for_: str = Field("", alias="for", max_length=200)
    """What it is for."""


class TokenGiven(Token):
    """A new token. This is the only time that it is shown."""

    person: str
    token: str


class LinkGiven(Shape):
    """A one-time link. This is the only time that it is shown."""

    person: str
    path: str
    url: str | None
    """Null where the settings name no address of the console."""
    minutes: int


class TokenTaken(Shape):
    """The token that is good no more."""

    person: str
    id: str


MAYA: Object = {
    "name": "maya",
    "shown": "Maya Lind",
    "role": "admin",
    "roles": ["owner"],
    "groups": ["office"],
    "keeps": ["default"],
}
_NOBODY = "deputize.toml names nobody called 'mya'; did you mean maya?"
_NO_ADMIN = "kim is an approver, and only an admin may give people their tokens and links; ask maya"
_TOKEN: Object = {
    "id": "5f0c2b11",
    "at": "2026-11-01T09:00:00.000000Z",
    "scope": "viewer",
    "ends_at": "2027-01-30T09:00:00.000000Z",
    "for": "the weekly report",
}

ROUTES = {
    "get_me": Told(
        {
            200: Answer(
                "Who speaks.",
                Me,
                {
                    "kind": "person",
                    "person": MAYA,
                    "token": "5f0c2b11",
                    "session": None,
                    "role": "viewer",
                    "may": ["read", "own"],
                    "fresh_until": None,
                },
            )
        }
    ),
    "list_people": Told(
        {
            200: Answer(
                "The people.",
                People,
                {"people": [MAYA | {"tokens": [_TOKEN]}]},
            )
        }
    ),
    "issue_token": Told(
        {
            201: Answer(
                "The token; it is never shown again.",
                TokenGiven,
                _TOKEN | {"person": "maya", "token": "dpt_…"},
            )
        },
        body=Body(
            TokenWanted, {"for a report": {"scope": "viewer", "days": 90, "for": "the weekly report"}}, False
        ),
        refuses={
            403: _NO_ADMIN,
            404: _NOBODY,
            409: "maya has 20 tokens; revoke one that is not in use",
        },
        needs_person=True,
    ),
    "make_link": Told(
        {
            201: Answer(
                "The link; it is never shown again.",
                LinkGiven,
                {"person": "maya", "path": "/first?key=…", "url": None, "minutes": 15},
            )
        },
        refuses={403: _NO_ADMIN, 404: _NOBODY},
        needs_person=True,
    ),
    "revoke_token": Told(
        {200: Answer("It is good no more.", TokenTaken, {"person": "maya", "id": "5f0c2b11"})},
        refuses={
            403: _NO_ADMIN,
            404: "maya has no token '5f0c2b12'; GET /v1/people lists them",
            409: "maya has no such token any more",
        },
        needs_person=True,
    ),
}
