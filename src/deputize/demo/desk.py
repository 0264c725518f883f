"""The people in the demo: one looks up what a service really did when its answer could not be read, and two
say yes or no to what waits for them.

An answer that does not fit its contract stops the run with a card; only a person may say what came of it.
What they say to a refund follows from its card, so that the same demo is answered in the same way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx2

from deputize.demo.product import OTHER, PERSON, Product

TRIES = 4
LESS_MINOR = 500
"""What a person takes off a refund that they change."""
TIMEOUT_S = 4.0


@dataclass(frozen=True)
class Place:
    """Where a person looks: a service, a path over the action's arguments, and the list that has it."""

    service: str
    path: str
    by: tuple[str, ...] = ()
    among: str = ""


LOOK_AT = {
    "shop.get_order": Place("shop", "/orders/{order_id}"),
    "shop.list_orders": Place("shop", "/orders", ("customer",)),
    "shop.get_customer": Place("shop", "/customers/{customer}"),
    "shop.get_product": Place("shop", "/products/{sku}"),
    "shop.release_order": Place("shop", "/orders/{order_id}"),
    "shop.hold_order": Place("shop", "/orders/{order_id}"),
    "shop.cancel_order": Place("shop", "/orders/{order_id}"),
    "shop.send_replacement": Place("shop", "/replacements", ("key",), "replacements"),
    "payments.get_charge": Place("payments", "/charges/{charge}"),
    "payments.refund": Place("payments", "/refunds", ("key",), "refunds"),
    "mail.send": Place("mail", "/messages", ("key",), "messages"),
}


@dataclass
class Desk:
    """Answers cards of unreadable answers, of approvals and of automations that failed too often; leaves
    every other card where it is."""

    _client: httpx2.Client = field(default_factory=lambda: httpx2.Client(timeout=TIMEOUT_S, trust_env=False))

    def work(self, product: Product, urls: Mapping[str, str]) -> None:
        """Answer what can be answered now. Raises `NotThere` where the product does not answer."""
        for card in product.cards():
            if card["kind"] == "approval":
                _decide(product, card)
            if card["kind"] == "lowered":
                product.answer(PERSON, card["id"], {"kind": "lift", "reason": "its failures were looked at"})
            if card["kind"] != "drift":
                continue
            told = product.action(card["run"], card["path"])
            truth = self._truth(told["action"], told["entries"], urls)
            if truth is not None:
                product.happened(card["id"], truth, "looked it up at the service")

    def close(self) -> None:
        """Let go of its connections."""
        self._client.close()

    def _truth(
        self, action: Mapping[str, Any], entries: list[dict[str, Any]], urls: Mapping[str, str]
    ) -> Any | None:
        """What the service says about the action, or None where it does not say so now."""
        place = LOOK_AT.get(action["operation"])
        args = next((entry["body"]["args"] for entry in entries if "args" in entry["body"]), None)
        if place is None or not isinstance(args, dict):
            return None
        known = {**args, "key": action["key"]}
        params = {name: str(known[name]) for name in place.by}
        for _ in range(TRIES):
            try:
                answer = self._client.get(urls[place.service] + place.path.format_map(known), params=params)
                answer.raise_for_status()
                found = answer.json()
                return (found[place.among] or [None])[0] if place.among else found
            except (httpx2.HTTPError, ValueError, KeyError):
                continue  # the town plays its tricks on people as well
        return None


def _decide(product: Product, card: Mapping[str, Any]) -> None:
    """Approve most, refuse some, change a few, and let a few pass unanswered."""
    binding, changed = card["binding"], "~" in card["path"]
    chance = int(binding, 16) % 20
    answer = {"binding": binding, "reason": "as the shop's owner likes it"}
    if any(one["says"] == "disagree" for one in card["body"].get("findings", ())):
        said = "what was found out speaks against it"
        product.answer(PERSON, card["id"], answer | {"kind": "refuse", "reason": said})
    elif changed or chance >= 6 or "amount" not in card["body"]["args"]:
        # Who changed the arguments does not approve them. A confirmation of anything else is given.
        product.answer(OTHER if changed else PERSON, card["id"], answer | {"kind": "approve"})
    elif chance >= 4:
        product.answer(PERSON, card["id"], answer | {"kind": "refuse"})
    elif chance >= 2:
        args = card["body"]["args"]
        less = args["amount"] | {"minor": args["amount"]["minor"] - LESS_MINOR}
        product.answer(PERSON, card["id"], answer | {"kind": "change", "args": args | {"amount": less}})
