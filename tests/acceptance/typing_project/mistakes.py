"""Deliberate mistakes, one a function. The comment on a line says who finds it there: `mypy`, `pyright`, a
`run`, or `load`, the start of the project."""

# ruff: noqa: F841, RUF059

from agents import clerk
from connectors import payments
from pydantic import BaseModel

from deputize import (
    Event,
    EventData,
    Money,
    Outcome,
    attempt,
    automation,
    done,
    hours,
    send,
    sleep,
    together,
    wait_for,
)

EUR = Money(100, "EUR")


class Asked(EventData, type="typing.asked"):
    mistake: str = ""


class Other(EventData, type="typing.other"):
    number: int = 0


class Params(BaseModel):
    days: int = 1


async def wrong_argument_name(event: Event[Asked]) -> Outcome:
    await payments.refund(chrage="c", amount=EUR)  # mypy pyright run
    return done()


async def wrong_argument_type(event: Event[Asked]) -> Outcome:
    await payments.refund(charge=5, amount=EUR)  # mypy pyright run
    return done()


async def a_number_for_money(event: Event[Asked]) -> Outcome:
    await payments.refund(charge="c", amount=100)  # mypy pyright run
    return done()


async def missing_argument(event: Event[Asked]) -> Outcome:
    await payments.refund(charge="c")  # mypy pyright run
    return done()


async def too_many_arguments(event: Event[Asked]) -> Outcome:
    await payments.refund("c", EUR, "note", "more")  # mypy pyright run
    return done()


async def action_not_awaited(event: Event[Asked]) -> Outcome:
    payments.refund(charge="c", amount=EUR)  # mypy run
    return done()


async def action_with_a_reason_not_awaited(event: Event[Asked]) -> Outcome:
    payments.refund(charge="c", amount=EUR).because("it was returned")  # mypy run
    return done()


async def sleep_not_awaited(event: Event[Asked]) -> Outcome:
    sleep(hours(1))  # mypy run
    return done()


async def together_not_awaited(event: Event[Asked]) -> Outcome:
    together(payments.balance(account="a"), payments.balance(account="b"))  # mypy run
    return done()


async def kept_and_never_awaited(event: Event[Asked]) -> Outcome:
    refund = payments.refund(charge="c", amount=EUR)  # pyright run
    return done()


async def field_of_an_action_not_awaited(event: Event[Asked]) -> Outcome:
    refund = payments.refund(charge="c", amount=EUR)
    return done(refund.id)  # mypy pyright run


async def wrong_expecting_field(event: Event[Asked]) -> Outcome:
    await payments.refund(charge="c", amount=EUR).expecting(state="succeeded")  # run
    return done()


async def wrong_field_of_a_result(event: Event[Asked]) -> Outcome:
    refund = await payments.refund(charge="c", amount=EUR)
    return done(refund.identifier)  # mypy pyright run


async def attempt_used_without_a_look(event: Event[Asked]) -> Outcome:
    refund = await attempt(payments.refund(charge="c", amount=EUR))
    return done(refund.id)  # mypy pyright


async def together_in_the_wrong_order(event: Event[Asked]) -> Outcome:
    balance, refund = await together(payments.refund(charge="c", amount=EUR), payments.balance(account="a"))
    return done(refund.id)  # mypy pyright run


async def together_of_two_for_three(event: Event[Asked]) -> Outcome:
    one, two, three = await together(  # mypy pyright run
        payments.balance(account="a"), payments.balance(account="b")
    )
    return done()


async def wait_for_no_event(event: Event[Asked]) -> Outcome:
    await wait_for(Params, matching={}, within=hours(1))  # mypy pyright run
    return done()


async def wait_for_a_field_that_is_not_there(event: Event[Asked]) -> Outcome:
    await wait_for(Other, matching={"nummer": 1}, within=hours(1))  # run
    return done()


async def wait_for_without_an_end(event: Event[Asked]) -> Outcome:
    await wait_for(Other, matching={"number": 1})  # mypy pyright run
    return done()


async def wrong_field_of_an_event(event: Event[Asked]) -> Outcome:
    return done(event.data.misteak)  # mypy pyright run


async def send_no_event(event: Event[Asked]) -> Outcome:
    await send({"number": 1})  # mypy pyright run
    return done()


async def sleep_a_number(event: Event[Asked]) -> Outcome:
    await sleep(5)  # mypy pyright run
    return done()


async def outcome_is_text(event: Event[Asked]) -> Outcome:
    return "done"  # mypy pyright


async def outcome_is_forgotten(event: Event[Asked]) -> Outcome:  # mypy pyright
    await payments.balance(account="a")


# What is wrong with a handler itself is found when the project loads, too.


def handler_of_another_event() -> None:
    @automation(on=Asked, agent=clerk)  # mypy pyright load
    async def wrong_event(event: Event[Other]) -> Outcome:
        return done()


def handler_with_params_that_are_no_model() -> None:
    @automation(on=Asked, agent=clerk)  # mypy pyright load
    async def wrong_params(event: Event[Asked], params: int) -> Outcome:
        return done()


def handler_that_is_not_async() -> None:
    @automation(on=Asked, agent=clerk)  # mypy pyright load
    def not_async(event: Event[Asked]) -> Outcome:
        return done()


def handler_of_another_outcome() -> None:
    @automation(on=Asked, agent=clerk)  # mypy pyright
    async def wrong_outcome(event: Event[Asked]) -> str:
        return "done"


def handler_of_no_agent() -> None:
    @automation(on=Asked, agent="clerk")  # mypy pyright load
    async def wrong_agent(event: Event[Asked]) -> Outcome:
        return done()
