"""What a new user runs into first: each slip is told, with what to do about it."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
from pathlib import Path

import pytest

from deputize.cli import process
from deputize.cli.here import Here, Said
from deputize.store.sqlite.file import take_lock
from tests.support.command import EXECUTABLE, deputize, edit, login, new_project, served


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return new_project(tmp_path)


def add_settings(project: Path, toml: str) -> None:
    """More lines at the end of a project's deputize.toml."""
    with (project / "deputize.toml").open("a") as settings:
        settings.write(f"\n{toml}\n")


def test_a_misspelt_parameter_is_refused_with_the_nearest_name(project: Path) -> None:
    selling = project / "automations" / "selling.py"
    edit(selling, "class Asked", "class Limits(BaseModel):\n    at_most: int = 1\nclass Asked")
    edit(selling, "from agents", "from pydantic import BaseModel\nfrom agents")
    edit(selling, "sell(event: Event[Asked])", "sell(event: Event[Asked], params: Limits)")
    add_settings(project, "[params.sell]\nat_mots = 2")
    for command in ("check", "up"):
        done = deputize(project, command)
        assert done.code == 1
        said = "deputize.toml: [params.sell]: there is no parameter 'at_mots'; did you mean 'at_most'?"
        assert said in done.out + done.err
    edit(project / "deputize.toml", "at_mots", "at_most")
    assert deputize(project, "check").code == 0


def test_check_tells_every_address_and_secret_that_up_would_miss(project: Path) -> None:
    add_settings(
        project,
        '[connectors.desk]\nbase = "env:DESK_URL"\n'
        '[connectors.notebook]\nbase = "http://127.0.0.1:1"\ntoken = "env:BOOK_TOKEN"',
    )
    done = deputize(project, "check")
    assert done.code == 1 and "Not ready to go live" in done.out
    assert "[connectors.desk]: DESK_URL is not set: add DESK_URL=http://… to .env" in done.out
    assert "[connectors.notebook]: the secret env:BOOK_TOKEN is not set: add BOOK_TOKEN=… to .env" in done.out
    (project / ".env").write_text("DESK_URL=http://127.0.0.1:1\nBOOK_TOKEN=canary-token-of-the-book\n")
    assert deputize(project, "check").code == 0


def test_a_run_that_a_stop_holds_up_says_so_wherever_one_looks(project: Path) -> None:
    words = ("visitor.arrived", "--data", '{"name": "Ada"}', "--wait", "--within-s", "0.3")
    halted = "halted: all (stock-taking); deputize resume all"
    with served(project):
        login(project)
        deputize(project, "halt", "--reason", "stock-taking")
        sent = deputize(project, "send", *words)
        assert sent.code == 1 and f"It has not ended; {halted}" in sent.out
        run = deputize(project, "runs", "--json").json()["runs"][0]["id"]
        for command in (["runs"], ["show", run], ["inbox"]):
            assert halted in deputize(project, *command).out, command
    assert halted in deputize(project, "runs").out
    with served(project) as process:
        assert process.stdout is not None and halted in process.stdout.readline()
        deputize(project, "resume", "all")
        deputize(project, "pause", "greet")
        assert "It has not ended; paused: automation:greet; deputize resume automation:greet" in (
            deputize(project, "send", *words).out
        )


def test_a_start_whose_port_is_taken_leaves_no_ledger_behind(project: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        edit(project / "deputize.toml", "port = 0", f"port = {taken.getsockname()[1]}")
        refused = deputize(project, "up")
    assert refused.code == 1 and "cannot be used: Address already in use; choose another port" in refused.err
    assert not (project / "data").exists()
    with served(project):
        second = deputize(project, "up")
    assert second.code == 1 and "belongs to the running process" in second.err


def test_a_whole_event_is_sent_from_a_file(project: Path) -> None:
    sample = project / "whole.json"
    sample.write_text(
        '{"specversion": "1.0", "type": "visitor.arrived", "source": "/door", "id": "v1",'
        ' "data": {"name": "Ada"}}'
    )
    with served(project):
        sent = deputize(project, "send", "--event", f"@{sample}", "--wait", "--json")
        assert sent.code == 0 and sent.json()["id"] == "v1" and sent.json()["ended"], sent.err
        for words in ([], ["visitor.arrived", "--event", "{}"], ["--event", "{}", "--id", "2"]):
            wrong = deputize(project, "send", *words)
            assert wrong.code == 2 and "or a whole CloudEvent by --event alone" in wrong.err
        assert "specversion" in deputize(project, "send", "--event", "{}").err


def test_a_command_waits_for_a_process_that_is_starting(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = Here(project)
    with take_lock(here.settings.ledger):
        note = here.settings.data / process.NOTE

        def serves(_s: float) -> None:
            note.write_text(f'{{"url": "http://127.0.0.1:1", "pid": {os.getpid()}}}')

        monkeypatch.setattr("deputize.cli.process.time.sleep", serves)
        assert process.need_process(here).url == "http://127.0.0.1:1"
        note.unlink()
        monkeypatch.setattr(process, "STARTING_S_MAX", 0.0)
        with pytest.raises(Said, match="does not serve"):
            process.need_process(here)


def test_an_event_of_a_misspelt_type_is_kept_and_the_nearest_type_named(project: Path) -> None:
    with served(project):
        sent = deputize(project, "send", "visitor.arived", "--data", '{"name": "Ada"}')
    assert sent.code == 0 and len(sent.out.splitlines()) == 1
    assert "nothing answers its type" in sent.out and "did you mean 'visitor.arrived'?" in sent.out


def test_check_says_so_when_nothing_is_permitted_yet(project: Path) -> None:
    assert "nothing is permitted yet" not in deputize(project, "check").out
    for rules in (project / "rules").iterdir():
        rules.unlink()
    assert "nothing is permitted yet: add a rule" in deputize(project, "check").out


def test_a_halted_connector_is_named_without_a_guess_of_who_needs_it(project: Path) -> None:
    words = ("visitor.arrived", "--data", '{"name": "Ada"}', "--wait", "--within-s", "0.3")
    with served(project):
        login(project)
        deputize(project, "halt", "connector:notebook", "--reason", "tea")
        sent = deputize(project, "send", *words).out
        shown = deputize(project, "runs").out
    said = "connector:notebook is halted (tea): a run that needs it waits; deputize resume connector:notebook"
    assert f"It has not ended; {said}" in sent and said in shown and "perhaps" not in sent + shown


def test_a_failing_schedule_is_told_by_the_doctor_and_in_the_inbox(project: Path) -> None:
    (project / "automations" / "ticking.py").write_text(
        "from deputize import EventData, schedule\n"
        "class Tick(EventData, type='shop.tick'):\n    n: int = 0\n"
        "@schedule('* * * * * *', event=Tick)\ndef each(tick):\n    raise KeyError('planted')\n"
    )
    with served(project):
        for _ in range(60):
            if deputize(project, "inbox", "--json").json()["sources"]:
                break
        inbox, doctor = deputize(project, "inbox").out, deputize(project, "doctor")
    line = re.search(r"failing: schedule each: .*ticking.py:4: each raised KeyError: 'planted' (.*)", inbox)
    assert line and re.fullmatch(r"\(failed \d+ times?; next 20.*\)", line[1]), inbox
    assert "Nothing waits for a person." in inbox
    assert doctor.code == 0 and "warn  schedule each: " in doctor.out and "planted" in doctor.out


@pytest.mark.parametrize("command", ["check", "doctor"])
def test_an_address_that_others_reach_without_a_token_is_told_before_up_refuses_it(
    project: Path, command: str
) -> None:
    edit(project / "deputize.toml", "port = 0", 'port = 0\nhost = "0.0.0.0"')
    done = deputize(project, command)
    assert done.code == 1 and "[server] host 0.0.0.0 can be reached by others: add token" in done.out
    assert "can be reached by others" in deputize(project, "up").err


@pytest.mark.parametrize("words", [["town", "--json"], ["--json", "town"]])
def test_the_town_tells_its_addresses_as_one_object(tmp_path: Path, words: list[str]) -> None:
    command = [EXECUTABLE, *words, "--dir", str(tmp_path / "town"), "--customers", "2", "--leave-on-eof"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as town:
        assert town.stdout is not None
        told = json.loads(town.stdout.readline())
        busy = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        town.communicate(timeout=30)
    assert {"shop", "payments", "mail", "hall"} <= told.keys()
    assert busy.returncode == 2 and "already running" in json.loads(busy.stdout)["error"]
