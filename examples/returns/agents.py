"""Who acts: each agent with what it may do, and how much of it.

The rules say what is permitted at all; `may` narrows that for one agent and never widens it.
"""

from connectors import books, mail, payments, records, shop

from deputize import agent, budget

order_desk = agent(
    "order-desk",
    may=[
        *(shop.get_order, shop.get_customer, shop.get_product),
        *(shop.release_order, shop.hold_order, shop.cancel_order),
        *(payments.get_charge, payments.refund, mail.send),
    ],
    budgets=[budget("100000.00 EUR", per="day", name="refunds for what is sold out")],
)

returns_desk = agent(
    "returns-desk",
    may=[
        *(shop.get_order, shop.get_product, shop.send_replacement),
        *(payments.get_charge, payments.refund, mail.send),
    ],
    budgets=[
        budget("900000.00 EUR", per="day", name="refunds for returns and damage"),
        budget("2000 actions", per="day", operations="shop.send_replacement", name="replacements"),
    ],
)

help_desk = agent(
    "help-desk",
    may=[shop.get_order, shop.list_orders, mail.send],
    budgets=[budget("20000 actions", per="day", operations="mail.send", name="answers")],
    service_level="interactive",
)

# Its steps are written by a model: see automations/mails.py.
message_desk = agent(
    "message-desk",
    model="reader",
    may=[
        shop.list_orders,
        shop.get_order,
        shop.cancel_order,
        payments.get_charge,
        payments.refund,
        mail.send,
    ],
    budgets=[
        budget("5000.00 EUR", per="day", name="refunds by the message desk"),
        budget("0.05 USD cost", per="run", name="one mail"),
    ],
)

# Looks at what the others are about to do: see rules/refunds.toml.
auditor = agent("auditor", may=[books.is_due, records.is_owed])
