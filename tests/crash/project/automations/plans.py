"""A plan that is carried out twice: people are asked each time."""

from agents import desk

from deputize import Event, EventData, Outcome, Plan, automation, done
from deputize.plans.planning import Planned


class Twice(EventData, type="crash.twice"):
    charge: str


def refund_of(minor: int) -> Planned:
    arguments = {"charge": "$event.charge", "amount": {"minor": minor, "currency": "EUR"}}
    steps = [{"id": "back", "operation": "payments.refund", "arguments": arguments}]
    return Planned(Plan.model_validate({"goal": f"Give {minor} back", "steps": steps}), {}, ())


@automation(on=Twice, agent=desk)
async def twice(event: Event[Twice]) -> Outcome:
    await refund_of(2_500).carry_out(ask="finance")
    await refund_of(3_000).carry_out(ask="finance")
    return done("twice")
