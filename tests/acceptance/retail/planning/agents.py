"""Who acts: a clerk with a small model."""

from connectors import retail

from deputize import agent

clerk = agent(
    "clerk",
    model="small",
    goal="You see to what a customer of the shop asks for.",
    may=[
        retail.get_order_details,
        retail.cancel_pending_order,
        retail.modify_pending_order_payment,
    ],
    steps_max=2,
)
