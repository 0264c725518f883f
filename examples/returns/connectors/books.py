"""A second look at refunds, from the list of all that were made and not from what a charge says of itself."""

from connectors.payments import Charge, Refunds

from deputize import Call, Connector, Intent, Verification, agree, disagree

connector = Connector("books", version="2026-08-27")


@connector.operation(effect="read", timeout_s=3)
async def is_due(call: Call, intent: Intent) -> Verification:
    """Whether so much is left of the charge. It is told what is to be done, and not why."""
    name, amount = intent.args["charge"], intent.args["amount"]
    charge = Charge.model_validate_json((await call.get(f"/charges/{name}")).body)
    made = Refunds.model_validate_json((await call.get("/refunds", params={"charge": name})).body)
    left = charge.amount.minor - sum(refund.amount.minor for refund in made.refunds)
    if amount["currency"] != charge.amount.currency or amount["minor"] > left:
        return disagree(
            "more than is left of the charge", left={"minor": left, "currency": charge.amount.currency}
        )
    return agree()
