"""A customer's request, in their own words: what is to be done is for the clerk's model to say."""

from agents import clerk

from deputize import Event, EventData, Outcome, automation, done


class RetailAsked(EventData, type="retail.asked"):
    """A customer asks for something, in a world of the shop."""

    world: str
    text: str


@automation(on=RetailAsked, agent=clerk)
async def work_on(event: Event[RetailAsked]) -> Outcome:
    """Whatever the model calls is done, or refused; what the shop declines, it is told."""
    return done("resolved", said=await clerk.work(event.data, about="a customer asks for something"))
