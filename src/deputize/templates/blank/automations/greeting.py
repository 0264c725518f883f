"""What happens when a visitor arrives."""

from agents import host
from connectors import notebook
from pydantic import BaseModel

from deputize import Event, EventData, Outcome, automation, done


class VisitorArrived(EventData, type="visitor.arrived"):
    """Someone is here."""

    name: str


class Params(BaseModel):
    """People change these in deputize.toml, under [params.greet]."""

    greeting: str = "Welcome"


@automation(on=VisitorArrived, agent=host)
async def greet(event: Event[VisitorArrived], params: Params) -> Outcome:
    """Write a greeting into the notebook."""
    line = f"{params.greeting}, {event.data.name}!"
    await notebook.write(page="guests", text=line).because("every visitor is greeted")
    return done("greeted")
