"""What a contract says of rehearsing an operation, and of reading what it will change."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel

from deputize import Call, Connector, Money
from deputize.call import CallBroken
from deputize.connectors.http import HttpConnection
from deputize.connectors.perform import rehearse
from deputize.connectors.secret import Secrets
from deputize.errors import ContractError
from tests.unit.http_raw_server import http, serving

NONE = Secrets(Path(), {})
ARGS = b'{"amount":{"currency":"EUR","minor":1},"charge":"ch"}'


class Refund(BaseModel):
    id: str


connector = Connector("payments", version="1")


@connector.operation(effect="read")
async def get_charge(call: Call, charge: str) -> Refund:
    return Refund.model_validate_json((await call.get(f"/charges/{charge}")).body)


async def preview(call: Call, charge: str, amount: Money) -> Refund:
    return Refund.model_validate_json((await call.get(f"/refunds/preview/{charge}")).body)


async def sent_all_the_same(call: Call, charge: str, amount: Money) -> Refund:
    return Refund.model_validate_json((await call.post("/refunds")).body)


def refund_with(**terms: object) -> object:
    own = Connector("payments", version="1")

    async def refund(call: Call, charge: str, amount: Money) -> Refund:
        return Refund(id=charge)

    return own.operation(effect="write", risk="money", **terms)(refund)  # type: ignore[arg-type]


async def test_a_rehearsal_gives_the_result_that_the_service_foretells() -> None:
    operation = refund_with(rehearse=preview)
    async with serving([http(200, b'{"id":"re-1"}')]) as server:
        line = HttpConnection("payments", server.base)
        told = await rehearse(operation, line, ARGS, secrets=NONE)  # type: ignore[arg-type]
        await line.aclose()
    assert told == b'{"id":"re-1"}'
    assert [seen.method for seen in server.seen] == ["GET"]


async def test_a_rehearsal_that_would_write_is_stopped_before_anything_is_sent() -> None:
    operation = refund_with(rehearse=sent_all_the_same)
    async with serving([http(200, b'{"id":"re-1"}')]) as server:
        line = HttpConnection("payments", server.base)
        with pytest.raises(CallBroken, match="may only GET"):
            await rehearse(operation, line, ARGS, secrets=NONE)  # type: ignore[arg-type]
        await line.aclose()
    assert server.seen == []


async def test_what_cannot_be_rehearsed_says_so() -> None:
    with pytest.raises(CallBroken, match=r"payments\.refund cannot be rehearsed"):
        await rehearse(refund_with(), None, ARGS, secrets=NONE)  # type: ignore[arg-type]


def test_the_read_of_what_will_change_gets_those_arguments_that_it_takes() -> None:
    operation = refund_with(before=get_charge)
    assert operation.args_before(ARGS) == b'{"charge":"ch"}'  # type: ignore[attr-defined]
    assert operation.contract.before == "payments.get_charge"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("terms", "said"),
    [
        ({"before": refund_with()}, "it must be a read of payments"),
        ({"effect": "read", "rehearse": preview}, "there is nothing to rehearse"),
    ],
)
def test_terms_that_contradict_each_other_are_refused(terms: dict[str, object], said: str) -> None:
    own = Connector("payments", version="1")

    async def refund(call: Call, charge: str, amount: Money) -> Refund:
        return Refund(id=charge)

    with pytest.raises(ContractError, match=said):
        own.operation(**({"effect": "write", "risk": "money"} | terms))(refund)  # type: ignore[arg-type]


def test_a_read_before_that_needs_another_argument_is_told_with_the_nearest_name() -> None:
    own = Connector("payments", version="1")

    @own.operation(effect="read")
    async def get_charge(call: Call, chrage: str) -> Refund:
        return Refund(id=chrage)

    async def refund(call: Call, charge: str, amount: Money) -> Refund:
        return Refund(id=charge)

    with pytest.raises(ContractError, match=r"needs 'chrage'.*did you mean 'charge'"):
        own.operation(effect="write", risk="money", before=get_charge)(refund)
