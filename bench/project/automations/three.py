from agents import worker
from connectors import desk

from deputize import Event, EventData, Money, Outcome, automation, done, sleep
from deputize.clock import seconds


class Asked(EventData, type="bench.asked"):
    item: str


class Parked(EventData, type="bench.parked"):
    item: str
    for_s: int


@automation(on=Asked, agent=worker)
async def three(event: Event[Asked]) -> Outcome:
    """Three steps, each the same write."""
    for step in range(3):
        await desk.write(item=f"{event.data.item}/{step}", customer="c1", amount=Money(100, "EUR")).because(
            "the bench asks for it"
        )
    return done("written")


@automation(on=Parked, agent=worker)
async def parked(event: Event[Parked]) -> Outcome:
    """Wait, and be woken."""
    await sleep(seconds(event.data.for_s))
    return done("woken")
