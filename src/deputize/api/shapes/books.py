"""What is in force and in use: budgets, rules, connectors, sources; stops; figures."""

from __future__ import annotations

from typing import Any, Literal

from deputize.api.shapes.inbox import Troubled
from deputize.api.shapes.shape import Answer, Body, Nothing, Object, Sent, Shape, Time, Told


class Budget(Shape):
    """A budget as it stands now; amounts are in its smallest unit."""

    name: str
    measure: str
    currency: str
    """Empty where it is not money."""
    per: str
    since: Time | None
    """The start of its window; null of one for each call or run."""
    anew_at: Time | None
    """When it begins anew."""
    near: bool
    """Whether it is nearly used up."""
    shown: Object
    """`limit`, `held`, `spent` and `left` in its own form."""
    scope: str
    operations: list[str]
    limit: int
    held: int
    spent: int
    left: int
    neared_at: Time | None
    """Since when it is nearly used up."""
    said: str


class Budgets(Shape):
    """All budgets."""

    budgets: list[Budget]


class Rule(Shape):
    """A rule in force."""

    id: str
    title: str
    effect: str
    tier: str
    sentence: str
    operations: list[str]
    file: str
    line: int
    numbers: list[Object]
    """Those that people may change, each with its `place`, `label` and `value`."""


class RulesChanged(Shape):
    """When this rule set came into force, and who started the process with it, or changed a number then."""

    at: Time
    by: Object | None
    change: Object | None = None
    """The number that was changed; absent where it was none."""


class Rules(Shape):
    """All rules in force."""

    digest: str
    changed: RulesChanged | None
    rules: list[Rule]


class Circuit(Shape):
    """A connector's circuit; while it is open nothing but what tries it is sent."""

    state: Literal["open", "closed"]
    calls: int
    failures: int
    waiting: int
    tried_in_s: float | None


class Contract(Shape):
    """What an operation takes, does and gives."""

    name: str
    effect: str
    risk: str
    resources: list[str]
    amount: str | None
    timeout_s: float
    settle_s: float
    key_valid_s: float | None
    key_margin_s: float
    attempts_max: int
    lookup: bool
    lookup_conclusive: bool
    repeatable: bool
    price_usd_micros: int | None
    priced_by: Any
    declined: list[int]
    not_done: list[int]
    input: Object
    """A JSON Schema."""
    output: Object
    """A JSON Schema."""
    digest: str


class Connector(Shape):
    """A connection, its operations, and how it stands."""

    name: str
    version: str
    base: str | None
    concurrent_max: int | None
    per_second_max: float | None
    waiting: int
    circuit: Circuit
    operations: list[Contract]


class Connectors(Shape):
    """All connectors."""

    connectors: list[Connector]


class Webhook(Shape):
    """A webhook, and where it is sent."""

    name: str
    path: str


class Sources(Shape):
    """Polls and schedules as they stand, and webhooks."""

    sources: list[Troubled]
    webhooks: list[Webhook]


class Stop(Shape):
    """What is stopped, and why."""

    scope: str
    reason: str


class Stops(Shape):
    """All that is stopped."""

    stops: list[Stop]


class Lifted(Shape):
    """What goes on."""

    scope: str


class StopSent(Sent):
    """What to stop."""

    scope: str
    """`all`, `agent:NAME`, `connector:NAME`, `automation:NAME` or `run:ID`."""
    reason: str = ""


_CIRCUIT: Object = {"state": "closed", "calls": 12, "failures": 0, "waiting": 0, "tried_in_s": None}
_STOP: Object = {"scope": "agent:returns-desk", "reason": "stock-taking"}

ROUTES = {
    "list_budgets": Told(
        {
            200: Answer(
                "The budgets.",
                Budgets,
                {
                    "budgets": [
                        {
                            "name": "refunds-a-day",
                            "measure": "amount",
                            "currency": "EUR",
                            "per": "day",
                            "since": "2026-11-01T23:00:00.000000Z",
                            "anew_at": "2026-11-02T23:00:00.000000Z",
                            "near": False,
                            "shown": {
                                "limit": "500.00 EUR",
                                "held": "80.00 EUR",
                                "spent": "120.00 EUR",
                                "left": "300.00 EUR",
                            },
                            "scope": "agent:returns-desk",
                            "operations": ["payments.*"],
                            "limit": 50000,
                            "held": 8000,
                            "spent": 12000,
                            "left": 30000,
                            "neared_at": None,
                            "said": "300.00 EUR left of 500.00 EUR this day",
                        }
                    ]
                },
            )
        }
    ),
    "list_rules": Told(
        {
            200: Answer(
                "The rules.",
                Rules,
                {
                    "digest": "0cbd1c22ad1e6f2b",
                    "changed": {
                        "at": "2026-11-01T09:00:00.000000Z",
                        "by": {"person": "maya", "account": "shop"},
                    },
                    "rules": [
                        {
                            "id": "refunds-1",
                            "title": "Refunds over 50 euros wait for a person",
                            "effect": "forbid",
                            "tier": "approval",
                            "sentence": "payments.refund above 50.00 EUR waits for a person",
                            "operations": ["payments.refund"],
                            "file": "rules/refunds.toml",
                            "line": 1,
                            "numbers": [
                                {
                                    "place": "ask_above.amount",
                                    "label": "above",
                                    "kind": "money",
                                    "value": "50.00 EUR",
                                }
                            ],
                        }
                    ],
                },
            )
        }
    ),
    "list_connectors": Told(
        {
            200: Answer(
                "The connectors.",
                Connectors,
                {
                    "connectors": [
                        {
                            "name": "payments",
                            "version": "2026-08-27",
                            "base": "https://payments.example",
                            "concurrent_max": 10,
                            "per_second_max": None,
                            "waiting": 0,
                            "circuit": _CIRCUIT,
                            "operations": [],
                        }
                    ]
                },
            )
        }
    ),
    "list_sources": Told(
        {
            200: Answer(
                "Where events come from by themselves.",
                Sources,
                {
                    "sources": [
                        {
                            "name": "new_returns",
                            "kind": "poll",
                            "next_at": "2026-11-02T08:16:00.000000Z",
                            "last_at": "2026-11-02T08:15:00.000000Z",
                            "events": 3,
                            "skipped": 0,
                            "failures": 0,
                            "trouble": "",
                        }
                    ],
                    "webhooks": [{"name": "shop", "path": "/v1/webhooks/shop"}],
                },
            )
        }
    ),
    "list_stops": Told({200: Answer("What is stopped.", Stops, {"stops": [_STOP]})}),
    "add_stop": Told(
        {200: Answer("It is stopped, and on disk.", Stop, _STOP)},
        Body(StopSent, {"an agent": _STOP, "all": {"scope": "all", "reason": "stock-taking"}}),
        {
            404: "there is no run '3f9d', or more than one begins so; GET /v1/runs lists them",
            409: "nothing can be stopped now",
            422: "there is no agent 'return-desk'; did you mean returns-desk?",
        },
        needs_person=True,
    ),
    "lift_stop": Told(
        {200: Answer("It goes on.", Lifted, {"scope": "agent:returns-desk"})},
        Body(Nothing, {"nothing": {}}, required=False),
        {
            404: "agent:returns-desk is not stopped; GET /v1/stops lists what is",
            409: "2 writes from before the restore are in doubt, and each is in the inbox",
            422: "scope must be all, agent:NAME, connector:NAME, automation:NAME or run:ID",
        },
        needs_person=True,
    ),
}
