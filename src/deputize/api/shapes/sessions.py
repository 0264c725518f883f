"""Sessions: coming in by a browser, and leaving."""

from __future__ import annotations

from deputize.api.shapes.shape import Answer, Body, Object, Sent, Shape, Time, Told


class Session(Shape):
    """A session, whose cookie the answer sets."""

    person: str | None
    """Null for the owner of this machine, where nobody is named."""
    session: str
    ends_at: Time
    fresh_until: Time | None
    """Until when money may be approved without the password."""


class LoggedOut(Shape):
    """Whose session has ended."""

    person: str | None


class LogIn(Sent):
    """Who comes in."""

    name: str
    password: str


class FirstLink(Sent):
    """A one-time link, and the password that it sets; this machine's owner needs none."""

    key: str
    password: str = ""


class Password(Sent):
    """The password once more."""

    password: str


class NewPassword(Sent):
    """The password, and the one that takes its place."""

    password: str
    new: str


_SESSION: Object = {
    "person": "maya",
    "session": "8d0a61c2",
    "ends_at": "2026-12-15T09:00:00.000000Z",
    "fresh_until": "2026-12-01T09:10:00.000000Z",
}
_OPENED = {200: Answer("The session.", Session, _SESSION)}
_NOT_LET_IN = (
    "this name and password do not go together; without a password, `deputize login NAME --browser` "
)
_NOT_LET_IN += "where it runs makes a link by which to set one"
_TOO_OFTEN = "this was tried too often: try again in 30 seconds"
_TOO_SHORT = "a password has 12 characters at least, and this has 7"
_ENDED = "this session has ended: log in again"
_NO_SESSION = "this is for people in a browser, who have a password; a token is asked for none"

ROUTES = {
    "log_in": Told(
        _OPENED,
        body=Body(LogIn, {"maya": {"name": "maya", "password": "three words and one"}}),
        refuses={401: _NOT_LET_IN, 429: _TOO_OFTEN},
    ),
    "use_link": Told(
        _OPENED,
        body=Body(FirstLink, {"the first time": {"key": "…", "password": "three words and one"}}),
        refuses={
            410: "this link was used, or its time is over: `deputize login NAME --browser` makes another"
        },
    ),
    "give_password": Told(
        _OPENED,
        body=Body(Password, {"once more": {"password": "three words and one"}}),
        refuses={401: _ENDED, 409: _NO_SESSION, 429: _TOO_OFTEN},
    ),
    "change_password": Told(
        _OPENED,
        body=Body(
            NewPassword, {"another": {"password": "three words and one", "new": "four words and none"}}
        ),
        refuses={401: _ENDED, 409: _NO_SESSION, 422: _TOO_SHORT, 429: _TOO_OFTEN},
    ),
    "log_out": Told({200: Answer("It has ended.", LoggedOut, {"person": "maya"})}),
}
