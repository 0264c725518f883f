"""What the practice town's services say on the wire: bodies, records and problems."""

import json
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from hashlib import sha256
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import to_json

OPERATIONS = {
    "shop": (
        *("get_order", "list_orders", "get_customer", "get_product", "release_order", "hold_order"),
        *("cancel_order", "open_return", "find_returns", "send_replacement", "find_replacements"),
        *("preview_release", "preview_hold", "preview_cancel", "preview_return", "preview_replacement"),
    ),
    "payments": ("get_charge", "refund", "find_refunds", "preview_refund"),
    "mail": ("send", "find_messages", "preview_send"),
}
SERVICES = tuple(OPERATIONS)
POSTS = {"smtp": ("connect", "deliver"), "chat": ("post",), "model": ("think",)}
"""By what people are told, and who thinks: no services of the shop, and without idempotency keys."""
BODY_BYTES_MAX = 1_000_000

Status = Literal["placed", "released", "held", "cancelled", "shipped", "delivered"]
Text = Annotated[str, Field(min_length=1, max_length=500)]


def iso(at_s: float) -> str:
    """`at_s` (seconds since 1970) as ISO 8601 UTC with milliseconds."""
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def seconds(at: str) -> float:
    """The seconds since 1970 of a time written by `iso`. Raises ValueError for anything else."""
    return datetime.fromisoformat(at).timestamp()


def request_hash(method: str, path: str, body: bytes) -> str:
    """A digest that two requests share when they ask for the same thing, however their JSON is spaced."""
    with suppress(ValueError, RecursionError):  # no JSON: its bytes identify it, and the service will say so
        body = json.dumps(json.loads(body), sort_keys=True, separators=(",", ":")).encode()
    return sha256(b"\n".join((method.encode(), path.encode(), body))).hexdigest()


class Problem(Exception):
    """A request that a service declines: `status`, a word for programs, a sentence for people."""

    def __init__(self, status: int, error: str, detail: str) -> None:
        super().__init__(detail)
        self.status, self.error, self.detail = status, error, detail

    def body(self) -> bytes:
        """The JSON body of the answer."""
        return json.dumps({"error": self.error, "detail": self.detail}).encode()


class Wire(BaseModel):
    """The base of all bodies: unknown fields are errors, and nothing is converted silently."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Money(Wire):
    """An amount in minor units (cents) of an ISO 4217 currency."""

    minor: int = Field(ge=0, lt=10**15)
    currency: str = Field(pattern="^[A-Z]{3}$")


class Item(Wire):
    """One line of an order; `price` is for one piece."""

    sku: str
    name: str
    qty: int
    price: Money


class Order(Wire):
    """An order as the shop shows it; `status_key` is the idempotency key of its last change of status."""

    id: str
    customer: str
    email: str
    charge: str
    total: Money
    items: list[Item]
    status: Status
    status_key: str | None
    status_reason: str | None
    placed_at: str
    delivered_at: str | None
    days_since_delivery: int | None
    ship_country: str
    bill_country: str
    tracking: str | None


class Orders(Wire):
    orders: list[Order]


class Customer(Wire):
    id: str
    name: str
    email: str
    address: str
    country: str
    since: str
    orders_count: int


class Product(Wire):
    sku: str
    name: str
    price: Money
    stock: int


class Reason(Wire):
    reason: Text


class ReturnAsk(Wire):
    order_id: Text
    reason: Text


class Return(Wire):
    id: str
    order_id: str
    reason: str
    status: Literal["open"]
    key: str | None
    created_at: str


class Returns(Wire):
    returns: list[Return]


class ReplacementAsk(Wire):
    order_id: Text
    skus: list[Text] = Field(min_length=1, max_length=50)


class Replacement(Wire):
    id: str
    order_id: str
    skus: list[str]
    status: Literal["sent"]
    key: str | None
    created_at: str


class Replacements(Wire):
    replacements: list[Replacement]


class Charge(Wire):
    id: str
    amount: Money
    refunded: Money
    created_at: str


class RefundAsk(Wire):
    charge: Text
    amount: Money
    reference: Text | None = None


class Refund(Wire):
    id: str
    charge: str
    amount: Money
    status: Literal["succeeded"]
    reference: str | None
    key: str | None
    created_at: str


class Refunds(Wire):
    refunds: list[Refund]


def _address(value: str) -> str:
    name, _, host = value.partition("@")
    if not name or not host or any(c.isspace() for c in value):
        raise ValueError("an e-mail address has a name, an @ and a host")
    return value


def _writable(value: Mapping[str, Any]) -> Mapping[str, Any]:
    to_json(value)  # raises ValueError for lone surrogates and for what is nested too deeply to write
    return value


class MessageAsk(Wire):
    to: Annotated[Text, AfterValidator(_address)]
    template: Text
    data: Annotated[Mapping[str, Any], AfterValidator(_writable)] = Field(default_factory=dict)
    reference: Text | None = None


class Message(Wire):
    id: str
    to: str
    template: str
    data: Mapping[str, Any]
    status: Literal["sent"]
    reference: str | None
    key: str | None
    created_at: str


class Messages(Wire):
    messages: list[Message]
