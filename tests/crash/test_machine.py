"""What machines do to a process: it stands still, its disk fills, its clock steps, its file goes away."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from deputize.store.sqlite.store import EXIT_COMMIT_UNKNOWN
from deputize.testing.crash import CrashHarness, event
from deputize.testing.evidence import keys_of, read_ledger
from deputize.testing.life import Life
from deputize.town import Town
from tests.crash.scenes import everything, fault

PAST_EVERY_DEADLINE_S = 1.2
NEVER = 2**60


def stand_still() -> None:
    """Let the deadlines of the contracts pass: the one thing that only real time can do."""
    threading.Event().wait(PAST_EVERY_DEADLINE_S)


def by_key(town: Town, name: str) -> list[dict[str, object]]:
    """One refund by key, on a charge of its own."""
    town.plant(name, 5_000)
    return [event("crash.by_key", name, charge=f"ch-{name}")]


def types_of(harness: CrashHarness) -> list[str]:
    """The types of entries of the first run, in order."""
    ledger = read_ledger(harness.project.settings.ledger)
    return [entry.type for entry in ledger.entries[1]]


@pytest.mark.parametrize("place", ["t2.after", "send.before", "send.during", "send.answered", "t3.in"])
def test_a_process_that_stood_still_past_every_deadline_doubles_nothing(
    harness: CrashHarness, town: Town, place: str
) -> None:
    life = harness.life(pauses=[f"{place}:1"])
    life.send(everything(town, f"still-{place}"))
    life.tell("quiet")
    life.wait("pauses")
    stand_still()
    life.go_on()
    harness.settle(life)
    life.stop()
    assert harness.broken() == []


def test_an_intent_whose_time_to_start_has_passed_is_not_sent_late(harness: CrashHarness, town: Town) -> None:
    seen = len(town.access_log())
    life = harness.life(pauses=["t2.after:1"])
    life.send(by_key(town, "too-late"))
    life.wait("pauses")
    stand_still()
    assert len(town.access_log()) == seen
    life.go_on()
    harness.settle(life)
    life.stop()
    assert types_of(harness)[:3] == ["began", "intent", "attempt"]
    assert harness.broken() == []


def test_a_full_disk_turns_events_away_and_stops_sending_until_there_is_room(
    harness: CrashHarness, town: Town
) -> None:
    before, after = by_key(town, "before-full"), by_key(town, "while-full")
    town.set_faults(fault("latency", "payments", "refund"))
    life = harness.life()
    life.wait("ready")
    life.send(before)
    life.wait("accepted")
    life.tell("room", bytes_min=NEVER)
    life.wait("room")
    requests = len(town.access_log())
    life.send(after)
    assert life.wait("refused", "accepted")["error"] == "StoreFull"
    assert len(town.access_log()) - requests <= 1
    life.tell("room", bytes_min=0)
    life.wait("room")
    life.send(after)
    life.wait("accepted")
    harness.settle(life)
    life.stop()
    assert harness.broken() == []


def test_a_ledger_that_another_program_locks_is_waited_for_and_then_used_again(
    harness: CrashHarness, town: Town
) -> None:
    events = everything(town, "locked")
    life = harness.life()
    life.wait("ready")
    with closing(sqlite3.connect(harness.project.settings.ledger, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        life.send(events)
        assert life.wait("refused", "accepted")["error"] == "StoreFull"
        other.execute("ROLLBACK")
    life.send(events)
    life.wait("accepted")
    harness.settle(life)
    life.stop()
    assert harness.broken() == []


def test_after_the_clock_was_set_back_an_hour_no_key_is_repeated_and_the_doubt_becomes_a_card(
    harness: CrashHarness, town: Town
) -> None:
    harness.same_clock = False
    harness.crash_at("send.answered", by_key(town, "set-back"))
    sent = len(keys_of(town.access_log()))
    life = harness.life(shift_s=-3_600)
    life.wait("ready")
    stand_still()
    # The clock stays an hour behind, and nobody waits for it to catch up.
    life.tell("quiet")
    life.wait("quiet")
    assert [card["kind"] for card in harness.cards()] == ["doubt"]
    assert len(keys_of(town.access_log())) == sent
    harness.settle(life)
    life.stop()
    assert harness.broken() == []


def test_a_clock_set_back_while_it_runs_keeps_the_ledgers_time_in_order(
    harness: CrashHarness, town: Town
) -> None:
    harness.same_clock = False
    life = harness.life()
    life.send(by_key(town, "steps-1"))
    life.wait("accepted")
    harness.settle(life)
    life.tell("shift", seconds=-3_600)
    life.wait("shifted")
    life.send(by_key(town, "steps-2"))
    life.wait("accepted")
    harness.settle(life)
    life.stop()
    ledger = read_ledger(harness.project.settings.ledger)
    entries = sorted((e for run in ledger.runs for e in ledger.entries[run.no]), key=lambda e: e.seq)
    times = [entry.at_us for entry in entries]
    assert times == sorted(times)
    assert harness.broken() == []


def test_a_repetition_that_a_halt_held_back_until_its_key_was_forgotten_becomes_a_card(
    harness: CrashHarness, town: Town
) -> None:
    harness.same_clock = False
    town.set_faults(fault("cut_before", "payments", "refund"))
    life = harness.life()
    life.send(by_key(town, "held-back"))
    life.tell("until", automation="by_key", state="doubtful")
    life.wait("there")
    life.tell("halt", scope="connector:payments")
    life.wait("halted")
    stand_still()
    life.tell("shift", seconds=2 * 86_400)
    life.wait("shifted")
    life.tell("lift", scope="connector:payments")
    life.tell("quiet")
    life.wait("quiet")
    assert [card["kind"] for card in harness.cards()] == ["doubt"]
    life.stop()
    assert harness.broken() == []


def test_a_process_whose_ledger_was_deleted_ends_itself_and_leaves_a_copy_to_go_on_from(
    harness: CrashHarness, town: Town
) -> None:
    ledger = harness.project.settings.ledger
    life = harness.life()
    life.send(everything(town, "deleted-1"))
    harness.settle(life)
    for path in (ledger, *ledger.parent.glob("ledger.db-*")):
        path.unlink()
    life.send(everything(town, "deleted-2"))
    assert life.ended() == EXIT_COMMIT_UNKNOWN
    assert "was removed or replaced" in life.words
    saved = saved_copy(ledger, life)
    saved.rename(ledger)
    harness.recover()
    assert harness.broken() == []


def test_a_second_process_on_a_ledger_is_turned_away_with_the_pid_of_the_first(
    harness: CrashHarness,
) -> None:
    first = harness.life()
    first.wait("ready")
    second = harness.life()
    assert second.ended() == 1
    assert f"LedgerOwned: {harness.project.settings.ledger} belongs to the running process" in second.words
    assert str(first.process.pid) in second.words
    first.stop()


def saved_copy(ledger: Path, life: Life) -> Path:
    """The copy that the process saved beside its ledger before it ended."""
    saved = ledger.with_name(f"{ledger.name}.saved-{life.process.pid}")
    assert saved.is_file()
    return saved
