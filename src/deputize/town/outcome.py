"""What a good shop would do about each event, judged by the town from its own data.

The judgement is never sent to anyone who handles events: it is what their outcomes are held against.
"""

from dataclasses import dataclass

RETURN_DAYS = 30
YOUNG_DAYS = 30
ABROAD_MINOR = 300_00
YOUNG_MINOR = 500_00
REFUND_MINOR_MAX = 1_000_00


@dataclass(frozen=True)
class Facts:
    """What decides: amounts in cents, days in whole days; `in_stock` of everything the event is about."""

    total_minor: int = 0
    in_stock: bool = True
    abroad: bool = False
    customer_days: int = 1_000
    delivered_days: int | None = None
    refunded: bool = False
    photo: bool = False
    known_order: bool = True
    wish: str = ""
    """What a mail is about: where, return, cancel, broken, thanks or hostile."""


@dataclass(frozen=True)
class Expected:
    """The outcome, the money given back (cents) and the template of the mail sent, if any."""

    outcome: str
    refund_minor: int = 0
    mail: str | None = None


def judge(event_type: str, facts: Facts) -> Expected:
    """The expected outcome of an event. Raises KeyError for an unknown type."""
    return {
        "shop.order.placed": _placed,
        "shop.return.requested": _return,
        "shop.damage.reported": _damage,
        "shop.message.received": _message,
        "shop.mail.received": _mail,
    }[event_type](facts)


def _placed(facts: Facts) -> Expected:
    if not facts.in_stock:
        return Expected("cancelled", facts.total_minor, "out-of-stock")
    abroad = facts.abroad and facts.total_minor > ABROAD_MINOR
    young = facts.customer_days < YOUNG_DAYS and facts.total_minor > YOUNG_MINOR
    return Expected("held" if abroad or young else "released")


def _return(facts: Facts) -> Expected:
    if facts.delivered_days is None:
        return Expected("not-delivered")
    if facts.refunded:
        return Expected("already-refunded", mail="already-refunded")
    if facts.delivered_days > RETURN_DAYS:
        return Expected("declined", mail="too-late")
    if facts.total_minor > REFUND_MINOR_MAX:
        return Expected("over-limit", mail="we-will-call")
    return Expected("refunded", facts.total_minor, "refunded")


def _damage(facts: Facts) -> Expected:
    if not facts.photo:
        return Expected("asked-for-photo", mail="photo-please")
    if facts.in_stock:
        return Expected("replaced", mail="replacement-sent")
    return Expected("refunded", facts.total_minor, "refunded")


def _mail(facts: Facts) -> Expected:
    if facts.wish == "return":
        return _return(facts)
    return {
        "where": Expected("answered", mail="order-status"),
        "cancel": Expected("cancelled", facts.total_minor, "cancelled"),
        "broken": Expected("asked-for-photo", mail="photo-please"),
        "thanks": Expected("noted"),
        "hostile": Expected("passed-on"),
    }[facts.wish]


def _message(facts: Facts) -> Expected:
    if not facts.known_order:
        return Expected("unknown-order", mail="which-order")
    return Expected("answered", mail="order-status")
