"""Entries in their plainest form, for tests of stores and of what is built on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from deputize import canonical
from deputize.event import Occurrence
from deputize.ledger import Draft
from deputize.store.protocol import Count, Hold, Tx


class SteppedClock:
    """A clock that stands where a test puts it, in microseconds."""

    def __init__(self, at_us: int = 1_700_000_000_000_000) -> None:
        self.at_us = at_us

    def now_us(self) -> int:
        return self.at_us

    def monotonic(self) -> float:
        return self.at_us / 1e6


def occurrence(id: str, data: Mapping[str, Any] | None = None, *, type: str = "shop.order") -> Occurrence:
    """An event as a store keeps it."""
    return Occurrence("test", id, type, f"subject {id}", 1, canonical.encode(dict(data or {"order": id})))


def begin(
    tx: Tx,
    id: str,
    *,
    key: str | None = None,
    automation: str = "triage",
    data: Mapping[str, Any] | None = None,
) -> tuple[int, str]:
    """Keep an event and begin the run that answers it: the run's number and state."""
    event = occurrence(id, data)
    seq = tx.keep_event(event, "answered")
    body = {
        "automation": automation,
        "agent": "desk",
        "event": {"seq": seq, "digest": event.digest},
        "key": key,
        "priority": 0,
    }
    return tx.begin_run(f"run-{id}", body)


def intent(
    path: str,
    *,
    leases: Sequence[str] = (),
    holds: Sequence[Hold] = (),
    counted: Sequence[Count] = (),
    round: int = 1,
    released: Mapping[str, Any] | None = None,
    **more: Any,
) -> Draft:
    """An intent; from round 2 on, `released` says what the round before it held."""
    body = {
        "path": path,
        "op": "payments.refund",
        "digest": "d" * 64,
        "key": f"key-{path}-{round}",
        "round": round,
        "first_sent": 1,
        "give_up_at": 2,
        "version": "1",
        "agent": "desk",
        "leases": list(leases),
        "holds": [list(hold) for hold in holds],
        "counted": [list(count) for count in counted],
    }
    return Draft("intent", body | ({"released": released} if released else {}) | more)


def released(
    *, leased: bool = False, holds: Sequence[Hold] = (), counted: Sequence[Count] = (), was: str = "open"
) -> dict[str, Any]:
    """What a settling entry lets go: put it in its body, with the path."""
    return {
        "was": was,
        "leased": leased,
        "holds": [list(hold) for hold in holds],
        "counted": [list(count) for count in counted],
    }


def read(path: str, **more: Any) -> Draft:
    """A read without a price, settled."""
    body = {"path": path, "op": "shop.get_order", "digest": "d" * 64, "version": "1", "agent": "desk"}
    return Draft("read", body | more)


def attempt(path: str, n: int, was: str) -> Draft:
    """The same key, sent again."""
    return Draft("attempt", {"path": path, "n": n, "give_up_at": 3, "was": was})


def doubt(path: str) -> Draft:
    """Nobody knows what became of it."""
    return Draft("doubt", {"path": path, "give_up_at": 2, "evidence": "the answer was lost"})


def card(path: str, title: str = "Not sure it happened", **more: Any) -> Draft:
    """Something for a person to see."""
    return Draft("card", {"path": path, "kind": "doubt", "title": title} | more)


def waiting(
    path: str, *, due: int | None = None, type: str = "", matching: Mapping[str, Any] | None = None
) -> Draft:
    """A wait: for a time, or for an event where `type` is given."""
    kind = "event" if type else "timer"
    return Draft(
        "waiting",
        {"path": path, "kind": kind, "due": due, "type": type, "matching": dict(matching or {})},
    )


def woke(path: str, *, event_seq: int | None = None) -> Draft:
    """The end of a wait, by its event or by its time."""
    return Draft("woke", {"path": path} | ({"event": {"seq": event_seq}} if event_seq is not None else {}))


def ended(
    *,
    key: str | None = None,
    automation: str = "triage",
    waited: bool = True,
    carded: bool = True,
    reason: str = "",
) -> Draft:
    """The end of a run."""
    return Draft(
        "ended",
        {
            "kind": "done",
            "label": "refunded",
            "reason": reason,
            "waited": waited,
            "carded": carded,
            "key": key,
            "automation": automation,
        },
    )
