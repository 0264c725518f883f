"""The shop's operations: pure functions from a world and arguments to a result or the shop's own refusal.

Texts, states and the order of the checks are those of the shop the data comes from. Where they differ from
its prose the data wins: a modified order is 'pending (item modified)', and nothing more can be done to it.
All amounts are integer minor units.
"""

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from tests.acceptance.retail.arithmetic import calculate
from tests.acceptance.retail.data import Base, Record

CANCEL_REASONS = ("no longer needed", "ordered by mistake")


@dataclass(frozen=True)
class World:
    """The base with one request's changes on top. Records handed out are shared: copy before changing."""

    base: Base
    orders: Mapping[str, Record] = field(default_factory=dict)
    users: Mapping[str, Record] = field(default_factory=dict)

    def order(self, order_id: str) -> Record | None:
        return self.orders.get(order_id) or self.base.orders.get(order_id)

    def user(self, user_id: str) -> Record | None:
        return self.users.get(user_id) or self.base.users.get(user_id)

    def owner(self, order: Record) -> Record:
        """The user who placed `order`; the data has one for each order."""
        user_id = order["user_id"]
        return self.users.get(user_id) or self.base.users[user_id]


@dataclass(frozen=True)
class Done:
    """What was answered, and the whole records that are new from now on, by id."""

    result: Record
    orders: Mapping[str, Record] = field(default_factory=dict)
    users: Mapping[str, Record] = field(default_factory=dict)


@dataclass(frozen=True)
class Refused:
    """A business refusal in the shop's own words; `missing` if the thing asked for does not exist."""

    text: str
    missing: bool = False


Answer = Done | Refused

NO_ORDER = Refused("Error: order not found", missing=True)
NO_USER = Refused("Error: user not found", missing=True)
NO_PRODUCT = Refused("Error: product not found", missing=True)
NO_METHOD = Refused("Error: payment method not found")
NOT_PENDING = Refused("Error: non-pending order cannot be modified")


def cancel_pending_order(world: World, order_id: str, reason: str) -> Answer:
    """Refund each entry of the payment history to where it came from; gift cards at once."""
    order = world.order(order_id)
    if order is None:
        return NO_ORDER
    if order["status"] != "pending":
        return Refused("Error: non-pending order cannot be cancelled")
    if reason not in CANCEL_REASONS:
        return Refused("Error: invalid reason")
    order, user = deepcopy(order), deepcopy(world.owner(order))
    refunds = []
    for paid in order["payment_history"]:
        refunds.append(_entry("refund", paid["amount"], paid["payment_method_id"]))
        _add_to_gift_card(user, paid["payment_method_id"], paid["amount"])
    order["status"] = "cancelled"
    order["cancel_reason"] = reason
    order["payment_history"] += refunds
    return _changed(order, user)


def modify_pending_order_address(world: World, order_id: str, **address: str) -> Answer:
    """Replace the shipping address."""
    order = world.order(order_id)
    if order is None:
        return NO_ORDER
    if order["status"] != "pending":
        return NOT_PENDING
    return _changed({**order, "address": address})


def modify_user_address(world: World, user_id: str, **address: str) -> Answer:
    """Replace a user's default address."""
    user = world.user(user_id)
    if user is None:
        return NO_USER
    user = {**user, "address": address}
    return Done(user, users={user_id: user})


def modify_pending_order_payment(world: World, order_id: str, payment_method_id: str) -> Answer:
    """Pay the whole order by another method and refund the first one."""
    order = world.order(order_id)
    if order is None:
        return NO_ORDER
    if order["status"] != "pending":
        return NOT_PENDING
    user = world.owner(order)
    method = user["payment_methods"].get(payment_method_id)
    if method is None:
        return NO_METHOD
    history = order["payment_history"]
    if len(history) != 1 or history[0]["transaction_type"] != "payment":
        return Refused("Error: there should be exactly one payment for a pending order")
    amount, old_method_id = history[0]["amount"], history[0]["payment_method_id"]
    if old_method_id == payment_method_id:
        return Refused("Error: the new payment method should be different from the current one")
    if _too_poor(method, amount):
        return Refused("Error: insufficient gift card balance to pay for the order")
    user = deepcopy(user)
    _add_to_gift_card(user, payment_method_id, -amount)
    _add_to_gift_card(user, old_method_id, amount)
    moved = [_entry("payment", amount, payment_method_id), _entry("refund", amount, old_method_id)]
    return _changed({**order, "payment_history": [*history, *moved]}, user)


def modify_pending_order_items(
    world: World,
    order_id: str,
    item_ids: Sequence[str],
    new_item_ids: Sequence[str],
    payment_method_id: str,
) -> Answer:
    """Swap items for others of the same product and settle the difference; possible once."""
    order = world.order(order_id)
    if order is None:
        return NO_ORDER
    if order["status"] != "pending":
        return NOT_PENDING
    difference = _price_difference(world, order, item_ids, new_item_ids)
    if isinstance(difference, Refused):
        return difference
    user = deepcopy(world.owner(order))
    method = user["payment_methods"].get(payment_method_id)
    if method is None:
        return NO_METHOD
    if _too_poor(method, difference):
        return Refused("Error: insufficient gift card balance to pay for the new item")
    _add_to_gift_card(user, payment_method_id, -difference)
    order = deepcopy(order)
    kind = "payment" if difference > 0 else "refund"
    order["payment_history"].append(_entry(kind, abs(difference), payment_method_id))
    for item_id, new_item_id in zip(item_ids, new_item_ids, strict=True):
        item = _find_item(order, item_id)
        variant = world.base.products[item["product_id"]]["variants"][new_item_id]
        item.update(item_id=new_item_id, price=variant["price"], options=variant["options"])
    order["status"] = "pending (item modified)"
    return _changed(order, user)


def exchange_delivered_order_items(
    world: World,
    order_id: str,
    item_ids: Sequence[str],
    new_item_ids: Sequence[str],
    payment_method_id: str,
) -> Answer:
    """Ask for an exchange: the state changes, no money moves yet."""
    order = world.order(order_id)
    if order is None:
        return NO_ORDER
    if order["status"] != "delivered":
        return Refused("Error: non-delivered order cannot be exchanged")
    difference = _price_difference(world, order, item_ids, new_item_ids)
    if isinstance(difference, Refused):
        return difference
    method = world.owner(order)["payment_methods"].get(payment_method_id)
    if method is None:
        return NO_METHOD
    if _too_poor(method, difference):
        return Refused("Error: insufficient gift card balance to pay for the price difference")
    asked = {
        "status": "exchange requested",
        "exchange_items": sorted(item_ids),
        "exchange_new_items": sorted(new_item_ids),
        "exchange_payment_method_id": payment_method_id,
        "exchange_price_difference": difference,
    }
    return _changed({**order, **asked})


def return_delivered_order_items(
    world: World, order_id: str, item_ids: Sequence[str], payment_method_id: str
) -> Answer:
    """Ask for a return: the state changes, no money moves yet."""
    order = world.order(order_id)
    if order is None:
        return NO_ORDER
    if order["status"] != "delivered":
        return Refused("Error: non-delivered order cannot be returned")
    method = world.owner(order)["payment_methods"].get(payment_method_id)
    if method is None:
        return NO_METHOD
    original = order["payment_history"][0]["payment_method_id"]
    if method["source"] != "gift_card" and payment_method_id != original:
        return Refused("Error: payment method should be either the original payment method or a gift card")
    if _missing_item(order, item_ids) is not None:
        return Refused("Error: some item not found")
    asked = {
        "status": "return requested",
        "return_items": sorted(item_ids),
        "return_payment_method_id": payment_method_id,
    }
    return _changed({**order, **asked})


def find_user_id_by_email(world: World, email: str) -> Answer:
    """The id of the user with this address, whatever its case."""
    for user_id, user in world.base.users.items():  # nothing changes an e-mail address
        if user["email"].lower() == email.lower():
            return Done({"user_id": user_id})
    return NO_USER


def find_user_id_by_name_zip(world: World, first_name: str, last_name: str, **address: str) -> Answer:
    """The id of the user of this name whose default address has this zip code."""
    name = (first_name.lower(), last_name.lower())
    for user_id in world.base.users:
        user = world.users.get(user_id) or world.base.users[user_id]
        full_name = (user["name"]["first_name"].lower(), user["name"]["last_name"].lower())
        if full_name == name and user["address"]["zip"] == address["zip"]:
            return Done({"user_id": user_id})
    return NO_USER


def get_user_details(world: World, user_id: str) -> Answer:
    """The user's whole record."""
    user = world.user(user_id)
    return NO_USER if user is None else Done(user)


def get_order_details(world: World, order_id: str) -> Answer:
    """The order's whole record."""
    order = world.order(order_id)
    return NO_ORDER if order is None else Done(order)


def get_product_details(world: World, product_id: str) -> Answer:
    """The product with all its variants."""
    product = world.base.products.get(product_id)
    return NO_PRODUCT if product is None else Done(product)


def list_all_product_types(world: World) -> Answer:
    """Product names, sorted, with their ids."""
    names = {product["name"]: product["product_id"] for product in world.base.products.values()}
    return Done(dict(sorted(names.items())))


def calculate_expression(world: World, expression: str) -> Answer:
    """`{"value": "12.5"}`: a text, as this shop answers it."""
    try:
        return Done({"value": str(round(calculate(expression), 2))})
    except ArithmeticError as error:
        return Refused(f"Error: {error}")


def transfer_to_human_agents(world: World, summary: str) -> Answer:
    """Nothing in the shop's data changes by it."""
    return Done({"message": "Transfer successful"})


def think(world: World, thought: str) -> Answer:
    """Nothing happens."""
    return Done({"message": ""})


Operation = Callable[..., Answer]

WRITES: Mapping[str, Operation] = {
    "cancel_pending_order": cancel_pending_order,
    "exchange_delivered_order_items": exchange_delivered_order_items,
    "modify_pending_order_address": modify_pending_order_address,
    "modify_pending_order_items": modify_pending_order_items,
    "modify_pending_order_payment": modify_pending_order_payment,
    "modify_user_address": modify_user_address,
    "return_delivered_order_items": return_delivered_order_items,
}
READS: Mapping[str, Operation] = {
    "calculate": calculate_expression,
    "find_user_id_by_email": find_user_id_by_email,
    "find_user_id_by_name_zip": find_user_id_by_name_zip,
    "get_order_details": get_order_details,
    "get_product_details": get_product_details,
    "get_user_details": get_user_details,
    "list_all_product_types": list_all_product_types,
    "think": think,
    "transfer_to_human_agents": transfer_to_human_agents,
}


def argument_fault(schema: Record, args: Mapping[str, Any]) -> str | None:
    """What is wrong with the shape of `args`, or None. Values are the operations' own business."""
    known = schema["properties"]
    for name in args:
        if name not in known:
            return f"unknown argument {name!r}"
    for name in schema["required"]:
        if name not in args:
            return f"argument {name!r} is missing"
    for name, value in args.items():
        if known[name]["type"] == "string":
            fits = isinstance(value, str)
        else:
            fits = isinstance(value, list) and all(isinstance(each, str) for each in value)
        if not fits:
            return f"argument {name!r} is not of type {known[name]['type']}"
    return None


def _changed(order: Record, user: Record | None = None) -> Done:
    users = {} if user is None else {order["user_id"]: user}
    return Done(order, orders={order["order_id"]: order}, users=users)


def _entry(kind: str, amount: int, method_id: str) -> Record:
    return {"transaction_type": kind, "amount": amount, "payment_method_id": method_id}


def _add_to_gift_card(user: Record, method_id: str, amount: int) -> None:
    """Cards and PayPal accounts hold no balance here: only a gift card's moves."""
    method = user["payment_methods"][method_id]
    if method["source"] == "gift_card":
        method["balance"] += amount


def _too_poor(method: Record, amount: int) -> bool:
    return method["source"] == "gift_card" and bool(method["balance"] < amount)


def _missing_item(order: Record, item_ids: Sequence[str]) -> str | None:
    """The first item asked for more often than the order holds it."""
    held = [item["item_id"] for item in order["items"]]
    return next((each for each in item_ids if item_ids.count(each) > held.count(each)), None)


def _find_item(order: Record, item_id: str) -> Record:
    item: Record = next(item for item in order["items"] if item["item_id"] == item_id)
    return item


def _price_difference(
    world: World, order: Record, item_ids: Sequence[str], new_item_ids: Sequence[str]
) -> int | Refused:
    missing = _missing_item(order, item_ids)
    if missing is not None:
        return Refused(f"Error: {missing} not found")
    if len(item_ids) != len(new_item_ids):
        return Refused("Error: the number of items to be exchanged should match")
    difference = 0
    for item_id, new_item_id in zip(item_ids, new_item_ids, strict=True):
        item = _find_item(order, item_id)
        variant = world.base.products[item["product_id"]]["variants"].get(new_item_id)
        if variant is None or not variant["available"]:
            return Refused(f"Error: new item {new_item_id} not found or available")
        difference += variant["price"] - item["price"]
    return difference
