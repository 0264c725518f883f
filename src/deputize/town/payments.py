"""The payments service: charges, and refunds of them."""

import sqlite3

from fastapi import FastAPI, Response

from deputize.town.service import Effecting, asked, foreseen, service_app
from deputize.town.wire import Charge, Money, Problem, Refund, RefundAsk, Refunds
from deputize.town.world import Effect, World


def payments_app(world: World) -> FastAPI:
    """The application that serves charges and refunds."""
    app = service_app("payments", "Charges and their refunds")

    @app.get("/charges/{charge_id}", operation_id="get_charge")
    async def get_charge(charge_id: str) -> Charge:
        return charge(world, charge_id)

    @app.post("/refunds", operation_id="refund", response_model=Refund)
    async def refund(body: RefundAsk, doing: Effecting) -> Response:
        return doing(lambda: make_refund(world, body, doing.key))

    @app.get("/refunds", operation_id="find_refunds")
    async def find_refunds(
        charge: str | None = None, reference: str | None = None, key: str | None = None
    ) -> Refunds:
        found = world.find("refunds", {"charge": charge, "reference": reference, "key": key})
        return Refunds(refunds=[_refund(row) for row in found])

    @app.get("/refunds/preview", operation_id="preview_refund", response_model=Refund)
    async def preview_refund(
        charge: str, amount_minor: int, currency: str, reference: str | None = None
    ) -> Response:
        """What would come of this refund now; its id is no refund's."""
        amount = {"minor": amount_minor, "currency": currency}
        ask = asked(RefundAsk, charge=charge, amount=amount, reference=reference)
        return foreseen(world, lambda: make_refund(world, ask, None))

    return app


def charge(world: World, charge_id: str) -> Charge:
    """A charge with what was refunded of it. Raises `Problem` (404)."""
    row = world.db.execute("SELECT * FROM charges WHERE id = ?", (charge_id,)).fetchone()
    if row is None:
        raise Problem(404, "no-such-charge", f"there is no charge {charge_id}")
    refunded = world.db.execute(
        "SELECT coalesce(sum(amount_minor), 0) FROM refunds WHERE charge = ?", (charge_id,)
    ).fetchone()[0]
    return Charge(
        id=row["id"],
        amount=Money(minor=row["amount_minor"], currency=row["currency"]),
        refunded=Money(minor=refunded, currency=row["currency"]),
        created_at=row["created_at"],
    )


def make_refund(world: World, ask: RefundAsk, key: str | None) -> Effect:
    """Give money back. Raises `Problem` when there is no such charge or less is left of it."""
    of = charge(world, ask.charge)
    left_minor = of.amount.minor - of.refunded.minor
    if ask.amount.currency != of.amount.currency:
        raise Problem(422, "other-currency", f"{of.id} was charged in {of.amount.currency}")
    if not 0 < ask.amount.minor <= left_minor:
        raise Problem(422, "amount-too-large", f"{left_minor} of {of.id} is left to refund (minor units)")
    row = world.db.execute(
        "INSERT INTO refunds (charge, amount_minor, currency, reference, key, created_at)"
        " VALUES (?,?,?,?,?,?) RETURNING *",
        (of.id, ask.amount.minor, ask.amount.currency, ask.reference, key, world.now()),
    ).fetchone()
    return Effect(_refund(row), resource=of.id, amount=ask.amount, reference=ask.reference, new=True)


def _refund(row: sqlite3.Row) -> Refund:
    return Refund(
        id=f"re-{row['seq']:06}",
        charge=row["charge"],
        amount=Money(minor=row["amount_minor"], currency=row["currency"]),
        status="succeeded",
        reference=row["reference"],
        key=row["key"],
        created_at=row["created_at"],
    )
