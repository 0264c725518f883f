"""Every store: events, waits and keys, and the books that the fold keeps."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from deputize.errors import StoreError
from deputize.health import DAY_US
from deputize.ledger import SYSTEM, Draft
from deputize.store.protocol import Hold, Store, Tx
from deputize.testing import entries
from deputize.testing.entries import SteppedClock
from deputize.testing.store_case import Open, StoreCase, body_of, sound

HOLD: Hold = ("refunds a day", 0, 500)


class Books(StoreCase):
    """What the projections say after each entry."""

    async def test_an_event_is_kept_once_for_ever(self, open_store: Open) -> None:
        store = open_store()
        first = await store.write(lambda tx: tx.keep_event(entries.occurrence("e1"), "unanswered"))
        changed = entries.occurrence("e1", {"order": "another"})
        assert await store.write(lambda tx: tx.keep_event(changed, "answered")) is None
        store.close()
        again = open_store()
        assert await again.write(lambda tx: tx.keep_event(changed, "answered")) is None
        assert isinstance(first, int)
        kept = again.read(lambda view: view.event(first))
        assert kept is not None
        assert kept.occurrence.data == b'{"order":"e1"}'
        assert [
            event.seq for event in again.read(lambda v: v.events(after=0, limit=9, state="unanswered"))
        ] == [first]
        await again.write(lambda tx: tx.set_event_state(first, "answered"))
        assert again.read(lambda v: v.events(after=0, limit=9, state="unanswered")) == []

    async def test_a_wait_is_found_by_the_event_that_matches_it(self, store: Store) -> None:
        no, _ = await store.write(lambda tx: entries.begin(tx, "a"))
        other, _ = await store.write(lambda tx: entries.begin(tx, "b"))
        await store.write(
            lambda tx: tx.append(
                no, 1, [entries.waiting("1", type="mail.came", matching={"order": "7"}, due=90)]
            )
        )
        await store.write(lambda tx: tx.append(other, 1, [entries.waiting("1", type="mail.came")]))

        def found(data: dict[str, Any], type: str = "mail.came") -> Any:
            return store.write(lambda tx: sorted(tx.waiting_for(entries.occurrence("x", data, type=type))))

        assert await found({"order": "7", "more": 1}) == [(no, "1"), (other, "1")]
        assert await found({"order": 7}) == [(other, "1")]
        assert await found({}) == [(other, "1")]
        assert await found({"order": "7"}, type="mail.went") == []
        assert store.read(lambda view: view.next_due()) == 90
        assert [wait.run for wait in store.read(lambda view: view.due_waits(90, 9))] == [no]
        assert store.read(lambda view: view.due_waits(89, 9)) == []
        await store.write(lambda tx: tx.append(no, 2, [entries.woke("1")]))
        assert await found({"order": "7"}) == [(other, "1")]
        assert store.read(lambda view: [view.run_no(n).state for n in (no, other)]) == ["ready", "waiting"]  # type: ignore[union-attr]
        assert sound(store)

    async def test_a_kept_event_is_matched_once_by_one_run(self, store: Store) -> None:
        no, _ = await store.write(lambda tx: entries.begin(tx, "a"))

        def keep(tx: Tx) -> list[int | None]:
            return [
                tx.keep_event(entries.occurrence(f"m{n}", {"order": order}, type="mail.came"), "unanswered")
                for n, order in enumerate(["8", "7", "7"])
            ]

        seqs = await store.write(keep)

        def match(tx: Tx) -> int | None:
            found = tx.kept_match(no, "mail.came", {"order": "7"}, 0)
            return found.seq if found else None

        assert await store.write(match) == seqs[1]
        await store.write(lambda tx: tx.append(no, 1, [entries.waiting("1", type="mail.came")]))
        await store.write(lambda tx: tx.append(no, 2, [entries.woke("1", event_seq=seqs[1])]))
        assert await store.write(match) == seqs[2]
        assert await store.write(lambda tx: tx.kept_match(no, "mail.came", {"order": "9"}, 0)) is None

    async def test_runs_with_one_key_go_one_behind_the_other(self, store: Store) -> None:
        begun = [await store.write(partial(entries.begin, id=n, key="order:7")) for n in "abc"]
        assert [state for _, state in begun] == ["ready", "behind", "behind"]
        _, state = await store.write(lambda tx: entries.begin(tx, "d", key="order:7", automation="returns"))
        assert state == "ready"

        def states() -> list[str]:
            return [run.state for run in store.read(lambda view: view.runs(automation="triage"))]

        await store.write(lambda tx: tx.append(begun[0][0], 1, [entries.ended(key="order:7")]))
        assert states() == ["ended", "ready", "behind"]
        await store.write(lambda tx: tx.append(begun[1][0], 1, [entries.ended(key="order:7")]))
        assert states() == ["ended", "ended", "ready"]
        assert sound(store)

    async def test_runs_are_listed_by_agent_and_from_a_time_on(self, open_store: Open) -> None:
        clock = SteppedClock(1_000)
        store = open_store(clock)
        for at, name in ((1_000, "a"), (2_000, "b"), (3_000, "c")):
            clock.at_us = at
            await store.write(partial(entries.begin, id=name))

        def listed(**chosen: Any) -> list[str]:
            return [run.id for run in store.read(lambda view: view.runs(before=99, **chosen))]

        assert listed(since=2_000) == ["run-c", "run-b"] and listed(since=2_001) == ["run-c"]
        assert listed(since=0) == ["run-c", "run-b", "run-a"] and listed(since=9_000) == []
        assert listed(agent="desk", limit=1) == ["run-c"] and listed(agent="des") == []

    async def test_entries_are_listed_by_stream_and_type(self, store: Store) -> None:
        a, _ = await store.write(lambda tx: entries.begin(tx, "a"))
        await store.write(lambda tx: entries.begin(tx, "b"))
        await store.write(lambda tx: tx.append(a, 1, [entries.read("1"), entries.read("2")]))

        def listed(after: int = 0, limit: int = 9, **chosen: Any) -> list[int]:
            return [e.seq for _, e in store.read(lambda view: view.entries_after(after, limit, **chosen))]

        assert listed() == [1, 2, 3, 4] and store.read(lambda view: view.last_seq()) == 4
        assert listed(run=a) == [1, 3, 4] and listed(1, 1, run=a) == [3]
        assert listed(types=["began"]) == [1, 2] and listed(types=["read"], run=a, until=3) == [3]

    async def test_events_and_cards_are_listed_by_what_they_are(self, store: Store) -> None:
        for name, type in (("1", "shop.order"), ("2", "mail.came"), ("3", "shop.order")):
            event = entries.occurrence(name, type=type)
            await store.write(lambda tx, event=event: tx.keep_event(event, "unanswered"))  # type: ignore[misc]

        def events(**chosen: Any) -> list[int]:
            return [row.seq for row in store.read(lambda view: view.events(after=0, limit=9, **chosen))]

        assert events(type="shop.order") == [1, 3] and events(type="shop.order", state="answered") == []
        no, _ = await store.write(lambda tx: entries.begin(tx, "a", automation="returns"))
        await store.write(lambda tx: tx.append(no, 1, [entries.doubt("1"), entries.card("1")]))

        def cards(**chosen: Any) -> int:
            return len(store.read(lambda view: view.cards(**chosen)))

        kind = store.read(lambda view: view.cards())[0].kind
        assert cards(kinds=[kind]) == cards(automation="returns", kinds=[kind, "other"]) == 1
        assert cards(kinds=["other"]) == cards(automation="return") == 0

    async def test_a_resource_is_leased_once(self, store: Store) -> None:
        a, _ = await store.write(lambda tx: entries.begin(tx, "a"))
        b, _ = await store.write(lambda tx: entries.begin(tx, "b"))
        both = entries.intent("1", leases=["charge:1", "charge:2"])
        await store.write(lambda tx: tx.append(a, 1, [both]))
        assert await store.write(lambda tx: tx.lease_holder(["charge:0", "charge:2"])) == ("charge:2", a, "1")
        with pytest.raises(StoreError):
            await store.write(
                lambda tx: tx.append(b, 1, [entries.intent("1", leases=["charge:9", "charge:2"])])
            )
        assert await store.write(lambda tx: tx.lease_holder(["charge:9"])) is None
        receipt = Draft("receipt", {"path": "1"} | entries.released(leased=True))
        await store.write(lambda tx: tx.append(a, 2, [receipt]))
        assert store.read(lambda view: view.leases()) == []
        await store.write(lambda tx: tx.append(b, 1, [both]))
        assert sound(store)

    @pytest.mark.parametrize(
        ("type", "spent", "fact"),
        [
            ("receipt", 500, 1),
            ("drift", 500, 1),
            ("abandoned", 500, 1),
            ("declined", 0, 0),
            ("refused", 0, 0),
        ],
    )
    async def test_holds_and_facts_end_as_the_action_does(
        self, store: Store, type: Any, spent: int, fact: int
    ) -> None:
        held = {"holds": [HOLD], "counted": [("refunds", "customer:1", 0, 1)]}
        no, _ = await store.write(lambda tx: entries.begin(tx, "a"))
        await store.write(lambda tx: tx.append(no, 1, [entries.intent("1", leases=["charge:1"], **held)]))  # type: ignore[arg-type]
        assert await store.write(lambda tx: tx.used("refunds a day", 0)) == (500, 0)
        assert await store.write(lambda tx: tx.counted("refunds", "customer:1", 0)) == 1
        assert store.read(lambda view: view.used("refunds a day", 0)) == (500, 0)
        assert store.read(lambda view: view.counted("refunds", "customer:1", 0)) == 1
        await store.write(lambda tx: tx.append(no, 2, [entries.doubt("1"), entries.card("1")]))
        assert await store.write(lambda tx: tx.used("refunds a day", 0)) == (500, 0)
        assert store.read(lambda view: view.leases()) == [("charge:1", "run-a", "1")]
        assert store.read(lambda view: view.run("run-a").state) == "doubtful"  # type: ignore[union-attr]
        assert [card.path for card in store.read(lambda view: view.cards())] == ["1"]
        body = entries.released(leased=True, was="doubtful", **held) | {"path": "1", "reason": "drifted"}  # type: ignore[arg-type]
        await store.write(lambda tx: tx.append(no, 4, [Draft(type, body)]))
        assert await store.write(lambda tx: tx.used("refunds a day", 0)) == (0, spent)
        assert await store.write(lambda tx: tx.counted("refunds", "customer:1", 0)) == fact
        assert store.read(lambda view: view.used("refunds a day", 0)) == (0, spent)
        assert store.read(lambda view: view.counted("refunds", "customer:1", 0)) == fact
        assert store.read(lambda view: (view.used("none", 0), view.counted("none", "", 0))) == ((0, 0), 0)
        assert store.read(lambda view: view.leases()) == []
        state = {"receipt": "settled", "drift": "drifted"}.get(type, type)
        assert store.read(lambda view: view.counts())[f"actions.{state}"] == 1
        open_cards = [card.kind for card in store.read(lambda view: view.cards())]
        assert open_cards == (["drift"] if type == "drift" else [])
        waiting = store.read(lambda view: view.waiting_cards())
        assert [(kind, n) for kind, n, _ in waiting] == ([("drift", 1)] if type == "drift" else [])
        assert sound(store)

    async def test_questions_to_a_model_are_found_by_their_digest(self, open_store: Open) -> None:
        """The latest first, of one agent or of all, and no others: not what is open, old or never sent."""
        clock = SteppedClock()
        store = open_store(clock)
        no, _ = await store.write(lambda tx: entries.begin(tx, "a"))

        async def asked(path: str, at_us: int, *, answered: bool = True, **more: Any) -> None:
            clock.at_us = max(clock.at_us, at_us)
            question = entries.intent(path, **{"op": "small.think", "digest": "q" * 64} | more)
            receipt = Draft("receipt", {"path": path, "result": path} | entries.released())
            drafts = [question, receipt] if answered else [question]
            await store.write(lambda tx: tx.append(no, tx.version(no), drafts))

        began = clock.at_us
        others: dict[str, dict[str, Any]] = {
            "1": {}, "2": {"agent": "other"}, "3": {"digest": "r" * 64}, "4": {"op": "small.say"},
            "5": {"first_sent": 0}, "6": {"answered": False}, "7": {"op": "large.think"}, "8": {},
        }  # fmt: skip
        for path, more in others.items():
            await asked(path, began + 1_000_000 * int(path), **more)

        def found(agent: str, after_us: int, limit: int = 9) -> list[str]:
            rows = store.read(lambda view: view.answered("small.think", "q" * 64, agent, after_us, limit))
            return [row.path for row in rows]

        assert found("desk", began) == ["8", "1"]
        assert found("", began) == ["8", "2", "1"] and found("", began, 2) == ["8", "2"]
        first = store.read(lambda view: view.action(no, "1"))
        assert first is not None and first.ended_at is not None
        assert found("desk", first.ended_at - 1) == ["8", "1"] and found("desk", first.ended_at) == ["8"]
        receipt = store.read(lambda view: view.receipt_of(first))
        assert receipt is not None and body_of(receipt)["result"] == "1" and sound(store)

    async def test_a_budget_that_is_nearly_used_up_is_remembered_with_one_card(self, store: Store) -> None:
        def near(window: int, limit: int) -> Draft:
            body = {"path": "budget/b", "kind": "budget", "title": "nearly used up", "budget": "b"}
            return Draft("neared", body | {"window": window, "limit": limit})

        assert await store.write(lambda tx: tx.neared("b")) == (0, 0)
        for window in (10, 20):
            draft = near(window, 100)
            await store.write(lambda tx, draft=draft: tx.append(SYSTEM, tx.version(SYSTEM), [draft]))  # type: ignore[misc]
            assert await store.write(lambda tx: tx.neared("b")) == (window, 100)
            (card,) = store.read(lambda view: view.cards())
            assert (card.id, card.kind) == ("system/budget/b", "budget")
        assert await store.write(lambda tx: tx.neared("c")) == (0, 0)
        assert store.read(lambda view: view.rates(0)) == [] and sound(store)

    async def test_runs_and_actions_are_counted_by_state(self, store: Store) -> None:
        def counted() -> dict[str, int]:
            counts = store.read(lambda view: view.counts())
            return {name: n for name, n in counts.items() if name.startswith(("runs.", "actions."))}

        assert counted() == {}
        no, _ = await store.write(lambda tx: entries.begin(tx, "a"))
        await store.write(lambda tx: entries.begin(tx, "b"))
        await store.write(lambda tx: tx.append(no, 1, [entries.read("1"), entries.intent("2")]))
        await store.write(lambda tx: tx.append(no, 3, [entries.intent("3"), entries.doubt("3")]))
        assert counted() == {
            "runs.doubtful": 1, "runs.ready": 1,
            "actions.settled": 1, "actions.open": 1, "actions.doubtful": 1,
        }  # fmt: skip
        drift = Draft("drift", {"path": "2", "reason": "odd"} | entries.released())
        refused = Draft("refused", {"path": "3"} | entries.released(was="doubtful"))
        await store.write(lambda tx: tx.append(no, 5, [drift, refused]))
        assert counted() == {
            "runs.stuck": 1, "runs.ready": 1,
            "actions.settled": 1, "actions.drifted": 1, "actions.refused": 1,
        }  # fmt: skip
        receipt = Draft("receipt", {"path": "2"} | entries.released(was="drifted"))
        await store.write(lambda tx: tx.append(no, 7, [receipt, entries.ended()]))
        assert counted() == {
            "runs.ended": 1, "runs.ready": 1, "actions.settled": 2, "actions.refused": 1
        }  # fmt: skip
        assert sound(store)

    async def test_a_run_with_two_doubts_is_doubtful_until_the_last_is_settled(self, store: Store) -> None:
        no, _ = await store.write(lambda tx: entries.begin(tx, "a"))
        drafts = [entries.intent("1.0"), entries.intent("1.1"), entries.doubt("1.0"), entries.doubt("1.1")]
        await store.write(lambda tx: tx.append(no, 1, drafts))
        await store.write(lambda tx: tx.append(no, 5, [entries.attempt("1.0", 2, "doubtful")]))
        assert store.read(lambda view: view.run("run-a").state) == "doubtful"  # type: ignore[union-attr]
        receipt = Draft("receipt", {"path": "1.1"} | entries.released(was="doubtful"))
        await store.write(lambda tx: tx.append(no, 6, [receipt]))
        assert store.read(lambda view: view.run("run-a").state) == "ready"  # type: ignore[union-attr]
        assert sound(store)

    async def test_cards_close_with_their_run(self, store: Store) -> None:
        no, _ = await store.write(lambda tx: entries.begin(tx, "a"))
        await store.write(lambda tx: tx.append(no, 1, [entries.card("1"), entries.card("2")]))
        assert len(store.read(lambda view: view.cards())) == 2
        await store.write(lambda tx: tx.append(no, 3, [entries.ended()]))
        assert store.read(lambda view: view.cards()) == []
        assert len(store.read(lambda view: view.cards(state="closed"))) == 2
        assert sound(store)

    async def test_cards_are_found_by_place_and_have_neighbours(self, store: Store) -> None:
        no, _ = await store.write(lambda tx: entries.begin(tx, "a"))
        cards = [entries.card(path) for path in ("1", "2", "3")]
        await store.write(lambda tx: tx.append(no, 1, cards))
        first, second, third = (card.seq for card in store.read(lambda view: view.cards()))
        assert store.read(lambda view: view.open_cards()) == 3
        assert store.read(lambda view: view.cards_beside(first)) == (0, second, 0)
        assert store.read(lambda view: view.cards_beside(second)) == (first, third, 1)
        assert store.read(lambda view: view.cards_beside(third)) == (second, 0, 2)
        found = store.read(lambda view: view.card_of(no, "2"))
        assert found is not None and found == store.read(lambda view: view.card(second))
        assert store.read(lambda view: view.card(999)) is None
        await store.write(lambda tx: tx.append(no, 4, [entries.ended()]))
        closed = store.read(lambda view: view.card(second))
        assert closed is not None and closed.state == "closed"
        assert store.read(lambda view: view.card_of(no, "2")) is None
        assert store.read(lambda view: (view.open_cards(), view.cards_beside(second))) == (0, (0, 0, 0))

    async def test_figures_come_day_by_day_and_by_the_beginning_of_their_names(
        self, open_store: Open
    ) -> None:
        clock = SteppedClock()
        store = open_store(clock)
        for name in ("a", "b"):
            no, _ = await store.write(lambda tx, name=name: entries.begin(tx, name))  # type: ignore[misc]
            drafts = [entries.intent("1"), Draft("receipt", {"path": "1"} | entries.released())]
            await store.write(lambda tx, no=no, drafts=drafts: tx.append(no, 1, [*drafts, entries.ended()]))  # type: ignore[misc]
            clock.at_us += DAY_US
        found = store.read(lambda view: view.daily(0, "automation:"))
        ends = [(at, n) for name, what, at, n, _ in found if what.startswith("done")]
        assert len(ends) == 2 and ends[1][0] - ends[0][0] == DAY_US and {n for _, n in ends} == {1}
        assert {name.partition(":")[0] for name, *_ in found} == {"automation"}
        later = store.read(lambda view: view.daily(ends[1][0], "automation:"))
        assert {at for _, _, at, _, _ in later} == {ends[1][0]}
        assert store.read(lambda view: view.daily(0, "nothing")) == []
