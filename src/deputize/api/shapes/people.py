"""People and their tokens."""

from __future__ import annotations

from typing import Literal

from deputize.api.shapes.shape import Answer, Object, Shape, Time, Told


class Token(Shape):
    """A token by its id; what it is itself nobody knows."""

    id: str
    at: Time


class Person(Shape):
    """Someone who may decide."""

    name: str
    shown: str
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
    """Who speaks, by which token."""

    kind: Literal["nobody", "project", "operator", "person"]
    person: Person | None
    token: str | None
    """The id of the token; null where it is not a person's."""


class TokenGiven(Shape):
    """A new token. This is the only time that it is shown."""

    person: str
    id: str
    token: str


class TokenTaken(Shape):
    """The token that is good no more."""

    person: str
    id: str


MAYA: Object = {
    "name": "maya",
    "shown": "Maya Lind",
    "roles": ["owner"],
    "groups": ["office"],
    "keeps": ["default"],
}
_NOBODY = "deputize.toml names nobody called 'mya'; did you mean maya?"
_NO_OWNER = "kim is no owner: an owner, or the operator's key, gives tokens"

ROUTES = {
    "get_me": Told({200: Answer("Who speaks.", Me, {"kind": "person", "person": MAYA, "token": "5f0c2b11"})}),
    "list_people": Told(
        {
            200: Answer(
                "The people.",
                People,
                {"people": [MAYA | {"tokens": [{"id": "5f0c2b11", "at": "2026-11-01T09:00:00.000000Z"}]}]},
            )
        }
    ),
    "issue_token": Told(
        {
            201: Answer(
                "The token; it is never shown again.",
                TokenGiven,
                {"person": "maya", "id": "5f0c2b11", "token": "dpt_…"},
            )
        },
        refuses={
            403: _NO_OWNER,
            404: _NOBODY,
            409: "maya has 20 tokens; revoke one that is not in use",
        },
        needs_person=True,
    ),
    "revoke_token": Told(
        {200: Answer("It is good no more.", TokenTaken, {"person": "maya", "id": "5f0c2b11"})},
        refuses={
            403: _NO_OWNER,
            404: "maya has no token '5f0c2b12'; GET /v1/people lists them",
            409: "maya has no such token any more",
        },
        needs_person=True,
    ),
}
