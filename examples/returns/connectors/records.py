"""A second look at refunds, from the shop's own records and not from what anybody says of them."""

from connectors.shop import Order
from pydantic import BaseModel

from deputize import Call, Connector, Intent, Verification, agree, disagree

connector = Connector("records", version="2026-08-27")

RETURN_DAYS = 30


class Returns(BaseModel):
    returns: list[dict[str, str | None]]


@connector.operation(effect="read", timeout_s=3)
async def is_owed(call: Call, intent: Intent) -> Verification:
    """Whether this customer is owed what was paid for this order."""
    asked = intent.args
    order = Order.model_validate_json((await call.get(f"/orders/{asked['reference']}")).body)
    if order.customer != asked["customer"]:
        return disagree("it is somebody else's order", customer=order.customer)
    total = {"minor": order.total.minor, "currency": order.total.currency}
    if order.charge != asked["charge"] or total != asked["amount"]:
        return disagree("it is not what was paid for this order", charge=order.charge, total=total)
    if order.status == "cancelled":
        return agree()
    opened = await call.get("/returns", params={"order_id": order.id})
    if not Returns.model_validate_json(opened.body).returns:
        return disagree("it is neither cancelled nor sent back", status=order.status)
    if order.days_since_delivery is None or order.days_since_delivery > RETURN_DAYS:
        return disagree("it was not delivered in the last 30 days", days=order.days_since_delivery)
    return agree()
