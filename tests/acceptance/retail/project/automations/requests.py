"""A customer's request, with the steps that resolve it as the plan."""

from collections.abc import Mapping
from typing import Any, Literal

from agents import clerk
from connectors import retail
from pydantic import BaseModel, ConfigDict

from deputize import ActionError, Declined, Event, EventData, Operation, Outcome, attempt, automation, done

Planned = Literal[
    "cancel_pending_order",
    "exchange_delivered_order_items",
    "modify_pending_order_address",
    "modify_pending_order_items",
    "modify_pending_order_payment",
    "modify_user_address",
    "return_delivered_order_items",
]

OPERATIONS: Mapping[Planned, Operation[..., retail.Order | retail.User]] = {
    "cancel_pending_order": retail.cancel_pending_order,
    "exchange_delivered_order_items": retail.exchange_delivered_order_items,
    "modify_pending_order_address": retail.modify_pending_order_address,
    "modify_pending_order_items": retail.modify_pending_order_items,
    "modify_pending_order_payment": retail.modify_pending_order_payment,
    "modify_user_address": retail.modify_user_address,
    "return_delivered_order_items": retail.return_delivered_order_items,
}


class Step(BaseModel):
    """One step of the plan."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    operation: Planned
    args: dict[str, Any]


class RetailRequested(EventData, type="retail.requested"):
    """A customer asks for something, in a world of the shop."""

    world: str
    steps: tuple[Step, ...]


@automation(on=RetailRequested, agent=clerk)
async def carry_out(event: Event[RetailRequested]) -> Outcome:
    """Do each step; what the shop declines is told at the end, and the rest goes on."""
    world, declined = event.data.world, []
    for number, step in enumerate(event.data.steps, 1):
        state = ""
        if "order_id" in step.args:
            order = await retail.get_order_details(world=world, order_id=step.args["order_id"])
            state = f", for an order that is {order.status}"
        action = OPERATIONS[step.operation](world=world, **step.args)
        answer = await attempt(action.because(f"step {number} of the customer's request{state}"))
        if isinstance(answer, Declined):
            declined.append(step.operation)
        elif isinstance(answer, ActionError):
            raise answer
    return done("resolved", declined=declined)
