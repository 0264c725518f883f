"""Who acts: a clerk with a model."""

from connectors import retail

from deputize import agent

clerk = agent(
    "clerk",
    model="small",
    goal="You see to what a customer of the shop asks for, in the world that you are given.",
    may=[
        retail.get_order_details,
        retail.cancel_pending_order,
        retail.exchange_delivered_order_items,
        retail.modify_pending_order_address,
        retail.modify_pending_order_items,
        retail.modify_pending_order_payment,
        retail.return_delivered_order_items,
    ],
)
