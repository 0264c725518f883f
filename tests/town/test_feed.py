"""The feed: what it tells, and that all of it arrives whatever happens to either side."""

import json
import sqlite3
import threading
import time
from collections import Counter
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from deputize.town import Town, TownError, feed
from tests.town.calling import Caller, eventually


class Receiver:
    """Takes in events; `refuse` says how the nth request is answered instead (a status), or None."""

    def __init__(self, refuse: dict[int, int] | None = None) -> None:
        self.events: list[dict[str, Any]] = []
        self.refuse = refuse or {}
        self.requests = 0
        self.times: list[tuple[float, int]] = []
        self.retry_after = "0.1"
        self.marks: dict[int, threading.Event] = {}
        self.lock = threading.Lock()
        self.port = 0

    def open(self) -> str:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = receiver.take(body, self.headers["Content-Type"])
                self.send_response(status)
                self.send_header("Content-Length", "0")
                receiver.times.append((time.monotonic(), status))
                if status in (429, 503):
                    self.send_header("Retry-After", receiver.retry_after)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self.thread.start()
        return f"http://127.0.0.1:{self.port}/v1/events"

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def take(self, body: bytes, content_type: str) -> int:
        with self.lock:
            self.requests += 1
            refused = self.refuse.get(self.requests)
            if refused:
                return refused
            assert content_type == "application/cloudevents+json"
            self.events.append(json.loads(body))
            mark = self.marks.get(len(self.events))
            if mark:
                mark.set()
            return 202

    def after(self, count: int) -> threading.Event:
        """Set once so many events have come."""
        return self.marks.setdefault(count, threading.Event())

    def ids(self) -> list[str]:
        return [event["id"] for event in self.events]


def test_every_event_arrives_once_accepted_though_the_receiver_is_busy(own_town: Town) -> None:
    receiver = Receiver({3: 429, 4: 429, 40: 503, 90: 500, 91: 404})
    url = receiver.open()
    try:
        own_town.feed(url, events=150)
        eventually(lambda: own_town.feed_status()["done"], "the feed to be done")
    finally:
        receiver.close()
    status = own_town.feed_status()
    expected = [row["event_id"] for row in own_town.expected()]
    assert set(receiver.ids()) == set(expected)
    assert (status["total"], status["accepted"], status["remaining"]) == (150, 150, 0)
    assert len(receiver.ids()) == 150 + status["duplicates"] > 150
    assert 0.03 < _strayed(own_town) < 0.3, "some come slightly out of order"


def _strayed(town: Town) -> float:
    """The share of first sendings that a later event overtakes, by a few places at most."""
    db = sqlite3.connect(town.dir / "town.sqlite")
    order = [row[0] for row in db.execute("SELECT event FROM sendings WHERE NOT duplicate ORDER BY place")]
    db.close()
    strays = [place - event for place, event in enumerate(order, start=1) if place != event]
    assert all(abs(stray) <= 5 for stray in strays)
    return len([stray for stray in strays if stray > 0]) / len(order)


def test_while_the_receiver_asks_for_quiet_there_is_quiet(own_town: Town) -> None:
    receiver = Receiver({5: 429})
    receiver.retry_after = "0.8"
    try:
        own_town.feed(receiver.open(), events=30)
        eventually(lambda: own_town.feed_status()["done"], "the feed to be done")
    finally:
        receiver.close()
    refused = next(at for at, status in receiver.times if status == 429)
    # What was under way when it asked may still come in.
    assert not [at for at, _ in receiver.times if 0.3 < at - refused < 0.7]
    assert receiver.times[-1][0] - refused >= 0.7


def test_the_feed_goes_on_where_it_was_when_either_side_was_killed(own_town: Town) -> None:
    receiver = Receiver({20: 429})
    half, more = receiver.after(60), receiver.after(120)
    url = receiver.open()
    try:
        own_town.feed(url, events=200, per_second=400)
        assert half.wait(10)
        own_town.kill()
        own_town.again()
        assert more.wait(10)
        receiver.close()
        receiver.open()
        eventually(lambda: own_town.feed_status()["done"], "the feed to be done")
    finally:
        receiver.close()
    expected = [row["event_id"] for row in own_town.expected()]
    assert len(expected) == 200
    assert set(receiver.ids()) == set(expected)


def test_a_feed_can_go_on_to_another_address_but_not_with_another_amount(own_town: Town) -> None:
    own_town.feed("http://127.0.0.1:9/nobody", events=20)
    with pytest.raises(TownError, match="other-amount"):
        own_town.feed("http://127.0.0.1:9/nobody", events=30)
    with pytest.raises(TownError, match="feed-unfinished"):
        own_town.feed("http://127.0.0.1:9/nobody", events=30, name="second")
    receiver = Receiver()
    try:
        own_town.feed(receiver.open(), events=20)
        eventually(lambda: own_town.feed_status()["done"], "the feed to be done")
        assert own_town.feed(f"http://127.0.0.1:{receiver.port}/", events=20)["done"], "done stays done"
        own_town.feed(f"http://127.0.0.1:{receiver.port}/", events=30, name="second")
        eventually(lambda: own_town.feed_status()["done"], "the second feed to be done")
    finally:
        receiver.close()
    assert len(set(receiver.ids())) == 50


def test_what_is_refused_for_good_is_shown_and_stops_nothing(own_town: Town) -> None:
    receiver = Receiver({5: 400})
    try:
        own_town.feed(receiver.open(), events=10)
        eventually(lambda: own_town.feed_status()["done"], "the feed to be done")
    finally:
        receiver.close()
    status = own_town.feed_status()
    assert (status["accepted"] + status["rejected"], status["remaining"]) == (10, 0)


def test_the_same_seed_tells_the_same_stories_and_another_seed_others() -> None:
    first, again, other = (list(feed(seed, events=200)) for seed in (7, 7, 8))
    assert first == again
    assert [e.envelope()["data"] for e in first] != [e.envelope()["data"] for e in other]


def test_the_mix_is_believable_and_every_outcome_occurs() -> None:
    events = list(feed(7, days=25))
    types = Counter(event.type for event in events)
    share = {name: count / len(events) for name, count in types.items()}
    assert share["shop.order.placed"] == pytest.approx(0.40, abs=0.03)
    assert share["shop.return.requested"] == pytest.approx(0.25, abs=0.03)
    assert share["shop.damage.reported"] == pytest.approx(0.10, abs=0.03)
    assert share["shop.message.received"] == pytest.approx(0.15, abs=0.03)
    assert share["shop.mail.received"] == pytest.approx(0.10, abs=0.03)
    assert len({(event.type, event.expected.outcome) for event in events}) == 21
    times = [event.at_s for event in events]
    assert times == sorted(times)


def test_a_second_request_comes_well_after_the_first_and_says_so() -> None:
    events = list(feed(7, events=3000))
    places = {event.id: place for place, event in enumerate(events)}
    seconds = [event for event in events if "earlier_request" in event.data]
    assert len(seconds) > 20
    for event in seconds:
        first = events[places[event.data["earlier_request"]]]
        assert places[event.id] - places[first.id] >= 20
        assert first.data["order_id"] == event.data["order_id"]
        assert (first.expected.outcome, event.expected.outcome) == ("refunded", "already-refunded")


def test_nothing_of_what_is_expected_is_in_an_event() -> None:
    for event in feed(7, events=500):
        assert set(event.envelope()) == {
            *("specversion", "id", "source", "type", "subject", "time", "datacontenttype", "data")
        }
        assert event.expected.outcome not in json.dumps(event.data)


@pytest.mark.parametrize("amount", [{}, {"days": 1, "events": 1}, {"events": 0}, {"events": 200_001}])
def test_a_feed_of_no_or_too_many_events_is_refused(amount: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"(a feed has|either days)"):
        list(feed(7, **amount))  # type: ignore[arg-type]


def test_what_the_services_answer_leads_to_what_is_expected(tmp_path: Path) -> None:
    """A shop assistant in twenty lines, who knows only events and services, reaches every outcome."""
    receiver = Receiver()
    with Town.start(tmp_path / "town", customers=30) as town:
        try:
            town.feed(receiver.open(), events=400)
            eventually(lambda: town.feed_status()["done"], "the feed to be done")
        finally:
            receiver.close()
        call = Caller(town)
        events = {event["id"]: event for event in receiver.events}
        wrong = [
            (row, events[row["event_id"]])
            for row in town.expected()
            if assistant(call, events[row["event_id"]]) != row["outcome"]
        ]
        call.client.close()
        figures = town.summary()
        due = sum(row["refund_minor"] for row in town.expected())
    assert wrong == []
    assert figures["refunded_minor"] == figures["refunded_in_state_minor"] == {"EUR": due}


def assistant(call: Caller, event: dict[str, Any]) -> str:
    """Handles one event by the shop's rules; the money it gives back is really given back."""
    data = event["data"]
    if event["type"] == "shop.message.received":
        if "order_id" in data:
            return (
                "answered" if call.get("shop", f"/orders/{data['order_id']}").is_success else "unknown-order"
            )
        orders = call.get("shop", "/orders", customer=data["customer"]).json()["orders"]
        return "answered" if len(orders) == 1 else "unknown-order"
    if event["type"] == "shop.mail.received":
        return _read(call, event)
    order = call.get("shop", f"/orders/{data['order_id']}").json()
    minor = order["total"]["minor"]
    if event["type"] == "shop.order.placed":
        return _place(call, event, order, minor)
    if event["type"] == "shop.damage.reported":
        if data["photo"] is None:
            return "asked-for-photo"
        again = {"order_id": order["id"], "skus": [data["sku"]]}
        if call.post("shop", "/replacements", again, key=event["id"]).is_success:
            return "replaced"
        return "refunded" if call.refund(order["charge"], minor, key=event["id"]).is_success else "?"
    return _give_back(call, event, order)


def _give_back(call: Caller, event: dict[str, Any], order: dict[str, Any]) -> str:
    if order["delivered_at"] is None:
        return "not-delivered"
    if call.refunded(order["charge"]):
        return "already-refunded"
    if order["days_since_delivery"] > 30:
        return "declined"
    minor = order["total"]["minor"]
    if minor > 100_000:
        return "over-limit"
    return "refunded" if call.refund(order["charge"], minor, key=event["id"]).is_success else "?"


def _read(call: Caller, event: dict[str, Any]) -> str:
    """Believes the shop's records, and of the mail only what they do not say."""
    text = event["data"]["text"]
    if any(word in text for word in ("charge ch-", "order o-", "@", "check", "the date")):
        return "passed-on"
    [order] = call.get("shop", "/orders", customer=event["data"]["customer"]).json()["orders"]
    if call.get("shop", "/returns", order_id=order["id"]).json()["returns"]:
        return _give_back(call, event, order)
    if order["status"] == "placed":
        call.post("shop", f"/orders/{order['id']}/cancel", {"reason": "as asked"}, key=event["id"])
        paid = call.refund(order["charge"], order["total"]["minor"], key=event["id"])
        return "cancelled" if paid.is_success else "?"
    if order["status"] == "shipped":
        return "answered"
    broken = ("broken", "scratch", "missing", "cracked", "pieces")
    return "asked-for-photo" if any(word in text for word in broken) else "noted"


def _place(call: Caller, event: dict[str, Any], order: dict[str, Any], minor: int) -> str:
    stocks = [call.get("shop", f"/products/{item['sku']}").json()["stock"] for item in order["items"]]
    if 0 in stocks:
        call.post("shop", f"/orders/{order['id']}/cancel", {"reason": "sold out"}, key=event["id"])
        return "cancelled" if call.refund(order["charge"], minor, key=event["id"]).is_success else "?"
    since = call.get("shop", f"/customers/{order['customer']}").json()["since"]
    young = _days(since, event["time"]) < 30
    if (order["ship_country"] != order["bill_country"] and minor > 30_000) or (young and minor > 50_000):
        held = call.post("shop", f"/orders/{order['id']}/hold", {"reason": "look"}, key=event["id"])
        return str(held.json()["status"])
    return str(call.post("shop", f"/orders/{order['id']}/release", key=event["id"]).json()["status"])


def _days(since: str, until: str) -> float:
    return (datetime.fromisoformat(until) - datetime.fromisoformat(since)).total_seconds() / 86_400
