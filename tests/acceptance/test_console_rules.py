"""Rules and limits, as people see and change them: over real HTTP, in a process that goes on working."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from deputize.ledger import SYSTEM
from deputize.store.sqlite.store import SqliteStore
from tests.support.desk import Desk
from tests.support.fixtures import desk as desk
from tests.support.project import PERMIT, write_project
from tests.support.serving import ADMINS, SERVER, Served, serving

CODE = """
@automation(on=Ask, agent=worker)
async def pays(event: Event[Ask]) -> Outcome:
    paid = await attempt(desk.pay(account=event.data.item, amount=Money(100 * event.data.n, "EUR"))
                         .because("it is owed"))
    return done(type(paid).__name__)
"""
HOSTILE = "Over 50 <script>alert(1)</script> wait"
RULES = f"""# What waits for people; 50.00 EUR is what we agreed on.
{PERMIT}
[[rule]]
title = "{HOSTILE}"
id = "over-50"
operation = "desk.pay"
ask_above = {{ amount = "50.00 EUR" }}   # not more than '50.00 EUR'
ask = "finance"
within = "2 hours"

[[rule]]
title = "At most 3 payments to an account"
id = "at-most"
operation = "desk.pay"
at_most = {{ times = 3, per = "ever", by = "account" }}
"""
BUDGET = '[[budget]]\nname = "Paid <b>out</b>"\nlimit = "100.00 EUR"\nper = "day"\n'
OVER = {"rule": "over-50", "place": "ask_above.amount"}
MANY = {"rule": "at-most", "place": "at_most.times"}


def project(tmp_path: Path, desk: Desk, toml: str = "") -> Path:
    return write_project(tmp_path, desk.base, CODE, toml=SERVER + ADMINS + toml, rules=RULES)


def rules_of(tmp_path: Path) -> str:
    return (tmp_path / "rules" / "rules.toml").read_text()


async def digest(served: Served) -> str:
    return str((await served.http.get("/v1/rules")).json()["digest"])


async def preview(served: Served, about: dict[str, str], value: str, status: int = 200) -> Any:
    path = f"/v1/rules/{about['rule']}/preview"
    answer = await served.http.post(path, json={"place": about["place"], "value": value})
    assert answer.status_code == status, answer.text
    return answer.json()


async def change(served: Served, about: dict[str, str], value: str, ruleset: str, status: int = 200) -> Any:
    body = {"place": about["place"], "value": value, "ruleset": ruleset}
    answer = await served.http.post(f"/v1/rules/{about['rule']}/change", json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


async def pay(served: Served, *amounts: int, item: str = "i") -> list[str]:
    """Pay so many euros each, and wait until all is done or asked."""
    runs = [await served.send(f"{item}-{n}-{i}", item=f"{item}{i}", n=n) for i, n in enumerate(amounts)]
    for run in runs:
        await served.app.until(lambda view, run=run: view.run(run).state in ("ended", "waiting"))  # type: ignore[union-attr,misc]
    return runs


def entries(served: Served, type: str) -> list[Any]:
    return [e.body for e in served.app.read(lambda view: view.entries(SYSTEM)) if e.type == type]


async def test_a_preview_says_what_another_number_would_have_done(tmp_path: Path, desk: Desk) -> None:
    async with serving(project(tmp_path, desk), speaks="ines") as served:
        await pay(served, 10, 30, 45, 60)
        told = await preview(served, OVER, "40")
        assert told["sentence"] == (
            "40.00 EUR would have stopped 0 of your last 4 (as now) and asked people for 2 (instead of 1)."
        )
        assert [one["about"] for one in told["latest"]] == ['desk.pay with account "i2", amount 45.00 EUR']
        assert (await preview(served, OVER, "5000.00 EUR"))["after"]["asked"] == 0
        assert rules_of(tmp_path) == RULES, "a preview changes nothing"


async def test_a_preview_counts_as_the_ledger_counted_then(tmp_path: Path, desk: Desk) -> None:
    async with serving(project(tmp_path, desk), speaks="ines") as served:
        for n in range(3):
            run = await served.send(f"same-{n}", item="same", n=1)
            await served.app.ended(run)
        told = await preview(served, MANY, "1")
        assert told["after"] == {"allowed": 1, "asked": 0, "checked": 0, "refused": 2}
        assert told["before"]["refused"] == 0


async def test_a_changed_number_is_in_force_at_once_and_the_ledger_says_by_whom(
    tmp_path: Path, desk: Desk
) -> None:
    async with serving(project(tmp_path, desk), speaks="ines") as served:
        await served.speak_as("maya")
        assert await pay(served, 45)
        assert not served.app.cards()
        await change(served, OVER, "40", await digest(served))
        await pay(served, 45, item="later")
        assert [card.kind for card in served.app.cards()] == ["approval"]
        assert rules_of(tmp_path) == RULES.replace('amount = "50.00 EUR" }', 'amount = "40.00 EUR" }'), (
            "only that number is another"
        )
        told = entries(served, "rules")[-1]
        assert told["by"] == {"person": "maya", "account": ""}
        assert told["change"] == {
            **OVER,
            "title": HOSTILE,
            "file": "rules/rules.toml",
            "label": "Asks where amount is above",
            "was": "50.00 EUR",
            "now": "40.00 EUR",
        }
        (asked,) = [e for r in served.app.read(lambda v: v.runs()) for e in served.app.entries(r.id, "asked")]
        assert asked.body and asked.body["ruleset"] == told["digest"][:16]
        changed = (await served.http.get("/v1/rules")).json()["changed"]
        assert changed["change"]["now"] == "40.00 EUR" and changed["by"]["person"] == "maya"
    async with serving(tmp_path, speaks="ines") as again:
        assert len(entries(again, "rules")) == 2, "the next start finds the very same rules"


async def test_of_two_people_who_change_one_number_the_second_is_told(tmp_path: Path, desk: Desk) -> None:
    async with serving(project(tmp_path, desk), speaks="ines") as served:
        seen = await digest(served)
        kim, maya = [{"authorization": f"Bearer {await served.token(name)}"} for name in ("kim", "maya")]
        answers = await asyncio.gather(
            *(
                served.http.post(
                    "/v1/rules/over-50/change",
                    json={"place": OVER["place"], "value": value, "ruleset": seen},
                    headers=who,
                )
                for value, who in (("40", kim), ("30", maya))
            )
        )
        assert sorted(one.status_code for one in answers) == [200, 409]
        lost = next(one for one in answers if one.status_code == 409).json()["detail"]
        won = next(one for one in answers if one.status_code == 200).json()
        who = "kim" if won["now"] == "40.00 EUR" else "maya"
        assert lost.startswith(f"in the meantime {who} changed “{HOSTILE}” to {won['now']}")
        assert rules_of(tmp_path).count(won["now"]) == 1 and len(entries(served, "rules")) == 2


async def test_a_file_that_was_changed_on_disk_is_left_as_it_is(tmp_path: Path, desk: Desk) -> None:
    async with serving(project(tmp_path, desk), speaks="ines") as served:
        await served.speak_as("maya")
        seen = await digest(served)
        for other in (RULES.replace("times = 3", "times = 4"), "[[rule]\n", RULES + "\n[[rule]]\n"):
            (tmp_path / "rules" / "rules.toml").write_text(other)
            told = await change(served, OVER, "40", seen, 409)
            assert "somebody changed them on disk" in told["detail"]
            assert rules_of(tmp_path) == other
        (tmp_path / "rules" / "rules.toml").write_text("# Only words\n" + RULES)
        await change(served, OVER, "40", seen, 422)
        (tmp_path / "rules" / "rules.toml").unlink()
        await change(served, OVER, "40", seen, 409)
        assert len(entries(served, "rules")) == 1


async def test_a_file_keeps_its_line_ends_and_its_permissions(tmp_path: Path, desk: Desk) -> None:
    root = project(tmp_path, desk)
    path = root / "rules" / "rules.toml"
    path.write_bytes(b"\xef\xbb\xbf" + RULES.replace("\n", "\r\n").encode())
    path.chmod(0o640)
    before = path.read_bytes()
    async with serving(root, speaks="ines") as served:
        await served.speak_as("maya")
        await change(served, MANY, "2", await digest(served))
        assert path.read_bytes() == before.replace(b"times = 3", b"times = 2")
        assert path.stat().st_mode & 0o777 == 0o640
        assert sorted(one.name for one in path.parent.iterdir()) == ["rules.toml"], "no draft is left"


async def test_where_the_ledger_takes_it_not_the_file_is_as_it_was(
    tmp_path: Path, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(project(tmp_path, desk), speaks="ines") as served:
        await served.speak_as("maya")
        seen, force = await digest(served), served.app.kernel.parts.force
        # Somebody else's entry, of another process of before that this one knows nothing of.
        await served.app.system.store.write(lambda tx: tx.set_setting("ruleset", "another"))
        await change(served, OVER, "40", seen, 409)
        assert rules_of(tmp_path) == RULES and served.app.kernel.parts.force is force
        assert (await digest(served)) == seen and len(entries(served, "rules")) == 1
        await served.app.system.store.write(lambda tx: tx.set_setting("ruleset", seen))


@pytest.mark.parametrize(
    ("about", "value", "said"),
    [
        (OVER, "a lot", "is not an amount of money"),
        (OVER, "40.00 USD", "this is in EUR"),
        (OVER, "-1", "below zero is no limit"),
        (OVER, "50.00 EUR", "it is 50.00 EUR already"),
        (MANY, "0", "greater than or equal to 1"),
        (MANY, "two", "is no whole number"),
        (MANY, "9" * 20, "more than a rule can hold"),
        (MANY, "<script>", "is no whole number"),
    ],
)
async def test_a_number_that_is_none_is_refused_with_why(
    tmp_path: Path, desk: Desk, about: dict[str, str], value: str, said: str
) -> None:
    async with serving(project(tmp_path, desk), speaks="ines") as served:
        await served.speak_as("maya")
        seen = await digest(served)
        assert said in (await preview(served, about, value, 422))["detail"]
        assert said in (await change(served, about, value, seen, 422))["detail"]
        assert rules_of(tmp_path) == RULES
        page = await served.http.get("/rules/change", params={**about, "value": value})
        assert page.status_code == 422 and "<script>" not in page.text.replace('<script src="', "")


async def test_nobody_in_particular_changes_nothing(tmp_path: Path, desk: Desk) -> None:
    async with serving(project(tmp_path, desk), speaks="ines") as served:
        await change(served, OVER, "40", await digest(served), 403)
        form = {**OVER, "value": "40", "ruleset": await digest(served)}
        page = await served.http.post("/rules/change", data=form)
        assert page.status_code == 403 and "ines is an approver" in page.text
        assert rules_of(tmp_path) == RULES
        for about in ({"rule": "over-5", "place": "ask_above.amount"}, {**OVER, "place": "title"}):
            await preview(served, about, "1", 404)
            assert (await served.http.get("/rules/change", params=about)).status_code == 404


async def test_a_person_changes_a_number_on_the_page(tmp_path: Path, desk: Desk) -> None:
    async with serving(project(tmp_path, desk), speaks="ines") as served:
        await served.speak_as("kim")
        await pay(served, 45, 60)
        page = (await served.http.get("/rules/change", params={**OVER, "value": "40"})).text
        assert "asked people for 2 (instead of 1)" in page and "Change it to 40.00 EUR" in page
        form = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', page))
        sent = await served.http.post("/rules/change", data=form)
        assert sent.status_code == 303
        page = (await served.http.get(sent.headers["location"])).text
        assert "says 40.00 EUR from now on" in page and "kim changed" in page
        again = await served.http.post("/rules/change", data={**form, "value": "20"})
        assert again.status_code == 409 and "In the meantime kim changed" in again.text, (
            "the page was open before that"
        )


async def test_the_page_has_rules_what_they_did_and_what_is_left(tmp_path: Path, desk: Desk) -> None:
    async with serving(project(tmp_path, desk, BUDGET), speaks="ines") as served:
        await pay(served, 45, 38, 60)
        page = (await served.http.get("/rules", headers={"accept": "text/html"})).text
        assert "<script>alert" not in page and "Over 50 &lt;script&gt;alert(1)&lt;/script&gt; wait" in page
        assert "<b>out</b>" not in page and "Paid &lt;b&gt;out&lt;/b&gt;" in page
        assert "83.00 EUR spent" in page and "Nearly used up" in page and "begins anew" in page
        assert 'class="warn" width="83.0"' in page, "the bar stands at 83 %"
        assert "3 decisions" in page and "1 asked lately" in page and "2 allowed" in page
        assert 'style="' not in page and "onclick" not in page
        (budget,) = (await served.http.get("/v1/budgets")).json()["budgets"]
        assert budget["near"] and budget["shown"]["spent"] == "83.00 EUR" and budget["anew_at"]


async def test_what_is_looked_at_is_bounded(tmp_path: Path, desk: Desk) -> None:
    async with serving(project(tmp_path, desk), speaks="ines") as served:
        await pay(served, *range(1, 6))
        store = served.app.system.store
        assert isinstance(store, SqliteStore)
        last = served.app.read(lambda view: view.counts()["entries"])
        assert len(served.app.read(lambda view: view.decisions("", last, 3))) == 3
        newest = served.app.read(lambda view: view.decisions("", 4, 100))
        assert all(one.entry.seq > last - 4 for one in newest) and len(newest) < 5
        assert served.app.read(lambda view: view.decisions("desk.pa", last, 9)) == []
        found = served.app.read(lambda view: view.decisions("desk.pay", last, 9))
        assert [one.entry.seq for one in found] == sorted((o.entry.seq for o in found), reverse=True)
        assert {(one.automation, one.entry.type) for one in found} == {("pays", "intent")}
