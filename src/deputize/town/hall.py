"""The town hall: faults, book, access log, letters, feed, expected outcomes.

Whoever is practising never sees it.
"""

from collections.abc import Callable
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Query
from pydantic import Field

from deputize.town.book import PAGE_MAX, access_page, book_page, fault_counts, page, summary
from deputize.town.faults import Faults, Rule, demo_profile
from deputize.town.people import PLENTY, Good, person
from deputize.town.pusher import FeedAsk, Pusher
from deputize.town.service import service_app
from deputize.town.settling import add_deals, add_people
from deputize.town.shop import order
from deputize.town.stories import DAY_S, Deal
from deputize.town.wire import Order, Problem, Status, Text, Wire
from deputize.town.world import World

After = Annotated[int, Query(ge=0)]
Limit = Annotated[int, Query(ge=1, le=PAGE_MAX)]


class FaultsAsk(Wire):
    """The new rules: a list, or a profile by name."""

    rules: list[Rule] = Field(default_factory=list)
    profile: Literal["demo", "none"] | None = None

    def chosen(self) -> list[Rule]:
        """The rules that are meant."""
        return demo_profile() if self.profile == "demo" else self.rules


class ClockAsk(Wire):
    """How far to put the town's clock ahead, in seconds."""

    ahead_s: float = Field(gt=0)


class Planting(Wire):
    """An order to be planted: one piece of one good, which costs `total_minor` cents."""

    id: Text
    total_minor: int = Field(gt=0)
    charge: Text | None = None
    customer: Text | None = None
    status: Status = "delivered"
    days_since_delivery: int = Field(default=3, ge=0)
    customer_days: int = Field(default=1_000, ge=0)
    ship_country: str = "DE"
    bill_country: str = "DE"
    in_stock: bool = True
    refunded: bool = False
    sent_back: str = ""


def hall_app(
    world: World, seed: int, faults: Faults, pusher: Pusher, clock_moved: Callable[[], None]
) -> FastAPI:
    """The application behind the hall's port."""
    app = service_app("hall", "Faults, book, access log, feed and expected outcomes of the practice town")
    _evidence(app, world)

    @app.get("/faults")
    async def get_faults() -> dict[str, Any]:
        return {"rules": [r.model_dump() for r in faults.rules()], "counts": fault_counts(world)}

    @app.post("/faults")
    async def set_faults(body: FaultsAsk) -> dict[str, Any]:
        faults.set(body.chosen())
        return await get_faults()

    @app.get("/feed")
    async def get_feed() -> dict[str, Any]:
        return pusher.status()

    @app.post("/feed")
    async def start_feed(body: FeedAsk) -> dict[str, Any]:
        return pusher.start(body)

    @app.post("/clock")
    async def move_clock(body: ClockAsk) -> dict[str, str]:
        world.pass_time(body.ahead_s)
        clock_moved()
        return {"now": world.now()}

    @app.post("/orders")
    async def plant_order(body: Planting) -> Order:
        return plant(world, seed, body)

    return app


def _evidence(app: FastAPI, world: World) -> None:
    @app.get("/book")
    async def get_book(after: After = 0, limit: Limit = 1_000) -> dict[str, Any]:
        return book_page(world, after, limit)

    @app.get("/book/summary")
    async def get_summary() -> dict[str, Any]:
        return summary(world)

    @app.get("/access")
    async def get_access(after: After = 0, limit: Limit = 1_000) -> dict[str, Any]:
        return access_page(world, after, limit)

    @app.get("/letters")
    async def get_letters(after: After = 0, limit: Limit = 100) -> dict[str, Any]:
        """What the post office has taken in."""
        return page(world, "SELECT * FROM letters", after, limit)

    @app.get("/posts")
    async def get_posts(after: After = 0, limit: Limit = 100) -> dict[str, Any]:
        """What was posted to the chat's webhooks."""
        return page(world, "SELECT * FROM posts", after, limit)

    @app.get("/expected")
    async def get_expected(after: After = 0, limit: Limit = 1_000) -> dict[str, Any]:
        # What belongs to one story has one number.
        charge = "'ch' || substr(id, 3) AS charge"
        query = f"SELECT seq, id AS event_id, type, outcome, refund_minor, mail, {charge} FROM events"
        return page(world, query, after, limit)


def plant(world: World, seed: int, ask: Planting) -> Order:
    """Put one order, its charge, its customer and its product into the town. Raises `Problem` (409)."""
    if world.db.execute("SELECT 1 FROM orders WHERE id = ?", (ask.id,)).fetchone():
        raise Problem(409, "planted-already", f"there is an order {ask.id}")
    now_s = world.now_s()
    delivered_s = now_s - (ask.days_since_delivery + 0.01) * DAY_S if ask.status == "delivered" else None
    who = ask.customer or f"c-{ask.id}"
    good = Good(f"sku-{ask.id}", "A planted good", ask.total_minor, PLENTY if ask.in_stock else 0)
    deal = Deal(
        ask.id,
        who,
        ask.charge or f"ch-{ask.id}",
        ((good, 1),),
        ask.status,
        (delivered_s or now_s) - DAY_S,
        delivered_s,
        ask.ship_country,
        ask.bill_country,
        ask.refunded,
        ask.sent_back,
    )
    with world.transaction():
        if world.db.execute("SELECT 1 FROM charges WHERE id = ?", (deal.charge,)).fetchone():
            raise Problem(409, "planted-already", f"there is a charge {deal.charge}")
        if not world.db.execute("SELECT 1 FROM customers WHERE id = ?", (who,)).fetchone():
            add_people(world, [person(seed, who, now_s - ask.customer_days * DAY_S)])
        world.db.execute(
            "INSERT OR IGNORE INTO products VALUES (?,?,?,'EUR',?)",
            (good.sku, good.name, good.price_minor, good.stock),
        )
        add_deals(world, [deal])
    return order(world, ask.id)
