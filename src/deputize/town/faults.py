"""Faults on demand: which request meets which, decided by a seed and not by the order of arrival."""

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal, get_args

from pydantic import Field

from deputize.town.wire import OPERATIONS, POSTS, SERVICES, Wire
from deputize.town.world import World

Kind = Literal[
    "latency",
    "error_500",
    "error_502",
    "too_many",
    "cut_before",
    "cut_after",
    "lost",
    "late",
    "malformed",
]
KINDS: tuple[Kind, ...] = get_args(Kind)
DEFAULT_DELAY_S: dict[str, float] = {"latency": 0.5, "lost": 30.0, "late": 1.0}


class Rule(Wire):
    """Which requests meet a fault.

    `service` and `operation` may be "*"; smtp and chat are met by their own names alone. The next `first_n`
    matching requests meet it for certain, after them the share `rate` does. `delay_s` is how long latency
    lasts, an answer is withheld (lost) or an effect is late; a pair is a range. `effect` lets an error_500
    or error_502 come after the effect.

    latency: a slow answer. error_500, error_502: that status. too_many: 429 with Retry-After. cut_before:
    no effect, connection closed without an answer. cut_after: the effect, then the same. lost: the effect,
    and no answer until the client gives up or `delay_s` is over. late (writes only): connection closed,
    and the effect comes `delay_s` later. malformed: the effect, and a 200 that is cut short, garbage or
    lacks required fields.
    """

    service: Literal["shop", "payments", "mail", "smtp", "chat", "model", "*"] = "*"
    operation: str = "*"
    kind: Kind
    rate: float = Field(default=0.0, ge=0, le=1)
    first_n: int = Field(default=0, ge=0)
    delay_s: float | list[float] | None = None
    retry_after_s: float = Field(default=1.0, ge=0, le=3600)
    effect: bool = False

    def model_post_init(self, _: object) -> None:
        """Refuse an operation that is not there, and a delay that is no time or range within 0 and 3600 s."""
        services = SERVICES if self.service == "*" else (self.service,)
        names = [name for service in services for name in (OPERATIONS | POSTS)[service]]
        if self.operation not in ("*", *names):
            raise ValueError(f"operation is one of these or *: {', '.join(names)}")
        times = self.delay_s if isinstance(self.delay_s, list) else [self.delay_s or 0.0]
        if len(times) not in (1, 2) or sorted(times) != times or times[0] < 0 or times[-1] > 3600:
            raise ValueError("delay_s is a time or a range [least, most], within 0 and 3600")

    def matches(self, service: str, operation: str, writes: bool) -> bool:
        """Whether a request to this operation can meet this fault."""
        if self.kind == "late" and not writes:
            return False
        if self.service == "*" and service in POSTS:
            return False
        return self.service in ("*", service) and self.operation in ("*", operation)


@dataclass(frozen=True)
class Fault:
    """What one request meets."""

    kind: Kind
    delay_s: float
    retry_after_s: float
    effect: bool
    pick: int


def demo_profile() -> list[Rule]:
    """About one call in twelve meets a fault; malformed is rare, because people have to look at it."""

    def every(kind: Kind, rate: float, delay_s: list[float] | None = None, effect: bool = False) -> Rule:
        return Rule(kind=kind, rate=rate, delay_s=delay_s, effect=effect)

    return [
        Rule(kind="malformed", service="mail", operation="send", first_n=1),
        every("malformed", 0.0015),
        every("latency", 0.02, [0.2, 1.5]),
        every("error_500", 0.01),
        every("error_502", 0.01, effect=True),
        every("too_many", 0.012),
        every("cut_before", 0.008),
        every("cut_after", 0.008),
        every("lost", 0.006, [0.5, 1.5]),
        every("late", 0.008, [0.2, 1.5]),
    ]


def draw(
    rules: Sequence[Rule], seed: int, service: str, operation: str, token: str, nth: int
) -> Fault | None:
    """The fault that the `nth` request with `token` (its key, or its path and body) meets, by rates alone.

    `rules` are those that match; the same arguments give the same fault. The rates are laid end to end
    on 0..1, so each fault has exactly its own rate.
    """
    digest = blake2b(f"{seed}\n{service}\n{operation}\n{token}\n{nth}".encode(), digest_size=24).digest()
    place = int.from_bytes(digest[:8], "big") / 2**64
    for rule in rules:
        if place < rule.rate:
            return _fault(rule, digest)
        place -= rule.rate
    return None


def _fault(rule: Rule, digest: bytes) -> Fault:
    given = DEFAULT_DELAY_S.get(rule.kind, 0.0) if rule.delay_s is None else rule.delay_s
    least, most = (given[0], given[-1]) if isinstance(given, list) else (given, given)
    share = int.from_bytes(digest[8:16], "big") / 2**64
    return Fault(
        rule.kind,
        least + (most - least) * share,
        rule.retry_after_s,
        rule.effect,
        int.from_bytes(digest[16:], "big"),
    )


class Faults:
    """The rules in force, kept in the town's file with what is left of each `first_n`."""

    def __init__(self, world: World, seed: int) -> None:
        self._world = world
        self._seed = seed
        self._rules: list[tuple[int, Rule]] = []
        self._load()

    def set(self, rules: Sequence[Rule]) -> None:
        """Replace all rules."""
        with self._world.transaction():
            self._world.db.execute("DELETE FROM fault_rules")
            for no, rule in enumerate(rules):
                self._world.db.execute(
                    "INSERT INTO fault_rules VALUES (?,?,?)", (no, rule.model_dump_json(), rule.first_n)
                )
        self._load()

    def rules(self) -> list[Rule]:
        """The rules in force, in order."""
        return [rule for _, rule in self._rules]

    def meet(self, service: str, operation: str, writes: bool, token: str) -> Fault | None:
        """The fault that this request meets; counts that `token` was seen once more."""
        matching = [(no, rule) for no, rule in self._rules if rule.matches(service, operation, writes)]
        if not matching:
            return None
        name = blake2b(f"{service}\n{operation}\n{token}".encode(), digest_size=16).digest()
        with self._world.transaction():
            nth = self._seen(name)
            for no, rule in matching:
                if rule.first_n and self._take(no):
                    return _fault(rule, name + name[:8])
        return draw([rule for _, rule in matching], self._seed, service, operation, token, nth)

    def _seen(self, name: bytes) -> int:
        row: sqlite3.Row = self._world.db.execute(
            "INSERT INTO seen VALUES (?, 1) ON CONFLICT DO UPDATE SET n = n + 1 RETURNING n", (name,)
        ).fetchone()
        return int(row["n"])

    def _take(self, no: int) -> bool:
        taken = self._world.db.execute(
            "UPDATE fault_rules SET left_n = left_n - 1 WHERE no = ? AND left_n > 0", (no,)
        )
        return taken.rowcount == 1

    def _load(self) -> None:
        rows = self._world.db.execute("SELECT no, rule FROM fault_rules ORDER BY no")
        self._rules = [(row["no"], Rule(**json.loads(row["rule"]))) for row in rows]
