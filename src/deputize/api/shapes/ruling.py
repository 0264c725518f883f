"""What rules decided, what another number would have done, and changing it; an automation's parameters."""

from __future__ import annotations

from deputize.api.shapes.shape import Answer, Body, Object, Sent, Shape, Told


class Decisions(Shape):
    """What each rule decided, of so many of the last decisions."""

    looked_at: int
    rules: dict[str, Object]
    """By rule: how many it `allowed`, put before people (`asked`) and `refused`, and the `latest`."""


class NumberChanged(Shape):
    """A number of a rule, and another in its place."""

    rule: str
    title: str
    file: str
    place: str
    label: str
    was: str
    now: str
    ruleset: str
    """The digest of the rules in force."""


class Preview(NumberChanged):
    """What another number would have done."""

    operations: list[str]
    judged: int
    untold: int
    """Of so many nobody can know: their records lack what it would need."""
    before: dict[str, int]
    after: dict[str, int]
    sentence: str
    differ: int
    latest: list[Object]


class RuleChanged(NumberChanged):
    """What came of a change."""

    waits: str | None
    """The id of the card where somebody else has to approve it; null where it is in force."""
    said: str


class WantedNumber(Sent):
    """Another number."""

    place: str
    value: str


class ChangedNumber(WantedNumber):
    """Another number, and the rules that were looked at."""

    ruleset: str


class ParamChanged(Shape):
    """A parameter of an automation that was changed."""

    automation: str
    name: str
    was: str
    now: str
    said: str


class ChangedParam(Sent):
    """Another value, and the one that was looked at, both as text."""

    name: str
    value: str = ""
    was: str = ""


_NUMBER: Object = {
    "rule": "refunds-over-50-euros-wait-for-a-person",
    "title": "Refunds over 50 euros wait for a person",
    "file": "rules/refunds.toml",
    "place": "ask_above.amount",
    "label": "above",
    "was": "50.00 EUR",
    "now": "60.00 EUR",
    "ruleset": "0cbd1c22ad1e6f2b",
}
_WANTED: Object = {"place": "ask_above.amount", "value": "60.00 EUR"}
_NO_RULE = "there is no rule 'refunds'; did you mean refunds-over-50-euros-wait-for-a-person?"
_NO_ADMIN = "kim is an approver, and only an admin may change limits and rules; ask maya"
_MEANWHILE = (
    "in the meantime kim changed the rules, so yours was not taken: look at it again, and then decide"
)

ROUTES = {
    "get_decisions": Told({200: Answer("What they decided.", Decisions, {"looked_at": 0, "rules": {}})}),
    "preview_change": Told(
        {
            200: Answer(
                "What it would have done.",
                Preview,
                _NUMBER
                | {
                    "operations": ["payments.refund"],
                    "judged": 200,
                    "untold": 0,
                    "before": {"allowed": 191, "asked": 9, "refused": 0, "checked": 0},
                    "after": {"allowed": 194, "asked": 6, "refused": 0, "checked": 0},
                    "sentence": "60.00 EUR would have stopped 0 of your last 200 (as now) and asked people "
                    "for 6 (instead of 9).",
                    "differ": 3,
                    "latest": [],
                },
            )
        },
        body=Body(WantedNumber, {"60 euros": _WANTED}),
        refuses={404: _NO_RULE, 409: "rules/refunds.toml was changed on disk; nothing was written"},
        needs_person=True,
    ),
    "change_rule": Told(
        {
            200: Answer(
                "It is in force, or waits.",
                RuleChanged,
                _NUMBER | {"waits": None, "said": "60.00 EUR instead of 50.00 EUR"},
            )
        },
        body=Body(ChangedNumber, {"60 euros": _WANTED | {"ruleset": "0cbd1c22ad1e6f2b"}}),
        refuses={403: _NO_ADMIN, 404: _NO_RULE, 409: _MEANWHILE},
        needs_person=True,
    ),
    "change_param": Told(
        {
            200: Answer(
                "Runs that begin from now on have it.",
                ParamChanged,
                {
                    "automation": "handle_return",
                    "name": "window_days",
                    "was": "30",
                    "now": "14",
                    "said": "14 instead of 30",
                },
            )
        },
        body=Body(ChangedParam, {"two weeks": {"name": "window_days", "value": "14", "was": "30"}}),
        refuses={403: _NO_ADMIN, 404: "there is no automation 'handle'", 409: _MEANWHILE},
        needs_person=True,
    ),
}
