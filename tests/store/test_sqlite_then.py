"""The books as they were before an entry: what they were then, whatever has come since."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from deputize.store.sqlite.offline import OfflineLedger
from tests.support.desk import Desk, fault
from tests.support.fixtures import desk  # noqa: F401
from tests.support.project import PERMIT, write_project
from tests.support.running import Running, running

WORK = """
@automation(on=Ask, agent=worker)
async def work(event: Event[Ask]) -> Outcome:
    amount = Money(event.data.n * 100, "EUR")
    paid = await attempt(desk.pay(account=event.data.item, amount=amount))
    return done(type(paid).__name__)
"""
AGENTS = 'worker = agent("worker", budgets=[budget("9.00 EUR", per="day"), budget("6 actions", per="month")])'
RULES = (
    PERMIT
    + '\n[[rule]]\ntitle = "Three a day"\noperation = "desk.pay"\n'
    + 'at_most = { times = 3, per = "day", by = "account" }\n'
)
Snapshot = dict[tuple[str, str, int], int]


def books(it: Running) -> Snapshot:
    """Every sum that the books have, from the owner's own connection."""
    rows = it.read(lambda view: view.db.execute("SELECT * FROM fact").fetchall())  # type: ignore[attr-defined]
    facts = {(counter, subject, window): value for counter, subject, window, value in rows}
    used = it.read(lambda view: view.budgets())
    return facts | {(budget, "use", window): held + spent for budget, window, held, spent in used}


def then(ledger: OfflineLedger, since: int, before: int | None, keys: Snapshot) -> Snapshot:
    """The same sums as they were."""
    old = ledger.then(since)
    return {
        (name, subject, window): (
            old.used(name, window, before) if subject == "use" else old.counted(name, subject, window, before)
        )
        for name, subject, window in keys
    }


async def test_at_every_entry_the_books_are_what_they_were_then(tmp_path: Path, desk: Desk) -> None:  # noqa: F811
    write_project(tmp_path, desk.base, WORK, agents=AGENTS, rules=RULES)
    seen: list[tuple[int, Snapshot]] = []
    labels, ids = set(), []
    async with running(tmp_path) as it:
        for number in range(12):
            if number in (2, 5):
                # Started, counted, and then given back.
                desk.faults.append(fault("status", 422))
            ids.append(await it.send(item=f"a{number % 2}", n=1 + number % 3))
            labels.add(await it.label(ids[-1]))
            await it.gone()
            seen.append((it.read(lambda view: view.counts())["entries"], books(it)))
        with closing(OfflineLedger(tmp_path / "data" / "ledger.db")) as ledger:
            last = seen[-1][1]
            for since in (1, seen[4][0] + 1):
                for seq, was in seen:
                    if seq + 1 >= since:
                        got = then(ledger, since, seq + 1, last)
                        assert got == {key: was.get(key, 0) for key in last}, (since, seq)
            # An entry is not before itself.
            first = next(e for e in it.entries(ids[0]) if e.type == "intent")
            assert set(then(ledger, 1, first.seq, last).values()) == {0}
            assert sorted(then(ledger, 1, first.seq + 1, last).values())[-3:] == [1, 1, 100]
            # What the owner appends meanwhile changes nothing of what was before.
            old = ledger.then(1)
            budget, window = next((name, window) for name, kind, window in last if kind == "use")
            before = old.used(budget, window, seen[0][0] + 1)
            await it.label(await it.send(item="b", n=1))
            fresh = ledger.then(1)
            assert old.used(budget, window, seen[0][0] + 1) == before
            assert fresh.used(budget, window, seen[0][0] + 1) == before
    assert labels == {"done(Item)", "done(Refused)", "done(Declined)"}
