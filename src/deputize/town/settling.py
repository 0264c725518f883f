"""Settling people and orders in the town: its history when it is founded, and what the feed brings."""

import json
from collections.abc import Iterable
from random import Random

from deputize.town.people import CURRENCY, Person, goods, person
from deputize.town.stories import DAY_S, Deal, basket, pick
from deputize.town.wire import iso
from deputize.town.world import World

HISTORY = {"delivered": 70, "shipped": 10, "placed": 6, "released": 6, "held": 3, "cancelled": 5}


def found(world: World, seed: int, customers: int) -> None:
    """Found the town, once: products, customers of long standing, and one to six orders for each."""
    if world.meta("seed") is not None:
        return
    now_s = world.now_s()
    every = goods(seed)
    stocked = [good for good in every if good.stock]
    with world.transaction():
        world.db.executemany(
            "INSERT INTO products VALUES (?,?,?,?,?)",
            [(good.sku, good.name, good.price_minor, CURRENCY, good.stock) for good in every],
        )
        order_no = 0
        for no in range(1, customers + 1):
            rng = Random(f"{seed}:history:{no}")
            who = person(seed, f"c-{no:06}", now_s - rng.uniform(120, 1500) * DAY_S)
            add_people(world, [who])
            for _ in range(rng.choice((1, 1, 2, 2, 3, 4, 6))):
                order_no += 1
                status = pick(rng, HISTORY)
                delivered_s = now_s - rng.uniform(2, 100) * DAY_S if status == "delivered" else None
                placed_s = (delivered_s or now_s) - rng.uniform(0.1, 6) * DAY_S
                deal = Deal(
                    f"o-{order_no:06}",
                    who.id,
                    f"ch-{order_no:06}",
                    basket(rng, stocked, 1_200, 200_000),
                    status,
                    placed_s,
                    delivered_s,
                    who.country,
                    who.country,
                    refunded=status == "cancelled" or (status == "delivered" and rng.random() < 0.08),
                )
                add_deals(world, [deal])
        world.set_meta("seed", str(seed))
        world.set_meta("customers", str(customers))


def add_people(world: World, people: Iterable[Person]) -> None:
    """Let people be customers."""
    world.db.executemany(
        "INSERT INTO customers VALUES (?,?,?,?,?,?)",
        [(p.id, p.name, p.email, p.address, p.country, iso(p.since_s)) for p in people],
    )


def add_deals(world: World, deals: Iterable[Deal]) -> None:
    """Let orders be: each with its charge to the cent, and with its refund where it had one."""
    for deal in deals:
        tracking = (
            f"TRK{deal.id.upper().replace('-', '')}" if deal.status in ("shipped", "delivered") else None
        )
        world.db.execute(
            "INSERT INTO orders VALUES (?,?,?,?,?,?,?,NULL,NULL,?,?,?,?,?)",
            (
                deal.id,
                deal.customer,
                deal.charge,
                deal.total_minor,
                CURRENCY,
                json.dumps([(good.sku, qty, good.price_minor) for good, qty in deal.items]),
                deal.status,
                iso(deal.placed_s),
                None if deal.delivered_s is None else iso(deal.delivered_s),
                deal.ship_country,
                deal.bill_country,
                tracking,
            ),
        )
        charged = (deal.charge, deal.total_minor, CURRENCY, iso(deal.placed_s))
        world.db.execute("INSERT INTO charges VALUES (?,?,?,?)", charged)
        if deal.sent_back:
            world.db.execute(
                "INSERT INTO returns (order_id, reason, created_at) VALUES (?,?,?)",
                (deal.id, deal.sent_back, world.now()),
            )
        if deal.refunded:
            world.db.execute(
                "INSERT INTO refunds (charge, amount_minor, currency, opening, created_at)"
                " VALUES (?,?,?,1,?)",
                (deal.charge, deal.total_minor, CURRENCY, world.now()),
            )
