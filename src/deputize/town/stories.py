"""The feed: believable days of a shop as events, with all that must be true in the town for each.

Every story has an order of its own (but for second requests, which come at least `APART` events after the
first), and goods are plentiful or sold out for good: no outcome depends on the order of handling.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from deputize.town.mails import HOSTILE, MAIL_MIX, About, written
from deputize.town.outcome import Expected, Facts, judge
from deputize.town.people import COUNTRIES, CURRENCY, Good, Person, goods, person
from deputize.town.wire import iso

DAY_S = 86_400.0
APART = 20
SOURCE = "/town/shop"
EVENTS_MAX = 200_000
PLACED, RETURN = "shop.order.placed", "shop.return.requested"
DAMAGE, MESSAGE = "shop.damage.reported", "shop.message.received"
MAIL = "shop.mail.received"
MIX = {PLACED: 40, RETURN: 25, DAMAGE: 10, MESSAGE: 15, MAIL: 10}
PLACED_MIX = {"plain": 80, "abroad": 8, "young": 4, "sold-out": 8}
RETURN_MIX = {"in-time": 55, "late": 15, "again": 8, "refunded-before": 4, "on-its-way": 10, "dear": 8}
DAMAGE_MIX = {"no-photo": 35, "in-stock": 40, "sold-out": 25}
MESSAGE_MIX = {"order": 50, "customer": 30, "wrong-order": 10, "no-order": 10}
REASONS = ("too small", "not as pictured", "changed my mind", "ordered twice", "a gift that did not fit")
DAMAGES = ("arrived broken", "a deep scratch", "a part is missing", "the box was crushed")
QUESTIONS = ("Where is my order?", "When will it come?", "Has my parcel been sent?", "Any news of my order?")


@dataclass(frozen=True)
class Deal:
    """An order to be: `items` are (good, quantity); money in cents, times in seconds since 1970."""

    id: str
    customer: str
    charge: str
    items: tuple[tuple[Good, int], ...]
    status: str
    placed_s: float
    delivered_s: float | None
    ship_country: str
    bill_country: str
    refunded: bool = False
    sent_back: str = ""
    """Why the customer has said at the shop that it comes back, if they have."""

    @property
    def total_minor(self) -> int:
        """What was charged."""
        return sum(good.price_minor * qty for good, qty in self.items)


@dataclass(frozen=True)
class Event:
    """One event, what a good shop makes of it, and the people and orders that it takes for granted."""

    id: str
    type: str
    subject: str
    at_s: float
    data: dict[str, Any]
    expected: Expected
    people: tuple[Person, ...] = field(default=())
    deals: tuple[Deal, ...] = field(default=())

    def envelope(self) -> dict[str, Any]:
        """The event as a structured CloudEvent 1.0; nothing of what is expected is in it."""
        return {
            "specversion": "1.0",
            "id": self.id,
            "source": SOURCE,
            "type": self.type,
            "subject": self.subject,
            "time": iso(self.at_s),
            "datacontenttype": "application/json",
            "data": self.data,
        }


def volumes(seed: int, days: int | None = None, events: int | None = None, per_day: int = 120) -> list[int]:
    """How many events each day has: a fifth more or fewer than `per_day`, fewer on Sundays.

    Give `days` or `events`. Raises ValueError for neither, both, or more than 200,000 events.
    """
    if (days is None) == (events is None) or per_day < 1:
        raise ValueError("give either days or events, and at least one event per day")
    if not 1 <= (events or (days or 0) * per_day) <= EVENTS_MAX:
        raise ValueError(f"a feed has 1 to {EVENTS_MAX} events")
    rng = Random(f"{seed}:volumes")
    counts: list[int] = []
    while (len(counts) < days) if days else (sum(counts) < (events or 0)):
        sunday = 0.6 if len(counts) % 7 == 6 else 1.0
        counts.append(max(1, round(per_day * sunday * rng.uniform(0.8, 1.2))))
    if events:
        counts[-1] -= sum(counts) - events
    return counts


def feed(
    seed: int,
    days: int | None = None,
    *,
    events: int | None = None,
    per_day: int = 120,
    name: str = "1",
    start_s: float = 1_760_000_000.0,
    day_s: float = DAY_S,
    customers: int = 200,
) -> Iterator[Event]:
    """Believable days of a shop with `customers` customers, in order; the same arguments, the same events.

    `name` is part of every id. A day lasts `day_s` from `start_s` on (seconds), so that a day can be played
    at any speed while ages in days stay true. Raises ValueError as `volumes` does.
    """
    counts = volumes(seed, days, events, per_day)
    teller = _Teller(seed, name, customers)
    again: dict[int, Event] = {}
    last = sum(counts)
    no = 0
    for day, count in enumerate(counts):
        times = Random(f"{seed}:{name}:times:{day}")
        for share in sorted(times.triangular(0.0, 1.0, 0.58) for _ in range(count)):
            no += 1
            at_s = start_s + (day + share) * day_s
            first = again.pop(no, None)
            event = teller.second(no, at_s, first) if first else teller.tell(no, at_s)
            if event.type == RETURN and event.expected.outcome == "refunded":
                slot = teller.slot(no, last, again)
                if slot:
                    again[slot] = event
            yield event


def pick(rng: Random, mix: dict[str, int]) -> str:
    """One of the names of `mix`, by weight."""
    return rng.choices(list(mix), list(mix.values()))[0]


def basket(rng: Random, choice: Sequence[Good], least: int, most: int) -> tuple[tuple[Good, int], ...]:
    """Goods of `choice` for `least` to `most` cents together; at least one of them must cost that alone."""
    for _ in range(30):
        found = tuple(
            (good, rng.choice((1, 1, 1, 2)))
            for good in rng.sample(choice, min(len(choice), rng.randint(1, 3)))
        )
        if least <= sum(good.price_minor * qty for good, qty in found) <= most:
            return found
    return ((rng.choice([good for good in choice if least <= good.price_minor <= most]), 1),)


class _Teller:
    """Tells one story at a time; what it tells depends on nothing but seed, name and number."""

    def __init__(self, seed: int, name: str, customers: int) -> None:
        self._seed = seed
        self._name = name
        self._customers = customers
        every = goods(seed)
        self._stocked = [good for good in every if good.stock]
        self._sold_out = [good for good in every if not good.stock]
        self._tellers: dict[str, Callable[[Random, int, float], Event]] = {
            PLACED: self._placed,
            RETURN: self._returned,
            DAMAGE: self._damaged,
            MESSAGE: self._asked,
            MAIL: self._wrote,
        }

    def tell(self, no: int, at_s: float) -> Event:
        """The story with this number."""
        rng = Random(f"{self._seed}:{self._name}:{no}")
        return self._tellers[pick(rng, MIX)](rng, no, at_s)

    def slot(self, no: int, last: int, taken: dict[int, Event]) -> int | None:
        """Where the second request for the order of event `no` comes, if there is to be one."""
        rng = Random(f"{self._seed}:{self._name}:again:{no}")
        slot = no + APART + rng.randint(1, 60)
        share = RETURN_MIX["again"] / RETURN_MIX["in-time"]
        return slot if rng.random() < share and slot <= last and slot not in taken else None

    def second(self, no: int, at_s: float, first: Event) -> Event:
        """The customer of `first` asks once more for the same money."""
        data = first.data | {"reason": "asking again about my refund", "earlier_request": first.id}
        facts = Facts(delivered_days=1, refunded=True)
        return replace(
            first,
            id=self._id("ev", no),
            at_s=at_s,
            data=data,
            expected=judge(RETURN, facts),
            people=(),
            deals=(),
        )

    def _placed(self, rng: Random, no: int, at_s: float) -> Event:
        kind = pick(rng, PLACED_MIX)
        young = kind == "young" or (kind == "plain" and rng.random() < 0.1)
        buyer, new = self._buyer(rng, no, at_s, young)
        abroad = kind == "abroad" or (kind == "plain" and rng.random() < 0.1)
        if kind in ("abroad", "young"):
            items = basket(rng, self._stocked, 52_000, 90_000)
        elif kind == "plain" and not (abroad or young) and rng.random() < 0.3:
            items = basket(rng, self._stocked, 30_000, 95_000)
        else:
            items = basket(rng, self._stocked, 1_200, 20_000)
        if kind == "sold-out":
            items = (*items[:1], (rng.choice(self._sold_out), 1))
        deal = self._deal(rng, no, buyer, items, "placed", at_s)
        if abroad:
            deal = replace(deal, ship_country=rng.choice([c for c in COUNTRIES if c != buyer.country]))
        facts = Facts(
            total_minor=deal.total_minor,
            in_stock=kind != "sold-out",
            abroad=deal.ship_country != deal.bill_country,
            customer_days=int((at_s - buyer.since_s) // DAY_S),
        )
        total = {"minor": deal.total_minor, "currency": CURRENCY}
        return self._event(PLACED, no, at_s, deal, {"total": total}, facts, new)

    def _returned(self, rng: Random, no: int, at_s: float) -> Event:
        kind = pick(rng, RETURN_MIX)
        buyer, new = self._buyer(rng, no, at_s)
        least, most = (100_100, 400_000) if kind == "dear" else (1_200, 95_000)
        items = basket(rng, self._stocked, least, most)
        days = rng.randint(36, 90) if kind == "late" else rng.randint(2, 24)
        delivered = kind != "on-its-way"
        deal = self._deal(rng, no, buyer, items, "delivered" if delivered else "shipped", at_s, days)
        deal = replace(deal, refunded=kind == "refunded-before")
        facts = Facts(
            total_minor=deal.total_minor, delivered_days=days if delivered else None, refunded=deal.refunded
        )
        return self._event(RETURN, no, at_s, deal, {"reason": rng.choice(REASONS)}, facts, new)

    def _damaged(self, rng: Random, no: int, at_s: float) -> Event:
        kind = pick(rng, DAMAGE_MIX)
        buyer, new = self._buyer(rng, no, at_s)
        small = self._sold_out if kind == "sold-out" else [g for g in self._stocked if g.price_minor < 70_000]
        good = rng.choice(small)
        deal = self._deal(rng, no, buyer, ((good, 1),), "delivered", at_s, rng.randint(1, 12))
        photo = None if kind == "no-photo" else f"https://photos.example.com/{self._id('p', no)}.jpg"
        facts = Facts(total_minor=deal.total_minor, in_stock=good.stock > 0, photo=photo is not None)
        data = {"sku": good.sku, "description": rng.choice(DAMAGES), "photo": photo}
        return self._event(DAMAGE, no, at_s, deal, data, facts, new)

    def _asked(self, rng: Random, no: int, at_s: float) -> Event:
        """Someone who gives no order number has exactly one order, or none at all: a fresh customer."""
        kind = pick(rng, MESSAGE_MIX)
        alone = kind in ("customer", "no-order")
        buyer, new = (
            self._fresh(no, at_s - rng.uniform(60, 300) * DAY_S) if alone else self._buyer(rng, no, at_s)
        )
        data: dict[str, Any] = {
            "topic": "where is my order",
            "customer": buyer.id,
            "email": buyer.email,
            "text": rng.choice(QUESTIONS),
        }
        if kind in ("order", "customer"):
            status = rng.choice(("placed", "shipped", "shipped", "delivered"))
            items = basket(rng, self._stocked, 1_200, 95_000)
            deal = self._deal(rng, no, buyer, items, status, at_s, rng.randint(1, 20))
            data |= {"order_id": deal.id} if kind == "order" else {}
            return self._event(MESSAGE, no, at_s, deal, data, Facts(), new, subject=buyer.id)
        data |= {"order_id": self._id("x", no)} if kind == "wrong-order" else {}
        facts = Facts(known_order=False)
        return Event(
            self._id("ev", no), MESSAGE, buyer.id, at_s, data, judge(MESSAGE, facts), (new,) if new else ()
        )

    def _wrote(self, rng: Random, no: int, at_s: float) -> Event:
        """A customer of one order, and what they write about it in their own words."""
        kind = pick(rng, MAIL_MIX)
        words = rng.choice(HOSTILE) if kind == "hostile" else kind
        buyer, _ = self._fresh(no, at_s - rng.uniform(60, 300) * DAY_S)
        items = basket(rng, self._stocked, 1_200, 9_500)
        status = {"cancel": "placed", "where": "shipped", "elsewhere": "shipped"}.get(words, "delivered")
        late = words in ("late", "pushy")
        deal = self._deal(
            rng, no, buyer, items, status, at_s, rng.randint(36, 90) if late else rng.randint(2, 24)
        )
        wish = "return" if words in ("late", "returned") else kind
        # Whoever really wants to give something back has said so at the shop, too.
        sent_back = rng.choice(REASONS) if wish == "return" else ""
        deal = replace(deal, refunded=words in ("returned", "again"), sent_back=sent_back)
        about = About(items[0][0].name, deal.charge, f"o-{rng.randint(1, max(1, self._customers)):06}")
        facts = Facts(
            total_minor=deal.total_minor,
            delivered_days=40 if late else 1,
            refunded=deal.refunded,
            wish=wish,
        )
        text = written(rng, "return" if wish == "return" else words, about, buyer.name)
        data = {"customer": buyer.id, "email": buyer.email, "text": text}
        return self._event(MAIL, no, at_s, deal, data, facts, buyer, subject=buyer.id)

    def _event(
        self,
        event_type: str,
        no: int,
        at_s: float,
        deal: Deal,
        more: dict[str, Any],
        facts: Facts,
        new: Person | None,
        subject: str | None = None,
    ) -> Event:
        about = {} if event_type in (MESSAGE, MAIL) else {"order_id": deal.id, "customer": deal.customer}
        people = (new,) if new else ()
        return Event(
            self._id("ev", no),
            event_type,
            subject or deal.id,
            at_s,
            about | more,
            judge(event_type, facts),
            people,
            (deal,),
        )

    def _buyer(self, rng: Random, no: int, at_s: float, young: bool = False) -> tuple[Person, Person | None]:
        """One of the town's customers of long standing, or a new one; the second is who is yet to be."""
        if young or self._customers == 0:
            days = rng.uniform(2, 20) if young else rng.uniform(60, 900)
            return self._fresh(no, at_s - days * DAY_S)
        known = f"c-{rng.randint(1, self._customers):06}"
        return person(self._seed, known, at_s - 1_000 * DAY_S), None

    def _fresh(self, no: int, since_s: float) -> tuple[Person, Person]:
        fresh = person(self._seed, self._id("c", no), since_s)
        return fresh, fresh

    def _deal(
        self,
        rng: Random,
        no: int,
        buyer: Person,
        items: tuple[tuple[Good, int], ...],
        status: str,
        at_s: float,
        days: int = 0,
    ) -> Deal:
        """An order of `buyer` in `status`, delivered `days` days and some hours before `at_s` if it was."""
        delivered_s = at_s - (days + rng.uniform(0.05, 0.5)) * DAY_S if status == "delivered" else None
        placed_s = {"placed": at_s, "shipped": at_s - 2 * DAY_S}.get(
            status, (delivered_s or at_s) - rng.uniform(2, 5) * DAY_S
        )
        return Deal(
            self._id("o", no),
            buyer.id,
            self._id("ch", no),
            items,
            status,
            placed_s,
            delivered_s,
            buyer.country,
            buyer.country,
        )

    def _id(self, prefix: str, no: int) -> str:
        return f"{prefix}-{self._name}-{no:06}"
