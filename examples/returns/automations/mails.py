"""The message desk: what customers write in their own words.

A model sorts a mail, and writes down what to do as a plan. It does nothing itself: each step of the plan
takes the way that every action takes, through the rules, and what does not get through goes to a person.
"""

from pathlib import Path
from typing import Literal

from agents import message_desk
from pydantic import BaseModel

from deputize import (
    ActionError,
    Event,
    EventData,
    Message,
    Outcome,
    Plan,
    automation,
    carry_out,
    done,
    gave_up,
    plan,
    think,
)


class MailReceived(EventData, type="shop.mail.received"):
    customer: str
    email: str
    text: str


class Params(BaseModel):
    plans: Literal["written", "ready"] = "written"
    """For each mail by the model, or those of the shop: a small model can sort, and cannot plan."""


class Sorted(BaseModel):
    kind: Literal["where", "return", "cancel", "broken", "thanks", "other"]


LOOK = "Look up the newest order of the customer. "
WHAT_TO_DO = {
    "where": LOOK + 'Send "order-status" with its status. End as "answered".',
    "broken": LOOK + 'Send "photo-please". End as "asked-for-photo".',
    "cancel": LOOK + 'Cancel it, give back what was paid for it, send "cancelled". End as "cancelled".',
    "return": LOOK
    + 'If its charge is refunded already, send "already-refunded" and end as "already-refunded". If it was'
    ' delivered more than 30 days ago, or is not delivered, send "too-late" and end as "declined". Else give'
    ' back what was paid for it, send "refunded" and end as "refunded".',
}

PLANS = {
    kind: Plan.from_yaml((Path(__file__).parents[1] / "plans" / f"{kind}.yaml").read_text("utf-8"))
    for kind in WHAT_TO_DO
}

EXAMPLES = {
    "Any news of my parcel?": "where",
    "The socks do not fit. Can I send them back?": "return",
    "Please stop my order before it is sent.": "cancel",
    "The mug came in pieces.": "broken",
    "What a lovely teapot, thank you!": "thanks",
    "Do you have a shop in Bremen?": "other",
}


@automation(on=MailReceived, agent=message_desk, key="customer:{customer}")
async def answer_mail(event: Event[MailReceived], params: Params) -> Outcome:
    try:
        kind = (await think(sorting(event.data.text), returns=Sorted, about="to sort a mail")).kind
        if kind == "thanks":
            return done("noted")
        if kind not in WHAT_TO_DO:
            return gave_up("passed-on", reason="it is none of the kinds that the desk answers")
        if params.plans == "ready":
            return done((await carry_out(PLANS[kind])).label)
        made = await plan(f"Answer a mail to the shop. {WHAT_TO_DO[kind]}", given=event.data.text)
        return done((await made.carry_out()).label)
    except ActionError as error:
        return gave_up("passed-on", reason=error.reason)


def sorting(mail: str) -> list[Message]:
    """What the model is asked: the kinds, an example of each, and the mail without greeting and signature."""
    body = max(mail.split("\n\n"), key=len)
    asked = [Message(role="system", text="You sort the mails to a small shop by what the writer wants.")]
    for example, kind in EXAMPLES.items():
        asked += [Message(role="user", text=example), Message(role="model", text=f'{{"kind": "{kind}"}}')]
    return [*asked, Message(role="user", text=body)]
