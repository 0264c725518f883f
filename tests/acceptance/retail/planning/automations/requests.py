"""A customer's request: a small model plans for it, or works on it."""

from agents import clerk

from deputize import ActionError, Event, EventData, Outcome, attempt, automation, done, gave_up, plan


class RetailAsked(EventData, type="retail.asked"):
    """A customer asks for something, in a world of the shop."""

    world: str
    text: str
    plan: bool


@automation(on=RetailAsked, agent=clerk)
async def see_to(event: Event[RetailAsked]) -> Outcome:
    """Whatever the model says is done, or refused."""
    given = {"world": event.data.world, "text": event.data.text}
    if not event.data.plan:
        worked = await attempt(clerk.work(given, about="a customer asks for something"))
        if isinstance(worked, ActionError):
            return gave_up("no answer", reason=worked.reason)
        return done("worked")
    made = await attempt(plan("See to what the customer asks for.", given=given))
    if isinstance(made, ActionError):
        return gave_up("no plan", reason=made.reason)
    came = await attempt(made.carry_out())
    if isinstance(came, ActionError):
        return gave_up("stopped", reason=came.reason)
    return done("planned")
