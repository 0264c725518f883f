"""The command line on a ledger: read without a process, copied, restored, verified, replayed."""

from __future__ import annotations

import json
import shutil
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.command import deputize, edit, login, new_project, served
from tests.support.older import make_older

CHANGE = (
    "UPDATE body SET body=CAST(replace(CAST(body AS TEXT), 'Ada', 'Eve') AS BLOB)"
    " WHERE instr(CAST(body AS TEXT), 'Ada')"
)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return new_project(tmp_path)


def send(project: Path, type: str, **data: str) -> str:
    sent = deputize(project, "send", type, "--data", json.dumps(data), "--json")
    assert sent.code == 0, sent.err
    return str(sent.json()["runs"][0])


def greet(project: Path, name: str) -> str:
    sent = deputize(
        project, "send", "visitor.arrived", "--data", json.dumps({"name": name}), "--wait", "--json"
    )
    return str(sent.json()["runs"][0])


READING = (
    ["runs"],
    ["show", "RUN"],
    ["show", "RUN/1"],
    ["why", "RUN"],
    ["why", "RUN/1"],
    ["events"],
    ["inbox"],
)


def test_the_ledgers_file_reads_as_its_process_does(project: Path) -> None:
    with served(project):
        run = greet(project, "Ada")
        words = [[w.replace("RUN", run) for w in command] for command in READING]
        live = [deputize(project, *command, "--json").json() for command in words]
    assert [deputize(project, *command, "--json").json() for command in words] == live
    for command in (["send", "x"], ["cancel", run], ["halt"], ["pause", "greet"], ["resume", "all"]):
        refused = deputize(project, *command)
        assert refused.code == 3, command
        assert "no process runs here; start it with `deputize up`" in refused.err


def test_a_killed_process_is_not_taken_for_a_running_one(project: Path) -> None:
    with served(project) as process:
        greet(project, "Ada")
        process.kill()
        process.wait()
        assert (project / "data" / "server.json").exists()
        assert deputize(project, "runs").code == 0
        assert deputize(project, "halt").code == 3
    with served(project):
        login(project)
        assert deputize(project, "halt").code == 0


def test_an_idle_process_whose_data_is_removed_ends_by_itself_and_keeps_what_it_had(project: Path) -> None:
    with served(project) as first:
        run = greet(project, "Ada")
        shutil.rmtree(project / "data")
        assert first.wait(20) == 70
        assert first.stderr is not None
        assert "was removed or replaced under the running process" in first.stderr.read()
    saved = project / "data" / f"ledger.db.saved-{first.pid}"
    # The next owner has a new ledger, and none of it comes to lie on what was saved.
    with served(project):
        assert "Ada" not in deputize(project, "runs", "--json").out
    (project / "data" / "ledger.db").unlink()
    saved.rename(project / "data" / "ledger.db")
    assert run in deputize(project, "runs", "--json").out


def test_the_note_of_a_killed_process_never_leads_to_another_project(project: Path, tmp_path: Path) -> None:
    other = new_project(tmp_path, "other")
    with served(project) as process:
        run = greet(project, "Ada")
        process.kill()
        process.wait()
    with served(other):
        note = json.loads((project / "data" / "server.json").read_text())
        note["url"] = json.loads((other / "data" / "server.json").read_text())["url"]
        (project / "data" / "server.json").write_text(json.dumps(note))
        assert deputize(project, "halt").code == 3
        assert deputize(project, "show", run).code == 0
        login(other)
        assert "nothing is stopped" in deputize(other, "resume", "all").err


def test_the_token_of_the_project_is_used_and_asked_for(project: Path) -> None:
    edit(project / "deputize.toml", "port = 0", 'port = 0\ntoken = "env:DOOR_TOKEN"')
    missing = deputize(project, "up")
    assert missing.code == 1 and "the secret env:DOOR_TOKEN is not set" in missing.err
    (project / ".env").write_text("DOOR_TOKEN=open-sesame-44\n")
    with served(project):
        assert greet(project, "Ada")
        assert "only a person may do this" in deputize(project, "halt").err
        wrong = deputize(project, "halt", DOOR_TOKEN="not-this-one-44")
        assert wrong.code == 1 and "send the project's token" in wrong.err


def test_a_ledger_whose_pages_are_broken_is_told_in_a_line(project: Path, tmp_path: Path) -> None:
    with served(project):
        greet(project, "Ada")
    ledger = project / "data" / "ledger.db"
    broken = ledger.read_bytes()
    ledger.write_bytes(broken[:4096] + b"\xff" * 4096 * 3 + broken[16384:])
    for words in (["ledger", "verify"], ["ledger", "rebuild"], ["runs"], ["up"], ["check"]):
        done = deputize(project, *words)
        assert done.code == 1, words
        assert "defect of ours" not in done.err and len(done.err.splitlines()) <= 2


def test_an_ambiguous_prefix_lists_the_runs_that_begin_so(project: Path) -> None:
    with served(project):
        runs = [greet(project, str(number)) for number in range(3)]
    renamed = ["abcd" + run[4:] for run in runs]
    with closing(sqlite3.connect(project / "data" / "ledger.db")) as db, db:
        for old, new in zip(runs, renamed, strict=True):
            db.execute("UPDATE run SET id=? WHERE id=?", (new, old))
    done = deputize(project, "show", "abcd")
    assert done.code == 1 and "more than one run begins with 'abcd': " in done.err
    assert all(run in done.err for run in renamed)
    assert deputize(project, "show", "abc").code == 1
    assert deputize(project, "show", renamed[0][:12]).code == 0


def test_a_restored_copy_starts_halted_and_goes_on_when_a_person_says_so(
    project: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.db"
    with served(project) as process:
        greet(project, "Before")
        assert deputize(project, "backup", str(copy)).code == 0
        assert "is there already" in deputize(project, "backup", str(copy)).err
        greet(project, "After")
        refused = deputize(project, "restore", str(copy), "--force")
        assert refused.code == 1
        assert f"the running process {process.pid} has the ledger" in refused.err
    kept = deputize(project, "restore", str(copy))
    assert kept.code == 1 and "--force replaces it (and keeps it beside)" in kept.err
    restored = deputize(project, "restore", str(copy), "--force", "--json")
    assert restored.code == 0, restored.err
    assert Path(restored.json()["kept"]).exists()
    assert len(deputize(project, "runs", "--json").json()["runs"]) == 1
    assert "warn  all is stopped: restored from" in deputize(project, "doctor").out
    with served(project):
        run = send(project, "visitor.arrived", name="Halted")
        assert deputize(project, "show", run, "--json").json()["run"]["state"] != "ended"
        assert deputize(project, "ledger", "verify").code == 0
        login(project)
        assert deputize(project, "resume", "all").code == 0
        assert greet(project, "Later")
    with closing(sqlite3.connect(project / "data" / "ledger.db")) as db:
        types = [row[0] for row in db.execute("SELECT type FROM entry WHERE stream=0 ORDER BY version")]
    assert types[types.index("restored") :][:3] == ["restored", "halted", "opened"]
    assert deputize(project, "ledger", "verify").code == 0
    assert deputize(project, "ledger", "rebuild").code == 0


def test_copies_and_what_they_replace_are_for_their_owner_alone_and_reading_one_leaves_nothing(
    project: Path, tmp_path: Path
) -> None:
    ledger, copies = project / "data" / "ledger.db", tmp_path / "copies"
    copy = copies / "copy.db"
    with served(project):
        greet(project, "Ada")
        assert deputize(project, "backup", str(copy)).code == 0
    assert _mode(copy) == 0o600
    ledger.chmod(0o644)
    restored = deputize(project, "restore", str(copy), "--force", "--json")
    assert [path.name for path in copies.iterdir()] == ["copy.db"]
    kept = Path(restored.json()["kept"])
    assert {_mode(path) for path in (ledger, kept, *ledger.parent.glob("ledger.db*-*"))} == {0o600}
    assert deputize(project, "backup", str(copies / "another.db")).code == 0
    assert _mode(copies / "another.db") == 0o600
    with served(project):
        assert len(deputize(project, "runs", "--json").json()["runs"]) == 1


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_an_unfinished_write_of_a_restored_copy_waits_for_a_person(project: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    with served(project):
        run = send(project, "item.asked", item="lamp")
        deputize(project, "send", "visitor.arrived", "--data", '{"name": "x"}', "--wait")
        assert deputize(project, "backup", str(copy)).code == 0
    restored = deputize(project, "restore", str(copy), "--force")
    assert restored.code == 0 and "1 write is unfinished from before this ledger was restored" in restored.out
    assert f'{run}/1  desk.sell with item "lamp"' in restored.out
    assert "first sent 2" in restored.out and ", key " in restored.out
    assert "a person says whether it happened: its " in restored.out
    doctor = deputize(project, "doctor").out
    assert "1 unfinished write from before this ledger was restored" in doctor
    assert f"{run}/1  desk.sell" in deputize(project, "inbox").out
    with served(project):
        for _ in range(60):
            cards = deputize(project, "inbox", "--json").json()["cards"]
            if cards:
                break
        assert [card["run"] for card in cards] == [run]
        login(project)
        early = deputize(project, "resume", "all")
        assert early.code == 1
        assert "1 write is in doubt from before this ledger was restored; `deputize inbox`" in early.err
        held = send(project, "visitor.arrived", name="y")
        assert deputize(project, "show", held, "--json").json()["run"]["state"] != "ended"
        assert deputize(project, "resolve", f"{run}/1", "did-not").code == 0
        assert deputize(project, "resume", "all").code == 0
        assert greet(project, "Later")


def test_what_cannot_be_restored_changes_nothing(project: Path, tmp_path: Path) -> None:
    with served(project):
        greet(project, "Ada")
        copy = tmp_path / "copy.db"
        deputize(project, "backup", str(copy))
    before = (project / "data" / "ledger.db").read_bytes()
    assert "there is no file" in deputize(project, "restore", str(tmp_path / "none.db"), "--force").err
    ledger = str(project / "data" / "ledger.db")
    assert "is the ledger itself" in deputize(project, "restore", ledger, "--force").err
    (tmp_path / "text.db").write_text("no ledger at all, " * 100)
    assert "cannot be" in deputize(project, "restore", str(tmp_path / "text.db"), "--force").err
    with closing(sqlite3.connect(copy)) as db, db:
        db.execute(CHANGE)
    damaged = deputize(project, "restore", str(copy), "--force")
    assert damaged.code == 1 and "is damaged (" in damaged.err and "take another copy" in damaged.err
    assert (project / "data" / "ledger.db").read_bytes() == before
    assert sorted(p.name for p in (project / "data").iterdir() if "restor" in p.name) == []


def test_a_changed_ledger_is_found_with_and_without_a_process(project: Path) -> None:
    with served(project):
        greet(project, "Ada")
        with closing(sqlite3.connect(project / "data" / "ledger.db")) as db, db:
            db.execute(CHANGE)
            db.execute("UPDATE run SET label='done(nothing)'")
        live = [deputize(project, "ledger", what, "--json") for what in ("verify", "rebuild")]
    aside = [deputize(project, "ledger", what, "--json") for what in ("verify", "rebuild")]
    for verified, rebuilt in (live, aside):
        assert (verified.code, rebuilt.code) == (1, 1)
        assert any("changed" in flaw["what"] for flaw in verified.json()["flaws"])
        assert any("done(nothing)" in line for line in rebuilt.json()["differences"])
    told = deputize(project, "ledger", "verify")
    assert told.code == 1 and "`deputize restore`" in told.err
    assert deputize(project, "ledger", "rebuild", "--replace").code == 0
    assert deputize(project, "ledger", "rebuild").code == 0


def test_a_newer_ledger_is_refused_everywhere_and_an_older_one_still_reads(
    project: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.db"
    with served(project):
        greet(project, "Ada")
        deputize(project, "backup", str(copy))
    for path in (project / "data" / "ledger.db", copy):
        with closing(sqlite3.connect(path)) as db:
            db.execute("PRAGMA user_version = 99")
    for words in (["runs"], ["up"], ["ledger", "verify"], ["restore", str(copy), "--force"], ["doctor"]):
        done = deputize(project, *words)
        assert done.code == 1, words
        assert (
            "this ledger has schema 99" in done.out + done.err and "upgrade Deputize" in done.out + done.err
        )
    checked = deputize(project, "check")
    assert checked.code == 1 and "this ledger has schema 99" in checked.out
    for path in (project / "data" / "ledger.db", copy):
        make_older(path, 1)
    assert len(deputize(project, "runs", "--json").json()["runs"]) == 1
    assert "schema 1 (`deputize up` brings it to" in deputize(project, "doctor").out
    assert deputize(project, "restore", str(copy), "--force").code == 0
    with served(project):
        assert deputize(project, "ledger", "verify").code == 0


def test_check_replays_open_and_ended_runs_beside_the_running_process(project: Path) -> None:
    selling = project / "automations" / "selling.py"
    with served(project):
        greet(project, "Ada")
        held = send(project, "item.paid", item="vase")
        same = deputize(project, "check", "--json")
        assert same.code == 0, same.out
        assert same.json()["replayed"] == {"open": 1, "ended": 1, "stuck": [], "differs": [], "changed": []}

        edit(selling, 'return done("held")', 'return done("kept")')
        changed = deputize(project, "check")
        assert changed.code == 0
        assert "1 open run of hold began under other code, and match" in changed.out

        edit(project / "automations" / "greeting.py", 'done("greeted")', 'done("welcomed")')
        other = deputize(project, "check")
        assert other.code == 0
        assert "it would now come to done(welcomed), and came to done(greeted)" in other.out

        edit(selling, 'event.data.item + "!"', 'event.data.item + "?"')
        edit(project / "automations" / "greeting.py", '"guests"', '"visitors"')
        stuck = deputize(project, "check")
        assert stuck.code == 1
        assert f"Would be stuck: run {held} of hold: at 1 the code now calls wait_for" in stuck.out
        assert "Would go another way now" in stuck.out
        assert (
            '  the code:   {"page":"visitors"' in stuck.out and '  the record: {"page":"guests"' in stuck.out
        )

        selling.unlink()
        gone = deputize(project, "check", "--json").json()
        assert [one["run"] for one in gone["replayed"]["stuck"]] == [held]
        assert "there is no automation 'hold'" in gone["replayed"]["stuck"][0]["reason"]


def test_check_ends_an_automation_that_never_comes_back(project: Path) -> None:
    with served(project):
        run = greet(project, "Ada")
    edit(project / "automations" / "greeting.py", "    line = ", "    while True: pass\n    line = ")
    done = deputize(project, "check", "--within-s", "3")
    assert done.code == 1
    assert f"automations/greeting.py:25: still replaying run {run} after 3 s" in done.out
