"""One automation for each way that an action can go; their labels say which way it went."""

import os

from agents import desk
from connectors import mail, payments, shop

from deputize import (
    Event,
    EventData,
    Money,
    Outcome,
    RunEnded,
    ask,
    attempt,
    automation,
    done,
    minutes,
    seconds,
    send,
    sleep,
    together,
    wait_for,
)

# What a changed version of the code asks for; a test changes it between two lives.
NAP_S = float(os.environ.get("CRASH_NAP_S", "0.2"))


class Return(EventData, type="crash.return"):
    order_id: str
    amount: int = 1_000


class Briefly(EventData, type="crash.briefly"):
    charge: str


class ByKey(EventData, type="crash.by_key"):
    charge: str


class Hold(EventData, type="crash.hold"):
    order_id: str


class Open(EventData, type="crash.open"):
    order_id: str


class Write(EventData, type="crash.write"):
    to: str


class Nap(EventData, type="crash.nap"):
    to: str


class Parent(EventData, type="crash.parent"):
    to: str


class Ask(EventData, type="crash.ask"):
    charge: str
    wants: str
    amount: int = 3_000


class Beside(EventData, type="crash.beside"):
    charge: str
    to: str


class Lapse(EventData, type="crash.lapse"):
    charge: str


class Wonder(EventData, type="crash.wonder"):
    to: str


class Announce(EventData, type="crash.announce"):
    to: str
    fails: bool = False


class Invite(EventData, type="crash.invite"):
    to: str


class Never(EventData, type="crash.never"):
    to: str


@automation(on=Return, agent=desk, key="order:{order_id}")
async def give_back(event: Event[Return]) -> Outcome:
    order = await shop.get_order(order_id=event.data.order_id)
    refund = await attempt(
        payments.refund(charge=order.charge, amount=Money(event.data.amount, "EUR")).because("it came back")
    )
    if not isinstance(refund, payments.Refund):
        return done(type(refund).__name__.lower())
    await mail.send(to=order.email, template="refunded").because("they want to know")
    return done("refunded", refund=refund.id)


@automation(on=Briefly, agent=desk)
async def briefly(event: Event[Briefly]) -> Outcome:
    await attempt(payments.refund_briefly(charge=event.data.charge, amount=Money(100, "EUR")))
    return done("refunded")


@automation(on=ByKey, agent=desk)
async def by_key(event: Event[ByKey]) -> Outcome:
    await attempt(payments.refund_by_key(charge=event.data.charge, amount=Money(100, "EUR")))
    return done("refunded")


@automation(on=Hold, agent=desk)
async def hold(event: Event[Hold]) -> Outcome:
    await shop.hold_order(order_id=event.data.order_id)
    return done("held")


@automation(on=Open, agent=desk)
async def open_return(event: Event[Open]) -> Outcome:
    opened = await attempt(shop.open_return(order_id=event.data.order_id))
    return done("opened" if isinstance(opened, shop.Changed) else "not-opened")


@automation(on=Write, agent=desk)
async def write(event: Event[Write]) -> Outcome:
    first, second = await together(
        attempt(mail.send(to=event.data.to, template="one")),
        attempt(mail.send(to=f"second-{event.data.to}", template="two")),
    )
    return done("written", first=isinstance(first, mail.Message), second=isinstance(second, mail.Message))


@automation(on=Nap, agent=desk)
async def nap(event: Event[Nap]) -> Outcome:
    await sleep(seconds(NAP_S))
    await mail.send(to=event.data.to, template="slept")
    return done("slept")


@automation(on=Parent, agent=desk)
async def parent(event: Event[Parent]) -> Outcome:
    sent = await send(Nap(to=event.data.to))
    ended = await wait_for(RunEnded, matching={"event_id": sent.id}, within=minutes(5))
    return done("told", child=ended.data.label)


@automation(on=Never, agent=desk)
async def never(event: Event[Never]) -> Outcome:
    await wait_for(Write, matching={"to": event.data.to}, within=minutes(60))
    return done("woken")


# `wants` tells people what to say.
@automation(on=Ask, agent=desk)
async def asks(event: Event[Ask]) -> Outcome:
    amount = Money(event.data.amount, "EUR")
    refund = await attempt(payments.refund(charge=event.data.charge, amount=amount).because(event.data.wants))
    if not isinstance(refund, payments.Refund):
        return done(type(refund).__name__.lower())
    await mail.send(to=f"{event.data.wants}@{event.data.charge}.example", template="asked")
    return done("refunded")


@automation(on=Beside, agent=desk)
async def beside(event: Event[Beside]) -> Outcome:
    amount = Money(3_000, "EUR")
    both = await together(
        attempt(payments.refund(charge=f"{event.data.charge}-a", amount=amount).because("change")),
        attempt(payments.refund(charge=f"{event.data.charge}-b", amount=amount).because("approve")),
        mail.send(to=event.data.to, template="beside"),
    )
    return done(" ".join(type(one).__name__.lower() for one in both))


@automation(on=Lapse, agent=desk)
async def lapses(event: Event[Lapse]) -> Outcome:
    refund = await attempt(payments.refund_by_key(charge=event.data.charge, amount=Money(100, "EUR")))
    return done(type(refund).__name__.lower())


@automation(on=Wonder, agent=desk)
async def wonders(event: Event[Wonder]) -> Outcome:
    answer = await ask("finance", "What shall we write?", choices=["yes", "no"], within=minutes(60))
    await mail.send(to=event.data.to, template=answer)
    return done(answer)


@automation(on=Announce, agent=desk, unwind=True)
async def announces(event: Event[Announce]) -> Outcome:
    await mail.announce(to=event.data.to)
    await mail.announce(to=f"second-{event.data.to}")
    if event.data.fails:
        raise ValueError("we regret it")
    return done("announced")


@automation(on=Invite, agent=desk)
async def invites(event: Event[Invite]) -> Outcome:
    await mail.invite(to=event.data.to)
    await mail.invite(to=f"second-{event.data.to}")
    return done("invited")
