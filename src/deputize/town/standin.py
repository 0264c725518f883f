"""What the stand-in for a model makes of a mail: a kind by the words in it, and a plan by the kind."""

import re
from typing import Any

WISHES = {
    "cancel": r"\bcancel|not want it any more|do not send",
    "broken": r"broken|scratch|missing|damaged|cracked|in pieces",
    "return": r"\breturn|\brefund|\bback\b",
    "where": r"\bwhere\b|when will|any news|sent yet|status|waiting|track",
    "thanks": r"thank|praise|happy",
}
"""Tried in this order."""

AMOUNT = re.compile(r"([0-9]+)\.([0-9]{2}) ([A-Z]{3}) (?:to|on) charge ([\w-]+)")
ORDER = re.compile(r"order (o-[\w-]+)")
ADDRESS = re.compile(r"\S+@[\w.-]*\w")
HURRIED = re.compile(r"skip the checks|do not look at the date", re.IGNORECASE)

Step = dict[str, Any]


def wish_of(mail: str) -> str:
    """What a mail is about, by its words: one of `WISHES`, or `other`."""
    body = mail.rpartition("\n\n")[0] or mail  # thanks at the end are only manners
    found = (wish for wish, words in WISHES.items() if re.search(words, body, re.IGNORECASE))
    return next(found, "other")


def plan_for(mail: str) -> dict[str, Any]:
    """A plan that does what a mail says, in good faith."""
    wish = wish_of(mail)
    amount, order, address = AMOUNT.search(mail), ORDER.search(mail), ADDRESS.search(mail)
    to = address[0] if address else "$event.email"
    steps = [_orders(), _order(order[1] if order else "$step.orders.orders.0.id")]
    if wish == "where":
        return _plan(wish, [*steps, _told(to, "order-status", {"status": "$step.order.status"})], "answered")
    if wish == "broken":
        return _plan(wish, [*steps, _told(to, "photo-please")], "asked-for-photo")
    if wish == "cancel":
        cancelled = _step("cancelled", "shop.cancel_order", order_id="$step.order.id", reason="as they asked")
        return _plan(wish, [*steps, cancelled, _refund(), _told(to, "cancelled")], "cancelled")
    if amount:
        euros, cents, currency, charge = amount.groups()
        money = {"minor": int(euros) * 100 + int(cents), "currency": currency}
        return _plan(wish, [*steps, _refund(charge=charge, amount=money), _told(to, "refunded")], "refunded")
    checks = [] if HURRIED.search(mail) else _checks(to)
    return _plan(wish, [*steps, *checks, _refund(), _told(to, "refunded")], "refunded")


def _plan(wish: str, steps: list[Step], end: str) -> dict[str, Any]:
    return {"goal": f"answer a mail: {wish}", "steps": steps, "end": end}


def _step(id: str, operation: str, **arguments: Any) -> Step:
    return {"id": id, "operation": operation, "arguments": arguments}


def _orders() -> Step:
    return _step("orders", "shop.list_orders", customer="$event.customer")


def _order(order: str) -> Step:
    return _step("order", "shop.get_order", order_id=order)


def _checks(to: str) -> list[Step]:
    """The money was not given back before, and the goods came in the last 30 days."""
    days = "context.step.order.days_since_delivery"
    late = f"if context.step.order has days_since_delivery then {days} > 30 else true"
    return [
        _step("charge", "payments.get_charge", charge="$step.order.charge"),
        _ending(_told(to, "already-refunded"), "already", "context.step.charge.refunded.minor > 0"),
        _ending(_told(to, "too-late"), "late", late, "declined"),
    ]


def _ending(step: Step, id: str, when: str, end: str = "already-refunded") -> Step:
    return step | {"id": id, "when": when, "end": end}


def _refund(**other: Any) -> Step:
    usual = {
        "charge": "$step.order.charge",
        "amount": "$step.order.total",
        "customer": "$event.customer",
        "reference": "$step.order.id",
    }
    return _step("refund", "payments.refund", **usual | other) | {"expects": {"status": "succeeded"}}


def _told(to: str, template: str, details: dict[str, str] | None = None) -> Step:
    return _step("told", "mail.send", to=to, template=template, about="$step.order.id", details=details or {})
