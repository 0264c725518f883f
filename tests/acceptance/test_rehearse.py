"""`deputize rehearse` over the example shop: what would come of events, and that nothing of it is done."""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from deputize.town import Town
from tests.support.command import deputize, edit, served
from tests.support.lived import Lived, lived, only_asked
from tests.town.calling import eventually

AUTOMATIONS = {
    "handle_return": "shop.return.requested",
    "triage_order": "shop.order.placed",
    "handle_damage": "shop.damage.reported",
    "where_is_my_order": "shop.message.received",
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lived]:
    with lived(tmp_path_factory.mktemp("lived"), 120) as it:
        yield it


@pytest.fixture
def copy(shop: Lived, tmp_path: Path) -> Lived:
    """The same with a project that may be changed."""
    return shop.copy(tmp_path)


@contextmanager
def sink() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """An address that takes events in and does nothing about them."""
    events: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            events.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(202)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/", events
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def tomorrow(town: Town, folder: Path, name: str) -> dict[str, Path]:
    """A day of the feed that nobody has answered yet: a file of events for each automation."""
    with sink() as (url, events):
        town.feed(url, days=1, per_day=60, name=name)
        eventually(lambda: town.feed_status()["done"], "the feed to be done")
    by_type: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
    for event in events:
        by_type[event["type"]][event["id"]] = event
    files = {}
    for automation, type in AUTOMATIONS.items():
        assert by_type[type], f"the day has no {type}"
        files[automation] = folder / f"{automation}.jsonl"
        files[automation].write_text("\n".join(json.dumps(event) for event in by_type[type].values()))
    return files


# -- nothing is done -----------------------------------------------------------------------------------


def test_a_day_of_events_is_rehearsed_without_an_effect(shop: Lived, tmp_path: Path) -> None:
    files = tomorrow(shop.town, tmp_path, "tomorrow")
    with only_asked(shop) as requests:
        told = {name: shop.rehearse(name, "--event", str(file)) for name, file in files.items()}
    previews = [row for row in requests if str(row["operation"]).startswith("preview_")]
    assert len(requests) > 60 and len(previews) > 20
    for name, file in files.items():
        assert told[name]["events"] == len(file.read_text().splitlines())
        assert told[name]["untold"] == 0 and told[name]["differ"] is None
    expected = {row["event_id"]: row for row in shop.town.expected()}
    for one in (one for name in files for one in told[name]["told"]):
        wanted = expected[one["event"]["id"]]
        assert one["end"] == f"done({wanted['outcome']})"
        assert one["money"] == ({"EUR": wanted["refund_minor"]} if wanted["refund_minor"] else {})


def test_the_last_events_are_rehearsed_without_an_effect_and_without_a_request(shop: Lived) -> None:
    with only_asked(shop) as requests:
        for name in AUTOMATIONS:
            told = shop.rehearse(name, "--last", "1000")
            assert told["events"] == len(shop.runs(name)) > 5
            assert told["differ"] == {"same": told["events"]}
            assert all(a["how"] in ("as recorded", "") for one in told["told"] for a in one["actions"])
    assert requests == []


def test_the_last_few_are_the_latest(shop: Lived) -> None:
    told = shop.rehearse("triage_order", "--last", "3")
    latest = sorted(shop.runs("triage_order"), key=lambda run: run.no)[-3:]
    assert [one["run"] for one in told["told"]] == [run.id for run in latest]


def test_a_rehearsal_beside_the_running_project_has_no_effect_either(copy: Lived, tmp_path: Path) -> None:
    files = tomorrow(copy.town, tmp_path, "beside")
    with served(copy.project):
        with only_asked(copy):
            assert copy.rehearse("handle_return", "--last", "20")["differ"] == {"same": 20}
            new = copy.rehearse("handle_return", "--event", str(files["handle_return"]))
        assert new["untold"] == 0


def test_what_it_costs_people_and_money_is_told(shop: Lived, tmp_path: Path) -> None:
    shop.town.plant("dear", 18_000)
    event = tmp_path / "event.json"
    event.write_text(
        json.dumps(
            {
                "specversion": "1.0",
                "source": "/test",
                "id": "e-1",
                "type": "shop.return.requested",
                "data": {"order_id": "dear"},
            },
            indent=2,
        )
    )
    said = deputize(shop.project, "rehearse", "handle_return", "--event", str(event))
    assert said.code == 0, said.err
    assert "e-1 from /test: would end done(refunded)" in said.out
    assert "wait for finance; as if approved: be done  180.00 EUR" in said.out
    assert "Refunds over 150 euros wait for a person" in said.out
    assert "books.is_due agrees (now)" in said.out
    assert "1 event of handle_return rehearsed, and nothing done: 1 done(refunded)." in said.out
    assert "Money that would move: 180.00 EUR (180.00 EUR of it waits for people)." in said.out
    refused = shop.rehearse("handle_return", "--event", str(event), "--as-refused")
    assert refused["ends"] == {"done(over-limit)": 1} and refused["money"] == {}


# -- how it differs ------------------------------------------------------------------------------------


def kinds(told: dict[str, Any]) -> dict[str, int]:
    assert told["differ"] is not None
    return {kind: n for kind, n in told["differ"].items() if kind != "same"}


def refunds(shop: Lived, automation: str, low: int, high: int) -> int:
    """How many refunds really were made, of more and of at most so many cents."""
    told = shop.rehearse(automation, "--last", "1000")
    moved = [a["money"]["minor"] for one in told["told"] for a in one["actions"] if a["money"]]
    return sum(low < minor <= high for minor in moved)


def test_a_stricter_rule_is_told_by_what_would_now_ask(copy: Lived) -> None:
    unasked = refunds(copy, "handle_return", 1_000, 15_000)
    assert unasked
    edit(copy.project / "rules" / "refunds.toml", '"150.00 EUR"', '"10.00 EUR"')
    edit(copy.project / "rules" / "refunds.toml", "over 150 euros", "over 10 euros")
    with only_asked(copy):
        told = copy.rehearse("handle_return", "--last", "1000")
    assert kinds(told) == {"now_asks": unasked}
    said = deputize(copy.project, "rehearse", "handle_return", "--last", "1000")
    assert f"the same; now asks people {unasked}." in said.out
    assert "now asks people: payments.refund waits for finance (then: done)" in said.out


def test_a_lower_limit_is_told_by_what_would_now_be_refused(copy: Lived) -> None:
    above = refunds(copy, "handle_return", 5_000, 100_000)
    assert above
    edit(copy.project / "rules" / "refunds.toml", '"1000.00 EUR"', '"50.00 EUR"')
    with only_asked(copy):
        told = copy.rehearse("handle_return", "--last", "1000")
    found = kinds(told)
    assert found["now_refused"] >= found["other_end"] >= above
    assert all(minor <= 5_000 for one in told["told"] for minor in one["money"].values())


def test_a_rule_that_is_gone_is_told_by_what_it_no_longer_refuses(copy: Lived) -> None:
    edit(copy.project / "rules" / "refunds.toml", '"1000.00 EUR"', '"100000.00 EUR"')
    told = copy.rehearse("handle_return", "--last", "1000")
    assert kinds(told)["no_longer_refused"] >= 1 and kinds(told)["other_end"] >= 1
    moved = [
        a for one in told["told"] for a in one["actions"] if a["money"] and a["money"]["minor"] > 100_000
    ]
    assert moved and all(a["how"] == "foretold" for a in moved)


def test_a_smaller_budget_is_used_up_by_the_events_before(copy: Lived) -> None:
    edit(copy.project / "agents.py", '"900000.00 EUR"', '"200.00 EUR"')
    told = copy.rehearse("handle_return", "--last", "1000")
    assert kinds(told)["now_refused"] >= 1
    assert 0 < told["money"]["EUR"] <= 20_000
    reasons = [a["reason"] for one in told["told"] for a in one["actions"] if a["would"] == "refused"]
    assert any('refunds for returns and damage" has' in reason for reason in reasons)


def test_a_new_count_counts_the_events_before(copy: Lived) -> None:
    rules = copy.project / "rules" / "refunds.toml"
    rules.write_text(
        rules.read_text()
        + '\n[[rule]]\ntitle = "Two refunds a day"\noperation = "payments.refund"\n'
        + 'at_most = { times = 2, per = "day" }\n'
    )
    told = copy.rehearse("handle_return", "--last", "1000")
    assert sum("EUR" in one["money"] for one in told["told"]) == 2
    assert kinds(told)["now_refused"] >= 3


def test_changed_code_is_told_by_its_other_arguments_and_ends(copy: Lived) -> None:
    made = refunds(copy, "handle_return", 0, 100_000)
    giving = copy.project / "automations" / "_giving_back.py"
    edit(giving, "amount=order.total", 'amount=order.total - Money.parse("0.01 EUR")')
    edit(giving, "from deputize import ActionError", "from deputize import Money, ActionError")
    with only_asked(copy):
        told = copy.rehearse("handle_return", "--last", "1000")
    assert kinds(told)["other_arguments"] >= made
    (args,) = [
        one["differences"] for one in told["told"] if one["differences"] and one["end"] == "done(refunded)"
    ][:1]
    assert args[0]["what"] == "payments.refund" and "amount" in args[0]["now"]
    edit(copy.project / "automations" / "returns.py", 'done("declined")', 'done("too-late")')
    assert kinds(copy.rehearse("handle_return", "--last", "1000"))["other_end"] >= 1


def test_a_changed_parameter_is_rehearsed_too(copy: Lived) -> None:
    edit(copy.project / "deputize.toml", "window_days = 30", "window_days = 0")
    told = copy.rehearse("handle_return", "--last", "1000")
    assert set(told["ends"]) <= {
        "done(declined)",
        "done(not-delivered)",
        "done(already-refunded)",
        "done(refunded)",
    }
    found = kinds(told)
    assert found["other_end"] >= 1 and found["not_any_more"] >= 1


def test_code_that_fails_and_code_that_does_what_it_may_not_are_told_as_live(copy: Lived) -> None:
    returns = copy.project / "automations" / "returns.py"
    edit(
        returns,
        "    if order.days_since_delivery is None:",
        "    open('/tmp/x')\n    if order.status is None:",
    )
    told = copy.rehearse("handle_return", "--last", "5")
    assert told["ends"] == {"failed": 5}
    (reason,) = {one["reason"] for one in told["told"]}
    assert "returns.py:" in reason and "the automation opened a file; it may act on the world only" in reason


def test_code_that_holds_is_stuck_and_the_rest_goes_on(copy: Lived) -> None:
    returns = copy.project / "automations" / "returns.py"
    held = shopped(copy)[0]
    edit(
        returns,
        "    order = await",
        f"    while event.data.order_id == {held!r}:\n        pass\n    order = await",
    )
    told = copy.rehearse("handle_return", "--last", "5")
    assert told["ends"].pop("stuck") == 1 and sum(told["ends"].values()) == 4
    (stuck,) = [one for one in told["told"] if one["came"] == "stuck"]
    assert "held its thread for more than 1 second" in stuck["reason"] and "returns.py:" in stuck["reason"]
    assert [d["kind"] for d in stuck["differences"]] == ["other_end"]


def test_code_that_keeps_the_interpreter_is_ended_with_its_line(copy: Lived) -> None:
    returns = copy.project / "automations" / "returns.py"
    edit(returns, "    order = await", "    sum(range(10**13))\n    order = await")
    done = deputize(copy.project, "rehearse", "handle_return", "--last", "5", "--within-s", "6")
    assert done.code == 1
    assert "automations/returns.py:" in done.err and "still rehearsing event" in done.err
    assert "so it was ended" in done.err and len(done.err.splitlines()) == 1


def shopped(it: Lived) -> list[str]:
    """The orders of the last five returns."""
    return [one["event"]["subject"] for one in it.rehearse("handle_return", "--last", "5")["told"]]
