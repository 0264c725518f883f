"""Two plans of one run: people are asked for each."""

from agents import desk

from deputize import Event, EventData, Outcome, Plan, automation, carry_out, done


class Twice(EventData, type="crash.twice"):
    charge: str


def refund_of(minor: int) -> Plan:
    arguments = {"charge": "$event.charge", "amount": {"minor": minor, "currency": "EUR"}}
    steps = [{"id": "back", "operation": "payments.refund", "arguments": arguments}]
    return Plan.model_validate({"goal": f"Give {minor} back", "steps": steps})


@automation(on=Twice, agent=desk)
async def twice(event: Event[Twice]) -> Outcome:
    await carry_out(refund_of(2_500), ask="finance")
    await carry_out(refund_of(3_000), ask="finance")
    return done("twice")
