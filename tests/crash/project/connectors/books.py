"""A second look at refunds, by a connection of its own."""

from deputize import Call, Connector, Intent, Verification, agree, disagree

connector = Connector("books", version="1")


@connector.operation(effect="read", timeout_s=0.5)
async def is_due(call: Call, intent: Intent) -> Verification:
    """It agrees to no more than half of a charge."""
    charge = (await call.get(f"/charges/{intent.args['charge']}")).json()
    most = charge["amount"]["minor"] // 2
    return agree() if intent.args["amount"]["minor"] <= most else disagree("more than half", most=most)
