"""The command line on a running project: one `deputize up` for all of these tests."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import signal
import struct
import subprocess
import termios
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.command import EXECUTABLE, deputize, edit, login, new_project, served


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    made = new_project(tmp_path_factory.mktemp("cli"))
    edit(made / "deputize.toml", 'timezone = "UTC"', 'timezone = "Asia/Tokyo"')
    with served(made):
        login(made)
        yield made


def greeted(project: Path, name: str) -> str:
    """Send a visitor; the id of its run."""
    sent = deputize(
        project, "send", "visitor.arrived", "--data", json.dumps({"name": name}), "--wait", "--json"
    )
    assert sent.code == 0, sent.err
    assert sent.json()["ended"][0]["label"] == "done(greeted)"
    return str(sent.json()["runs"][0])


def doubtful(project: Path, item: str) -> str:
    """Ask for an item whose sale gets lost; the id of its run, once a card waits."""
    sent = deputize(project, "send", "item.asked", "--data", json.dumps({"item": item}), "--json")
    run = str(sent.json()["runs"][0])
    for _ in range(60):
        if any(card["run"] == run for card in deputize(project, "inbox", "--json").json()["cards"]):
            return run
    raise AssertionError(deputize(project, "show", run).out)


def test_an_event_is_sent_and_its_run_shown_and_explained(project: Path) -> None:
    run = greeted(project, "Ada")
    row = next(r for r in deputize(project, "runs", "--json").json()["runs"] if r["id"] == run)
    assert (row["state"], row["automation"]) == ("ended", "greet")
    shown = deputize(project, "show", run[:8])
    assert shown.code == 0 and f"{run}/1" in shown.out and "notebook.write" in shown.out
    action = deputize(project, "show", f"{run[:8]}/1")
    assert "intent" in action.out and "Welcome, Ada!" in action.out
    why = deputize(project, "why", f"{run}/1")
    assert f"/runs/{run}?action=1#1" in why.out.splitlines()[-1]
    assert "every visitor is greeted" in why.out and "The host may write into the notebook" in why.out
    assert deputize(project, "why", run, "--json").json()["sentences"]


def test_times_are_shown_in_the_zone_of_the_project_and_as_utc_for_programs(project: Path) -> None:
    run = greeted(project, "Zoe")
    began = deputize(project, "show", run, "--json").json()["run"]["began_at"]
    assert began.endswith("Z")
    hour = (int(began[11:13]) + 9) % 24
    assert f" {hour:02}{began[13:16]}" in deputize(project, "show", run).out


def test_an_event_from_a_file_counts_once_by_its_source_and_id(project: Path, tmp_path: Path) -> None:
    (tmp_path / "data.json").write_text('{"name": "Twice"}')
    words = ["send", "visitor.arrived", "--data", f"@{tmp_path / 'data.json'}", "--source", "/s", "--id", "1"]
    first, second = deputize(project, *words, "--json").json(), deputize(project, *words, "--json").json()
    assert (first["duplicate"], second["duplicate"]) == (False, True)
    assert first["runs"] == second["runs"]
    assert "was accepted before; it counts once" in deputize(project, *words).out


def test_data_that_is_wrong_is_told_with_its_place(project: Path) -> None:
    unread = deputize(project, "send", "visitor.arrived", "--data", "{bad")
    assert unread.code == 2 and "--data is not JSON" in unread.err and "line 1 column 2" in unread.err
    gone = deputize(project, "send", "visitor.arrived", "--data", "@/nowhere.json")
    assert gone.code == 2 and "/nowhere.json cannot be read" in gone.err
    unfit = deputize(project, "send", "visitor.arrived", "--data", '{"nme": "x"}')
    assert unfit.code == 1 and "data.name: Field required" in unfit.err


def test_what_nothing_answers_is_kept_and_shown(project: Path) -> None:
    sent = deputize(project, "send", "nobody.cares", "--data", '{"long": "' + "x" * 300 + '"}')
    assert "nothing answers its type" in sent.out
    shown = deputize(project, "events", "--unanswered")
    assert "nobody.cares" in shown.out and '{"long":"' + "x" * 300 + '"}' in shown.out
    kept = deputize(project, "events", "--unanswered", "--json").json()["events"]
    assert any(event["data"].get("long") == "x" * 300 for event in kept)


def test_a_doubt_is_answered_with_a_result_that_fits(project: Path) -> None:
    run = doubtful(project, "lamp")
    card = f"{run}/1"
    shown = deputize(project, "inbox").out
    line, rest = shown[shown.index(card) :].split("\n", 1)
    assert (
        "  doubt  since 2" in line and "Nobody knows whether desk.sell happened: the line went dead" in line
    )
    assert (
        'what:  desk.sell with item "lamp", because "it was asked for" (first sent 2' in rest
        and ", key " in rest
    )
    assert "in:    the automation sell, for the event " in rest
    assert f"deputize resolve {card} happened --result '{{\"number\": <integer>}}'\n" in rest
    assert f"deputize resolve {card} did-not --again\n" in rest
    assert f"deputize resolve {card} abandon\n" in deputize(project, "why", card).out
    unfit = deputize(project, "resolve", card, "happened", "--result", '{"number": "seven"}')
    assert unfit.code == 1 and "does not fit what desk.sell returns: number:" in unfit.err
    bad = deputize(project, "resolve", card, "happened", "--result", "{seven")
    assert bad.code == 2 and "--result is not JSON" in bad.err
    form = deputize(project, "resolve", card, "happened", "--result", '{"number": <integer>}')
    assert form.code == 2 and "fill in every <…> of the form" in form.err
    for words in (["happened"], ["did-not", "--result", "1"], ["abandon", "--again"], ["perhaps"]):
        assert deputize(project, "resolve", card, *words).code == 2, words
    done = deputize(project, "resolve", card, "happened", "--result", '{"number": 7}')
    assert done.code == 0, done.err
    again = deputize(project, "resolve", card, "did-not")
    assert again.code == 1 and "there is nothing to answer (any more)" in again.err
    entries = deputize(project, "show", card, "--json").json()["entries"]
    assert entries[-1]["body"]["by"]["person"] == "maya"
    assert deputize(project, "show", run, "--json").json()["run"]["label"] == "done(sold 7)"


def test_a_doubt_is_done_again_or_given_up_on_a_persons_word(project: Path) -> None:
    run = doubtful(project, "chair")
    again = deputize(project, "resolve", f"{run}/1", "did-not", "--again")
    assert again.code == 0, again.err
    assert deputize(project, "show", f"{run}/1", "--json").json()["action"]["round"] == 2
    other = doubtful(project, "table")
    assert deputize(project, "resolve", f"{other}/1", "abandon", "--reason", "no need").code == 0
    assert "no need" in deputize(project, "show", other).out


def test_what_is_halted_or_paused_starts_nothing_until_it_is_resumed(project: Path) -> None:
    assert "deputize resume automation:greet" in deputize(project, "pause", "greet").out
    sent = deputize(
        project, "send", "visitor.arrived", "--data", '{"name": "P"}', "--wait", "--within-s", "0.3", "--json"
    )
    assert sent.code == 1 and sent.json()["ended"][0]["state"] != "ended"
    assert deputize(project, "resume", "greet", "--json").json() == {"scope": "automation:greet"}
    halted = deputize(project, "halt", "--reason", "tea")
    assert "Halted all" in halted.out
    assert deputize(project, "resume", "all").code == 0
    nothing = deputize(project, "resume", "all")
    assert nothing.code == 1 and "no stop is called 'all'; nothing is stopped" in nothing.err
    unknown = deputize(project, "pause", "gret")
    assert unknown.code == 1 and "did you mean 'greet'?" in unknown.err
    assert "there is no agent 'x'" in deputize(project, "halt", "agent:x").err
    assert deputize(project, "halt", "automation:greet").code == 2


def test_a_waiting_run_is_paused_resumed_and_cancelled_by_a_prefix(project: Path) -> None:
    sent = deputize(project, "send", "item.paid", "--data", '{"item": "vase"}', "--json").json()
    run = sent["runs"][0]
    assert deputize(project, "pause", run[:10], "--json").json()["scope"] == f"run:{run}"
    assert deputize(project, "resume", run[:10]).code == 0
    cancelled = deputize(project, "cancel", run[:10])
    assert cancelled.code == 0 and run in cancelled.out
    ended = [
        r for r in deputize(project, "runs", "--state", "ended", "--json").json()["runs"] if r["id"] == run
    ]
    shown = deputize(project, "show", run).out
    assert ended and ended[0]["label"] == "cancelled", shown


def test_a_list_of_no_runs_says_why_and_names_the_nearest(project: Path) -> None:
    greeted(project, "Ann")
    wrong = deputize(project, "runs", "--state", "raedy")
    assert wrong.code == 2 and wrong.err == "deputize: no run is ever 'raedy'; did you mean 'ready'?\n"
    assert deputize(project, "runs", "--automation", "gret").out == (
        "No runs of an automation 'gret'; did you mean 'greet'?\n"
    )
    assert deputize(project, "runs", "--automation", "greet", "--state", "stuck").out == (
        "No runs of greet are stuck.\n"
    )


def test_an_unknown_run_and_a_prefix_of_several_are_told_apart(project: Path) -> None:
    unknown = deputize(project, "show", "zzzzzz")
    assert unknown.code == 1 and "there is no run 'zzzzzz'; `deputize runs` lists them" in unknown.err
    run = greeted(project, "Pat")
    short = deputize(project, "why", run[:1])
    assert short.code == 1 and ("more than one run begins with" in short.err or "is too short" in short.err)
    assert deputize(project, "cancel", "zzzzzz").code == 1
    assert "has no action '9'" in deputize(project, "why", f"{run}/9").err
    assert "has no action '9'" in deputize(project, "show", f"{run}/9").err


def test_the_second_process_on_a_ledger_is_refused_with_the_pid_of_the_first(project: Path) -> None:
    pid = json.loads((project / "data" / "server.json").read_text())["pid"]
    second = deputize(project, "up")
    assert second.code == 1 and f"belongs to the running process {pid}" in second.err


def test_no_colour_and_no_cut_reaches_a_pipe(project: Path) -> None:
    run = greeted(project, "Plain")
    for words in (["runs"], ["show", run], ["--help"], ["doctor"]):
        assert "\x1b" not in deputize(project, *words).out
    assert run in deputize(project, "runs").out


def test_a_long_value_is_whole_in_one_line_of_a_pipe_and_wrapped_in_a_terminal(project: Path) -> None:
    words = [f"word{n:03}" for n in range(60)]
    deputize(project, "send", "nobody.reads", "--data", json.dumps({"long": " ".join(words) + "\x1b[2J\n"}))
    piped = deputize(project, "events", "--unanswered", COLUMNS="80").out
    assert any(" ".join(words) in line for line in piped.splitlines()) and "\x1b" not in piped
    terminal, other = pty.openpty()
    fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 80, 0, 0))
    command = [EXECUTABLE, "events", "--unanswered", "--project", str(project)]
    environ = {name: value for name, value in os.environ.items() if name != "COLUMNS"} | {"TERM": "dumb"}
    shown = subprocess.Popen(command, stdin=other, stdout=other, stderr=other, env=environ)
    os.close(other)
    seen = b""
    with suppress(OSError):  # a terminal whose other end is gone
        while part := os.read(terminal, 65_536):
            seen += part
    assert shown.wait(30) == 0
    os.close(terminal)
    lines = seen.decode().splitlines()
    assert all(word in seen.decode() for word in words), seen
    assert max(map(len, lines)) <= 80


def test_nothing_that_a_sender_wrote_commands_a_terminal(project: Path) -> None:
    run = greeted(project, "\x1b]0;planted\x07")
    for words in (["why", run], ["why", f"{run}/1"], ["show", run], ["show", f"{run}/1"], ["events"]):
        shown = deputize(project, *words).out
        assert "\x1b" not in shown and "\x07" not in shown, words


@pytest.mark.parametrize("started", ["in front", "in the background of a script"])
def test_runs_are_watched_in_a_terminal_until_ctrl_c(project: Path, started: str) -> None:
    run = greeted(project, "Watched")
    terminal, other = pty.openpty()
    command = [EXECUTABLE, "runs", "--watch", "--project", str(project)]
    if started != "in front":  # a shell has such a command ignore what Ctrl-C sends
        command = ["sh", "-c", 'trap "" INT; exec "$@"', "sh", *command]
    watching = subprocess.Popen(
        command, stdin=other, stdout=other, stderr=other, env=os.environ | {"COLUMNS": "160"}
    )
    os.close(other)
    seen = b""
    while run.encode() not in seen:
        seen += os.read(terminal, 65_536)
    watching.send_signal(signal.SIGINT)
    assert watching.wait(30) == 0
    os.close(terminal)


def test_a_stuck_run_is_shown_with_both_sides_and_given_up(project: Path, tmp_path: Path) -> None:
    own = new_project(tmp_path, "own")
    with served(own):
        sent = deputize(own, "send", "item.paid", "--data", '{"item": "vase"}', "--json").json()
        run = sent["runs"][0]
    edit(own / "automations" / "selling.py", 'event.data.item + "!"', 'event.data.item + "?"')
    with served(own):
        login(own)
        deputize(own, "send", "item.asked", "--data", '{"item": "vase!"}')
        for _ in range(60):
            cards = deputize(own, "inbox", "--json").json()["cards"]
            if any(card["kind"] == "stuck" for card in cards):
                break
        assert any(card["id"] == run and card["kind"] == "stuck" for card in cards), cards
        wrong = deputize(own, "resolve", run, "did-not")
        assert wrong.code == 1 and "it can only be abandoned" in wrong.err
        assert deputize(own, "resolve", run[:12], "abandon").code == 0
        assert deputize(own, "show", run, "--json").json()["run"]["state"] == "ended"


def test_a_reader_that_goes_away_is_no_error(project: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as gone:
        done = subprocess.run(
            [EXECUTABLE, "runs", "--project", str(project)],
            stdout=gone,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stderr) == (0, "")
