"""The retail shop: one operation for each of its own, each in a world by name.

The shop keeps every answer to a write under its idempotency key, so that it can always be asked what
became of one. A refusal is kept as well: asked after, it is reported as "nothing was done", which it is,
and the same key sent again gets the same refusal.
"""

from functools import partial
from typing import Any, Literal

from pydantic import BaseModel

from deputize import Call, Connector, hours

connector = Connector("retail", version="1")


Status = Literal[
    "pending",
    "pending (item modified)",
    "processed",
    "delivered",
    "cancelled",
    "exchange requested",
    "return requested",
]


class Order(BaseModel):
    """An order, as far as anything here relies on it."""

    order_id: str
    user_id: str
    status: Status


class Pending(Order):
    """An order that can still be changed."""

    status: Literal["pending"]


class Modified(Order):
    """An order whose items were changed, which can be done once."""

    status: Literal["pending (item modified)"]


class Cancelled(Order):
    """An order that will not be sent."""

    status: Literal["cancelled"]
    cancel_reason: str


class Exchange(Order):
    """An order with an exchange under way."""

    status: Literal["exchange requested"]
    exchange_items: list[str]
    exchange_new_items: list[str]
    exchange_payment_method_id: str


class Return(Order):
    """An order with a return under way."""

    status: Literal["return requested"]
    return_items: list[str]
    return_payment_method_id: str


class Address(BaseModel):
    """Where to send things."""

    address1: str
    address2: str
    city: str
    state: str
    country: str
    zip: str


class User(BaseModel):
    """A customer."""

    email: str
    address: Address
    orders: list[str]


class UserId(BaseModel):
    """A customer that was found."""

    user_id: str


class Variant(BaseModel):
    """A product as it can be bought."""

    item_id: str
    available: bool


class Product(BaseModel):
    """A product with its variants by item id."""

    name: str
    product_id: str
    variants: dict[str, Variant]


class Value(BaseModel):
    """What an expression comes to, as a decimal in text."""

    value: str


class Message(BaseModel):
    """What the shop says."""

    message: str


async def kept_answer(call: Call, world: str, **_args: object) -> Any:
    """The result that the shop keeps for this key; None where nothing was done."""
    answer = await call.get(f"/worlds/{world}/writes", params={"key": call.key})
    return answer.json().get("result")


async def _asked(call: Call, world: str, **args: str) -> Any:
    """Ask for the operation of the call's name."""
    answer = await call.get(_path(call, world), params=args)
    return answer.json()


async def _done(call: Call, world: str, **args: str | list[str]) -> Any:
    """Ask for the operation of the call's name to be done."""
    answer = await call.post(_path(call, world), json=args)
    return answer.json()


def _path(call: Call, world: str) -> str:
    return f"/worlds/{world}/operations/{call.operation.removeprefix('retail.')}"


read = partial(connector.operation, effect="read", timeout_s=2.0, attempts_max=12)
write = partial(
    connector.operation,
    effect="write",
    timeout_s=2.0,
    settle_s=0.5,
    key_valid=hours(24),
    attempts_max=12,
    lookup=kept_answer,
    lookup_conclusive=True,
)


@read()
async def calculate(call: Call, world: str, expression: str) -> Value:
    """What an expression of numbers comes to."""
    return Value.model_validate(await _asked(call, world, expression=expression))


@read()
async def find_user_id_by_email(call: Call, world: str, email: str) -> UserId:
    """The customer with this address."""
    return UserId.model_validate(await _asked(call, world, email=email))


@read()
async def find_user_id_by_name_zip(
    call: Call, world: str, first_name: str, last_name: str, zip: str
) -> UserId:
    """The customer of this name whose own address has this zip code."""
    found = await _asked(call, world, first_name=first_name, last_name=last_name, zip=zip)
    return UserId.model_validate(found)


@read()
async def get_order_details(call: Call, world: str, order_id: str) -> Order:
    """An order as it is now."""
    return Order.model_validate(await _asked(call, world, order_id=order_id))


@read()
async def get_product_details(call: Call, world: str, product_id: str) -> Product:
    """A product with all its variants."""
    return Product.model_validate(await _asked(call, world, product_id=product_id))


@read()
async def get_user_details(call: Call, world: str, user_id: str) -> User:
    """A customer as the shop knows them."""
    return User.model_validate(await _asked(call, world, user_id=user_id))


@read()
async def list_all_product_types(call: Call, world: str) -> dict[str, str]:
    """Product ids by name."""
    found: dict[str, str] = await _asked(call, world)
    return found


@read()
async def think(call: Call, world: str, thought: str) -> Message:
    """Nothing happens."""
    return Message.model_validate(await _asked(call, world, thought=thought))


@read()
async def transfer_to_human_agents(call: Call, world: str, summary: str) -> Message:
    """Hand the customer over; nothing in the shop changes."""
    return Message.model_validate(await _asked(call, world, summary=summary))


@write(risk="irreversible", resource="order:{world}/{order_id}")
async def cancel_pending_order(call: Call, world: str, order_id: str, reason: str) -> Cancelled:
    """Cancel an order and refund what was paid."""
    return Cancelled.model_validate(await _done(call, world, order_id=order_id, reason=reason))


@write(risk="irreversible", resource="order:{world}/{order_id}")
async def exchange_delivered_order_items(
    call: Call,
    world: str,
    order_id: str,
    item_ids: list[str],
    new_item_ids: list[str],
    payment_method_id: str,
) -> Exchange:
    """Ask for items to be exchanged for others of the same product."""
    answer = await _done(
        call,
        world,
        order_id=order_id,
        item_ids=item_ids,
        new_item_ids=new_item_ids,
        payment_method_id=payment_method_id,
    )
    return Exchange.model_validate(answer)


@write(risk="personal", resource="order:{world}/{order_id}")
async def modify_pending_order_address(
    call: Call,
    world: str,
    order_id: str,
    address1: str,
    address2: str,
    city: str,
    state: str,
    country: str,
    zip: str,
) -> Pending:
    """Send an order to another address."""
    answer = await _done(
        call,
        world,
        order_id=order_id,
        address1=address1,
        address2=address2,
        city=city,
        state=state,
        country=country,
        zip=zip,
    )
    return Pending.model_validate(answer)


@write(risk="irreversible", resource="order:{world}/{order_id}")
async def modify_pending_order_items(
    call: Call,
    world: str,
    order_id: str,
    item_ids: list[str],
    new_item_ids: list[str],
    payment_method_id: str,
) -> Modified:
    """Change items for others of the same product and settle the difference; possible once."""
    answer = await _done(
        call,
        world,
        order_id=order_id,
        item_ids=item_ids,
        new_item_ids=new_item_ids,
        payment_method_id=payment_method_id,
    )
    return Modified.model_validate(answer)


@write(risk="money", resource="order:{world}/{order_id}")
async def modify_pending_order_payment(
    call: Call, world: str, order_id: str, payment_method_id: str
) -> Pending:
    """Pay the whole of an order by another method."""
    answer = await _done(call, world, order_id=order_id, payment_method_id=payment_method_id)
    return Pending.model_validate(answer)


@write(risk="personal", resource="user:{world}/{user_id}")
async def modify_user_address(
    call: Call,
    world: str,
    user_id: str,
    address1: str,
    address2: str,
    city: str,
    state: str,
    country: str,
    zip: str,
) -> User:
    """Replace a customer's own address."""
    answer = await _done(
        call,
        world,
        user_id=user_id,
        address1=address1,
        address2=address2,
        city=city,
        state=state,
        country=country,
        zip=zip,
    )
    return User.model_validate(answer)


@write(risk="irreversible", resource="order:{world}/{order_id}")
async def return_delivered_order_items(
    call: Call, world: str, order_id: str, item_ids: list[str], payment_method_id: str
) -> Return:
    """Ask for items to be taken back."""
    answer = await _done(
        call, world, order_id=order_id, item_ids=item_ids, payment_method_id=payment_method_id
    )
    return Return.model_validate(answer)
