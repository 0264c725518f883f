"""Who commands speak for, and approving from the command line: one `deputize up` for all of these tests."""

from __future__ import annotations

import json
import os
import pty
import re
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.command import COMMAND_S_MAX, EXECUTABLE, Done, deputize, new_project, served

APPROVALS = """
[[rule]]
title = "What is written is read by somebody first"
operation = "notebook.write"
ask_always = true
ask = "finance"
within = "2 hours"
"""
ASKING = """
from agents import host
from deputize import Event, EventData, Outcome, ask, automation, done
class Doubted(EventData, type="door.doubted"):
    text: str
@automation(on=Doubted, agent=host)
async def doubts(event: Event[Doubted]) -> Outcome:
    many = await ask("finance", event.data.text, answer=int)
    return done(str(many))
"""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    made = new_project(tmp_path_factory.mktemp("cli"))
    (made / "rules" / "approvals.toml").write_text(APPROVALS)
    (made / "automations" / "asking.py").write_text(ASKING)
    with served(made):
        yield made


@pytest.fixture
def project(running: Path) -> Iterator[Path]:
    """The running project; nobody is logged in, before and after."""
    yield running
    deputize(running, "logout")


def given(project: Path, *words: str, text: str) -> Done:
    """A command that reads standard input."""
    done = subprocess.run(
        [EXECUTABLE, *words, "--project", str(project)],
        input=text,
        capture_output=True,
        text=True,
        timeout=COMMAND_S_MAX,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return Done(done.returncode, done.stdout, done.stderr)


def waiting(project: Path, name: str, **environ: str) -> str:
    """Send a visitor whose greeting waits for a person; the id of its card."""
    data = json.dumps({"name": name})
    sent = deputize(project, "send", "visitor.arrived", "--data", data, "--json", **environ)
    return card_of(project, sent.json()["runs"][0])


def card_of(project: Path, run: str) -> str:
    for _ in range(60):
        for card in deputize(project, "inbox", "--json").json()["cards"]:
            if card["run"] == run:
                return str(card["id"])
    raise AssertionError(deputize(project, "show", run).out)


def ended(project: Path, card: str) -> str:
    """How a card's run has ended."""
    for _ in range(60):
        run = deputize(project, "show", card.partition("/")[0], "--json").json()["run"]
        if run["state"] == "ended":
            return str(run["label"])
    raise AssertionError(run)


def tokens(project: Path, name: str) -> list[str]:
    people = deputize(project, "people", "--json").json()["people"]
    return [token["id"] for one in people if one["name"] == name for token in one["tokens"]]


# -- who commands speak for ------------------------------------------------------------------------------


def test_without_a_login_nothing_is_decided_and_all_is_read(project: Path) -> None:
    card = waiting(project, "Nobody")
    commands = (
        ["approve", card],
        ["refuse", card],
        ["change", card, "--args", "{}"],
        ["resolve", card, "abandon"],
        ["halt"],
        ["pause", "greet"],
        ["cancel", card.partition("/")[0]],
    )
    for words in commands:
        done = deputize(project, *words)
        assert done.code == 1 and "only a person may do this: `deputize login NAME`" in done.err, words
    assert deputize(project, "runs").code == deputize(project, "inbox").code == 0
    assert deputize(project, "halt", "--as", "maya").code == 2


def test_a_login_is_kept_for_this_user_alone_and_ends_with_logout(project: Path) -> None:
    before, kims = tokens(project, "maya"), tokens(project, "kim")
    logged = deputize(project, "login", "maya")
    assert logged.code == 0 and "Commands here speak for maya now" in logged.out
    kept = project / "data" / "login"
    token = json.loads(kept.read_text())["token"]
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600 and token not in logged.out
    assert deputize(project, "pause", "greet").code == 0
    assert deputize(project, "resume", "greet").code == 0
    assert len(tokens(project, "maya")) == len(before) + 1
    # Another login takes the place of the first, whose token ends.
    assert deputize(project, "login", "kim").code == 0
    assert tokens(project, "maya") == before and len(tokens(project, "kim")) == len(kims) + 1
    out = deputize(project, "logout")
    assert "no longer speak for kim" in out.out and not kept.exists()
    assert tokens(project, "kim") == kims
    assert deputize(project, "logout").out == "Nobody was logged in here.\n"
    assert deputize(project, "halt").code == 1
    assert deputize(project, "halt", DEPUTIZE_PERSON_TOKEN=token).code == 1


def test_a_login_that_is_no_token_any_more_says_what_to_do(project: Path) -> None:
    deputize(project, "login", "maya")
    id = json.loads((project / "data" / "login").read_text())["id"]
    assert deputize(project, "token", "maya", "--revoke", id).code == 0
    for words in (["runs"], ["halt"], ["inbox"]):
        done = deputize(project, *words)
        assert done.code == 1 and "not known, or not any more: `deputize login NAME`" in done.err, words
    assert "no longer speak for maya" in deputize(project, "logout").out
    assert deputize(project, "runs").code == 0


def test_a_token_is_printed_once_and_says_so(project: Path) -> None:
    made = deputize(project, "token", "maya")
    token, *lines = made.out.splitlines()
    assert re.fullmatch(r"dpt_[\w-]{43}", token)
    id = re.search("This is maya's token ([0-9a-f]{8}), good until .*. It is shown once", lines[0])
    assert id is not None and id[1] in tokens(project, "maya")
    listed = deputize(project, "people")
    assert id[1] in listed.out and token not in listed.out and "finance" in listed.out
    assert deputize(project, "halt", DEPUTIZE_PERSON_TOKEN=token).code == 0
    assert deputize(project, "resume", "all", DEPUTIZE_PERSON_TOKEN=token).code == 0
    taken = deputize(project, "token", "maya", "--revoke", id[1])
    assert f"{id[1]} is no token any more." in taken.out
    assert deputize(project, "halt", DEPUTIZE_PERSON_TOKEN=token).code == 1
    again = deputize(project, "token", "maya", "--revoke", id[1])
    assert again.code == 1 and "maya has no token" in again.err
    unknown = deputize(project, "token", "kin")
    assert unknown.code == 1 and "did you mean 'kim'?" in unknown.err


def test_a_token_that_was_given_is_read_from_standard_input(project: Path) -> None:
    token = deputize(project, "token", "maya", "--json").json()["token"]
    seen = deputize(project, "login", "maya", "--token", token)
    assert seen.code == 2 and "--token - reads it from standard input" in seen.err and token not in seen.err
    for text in ("", "\n", "dpt_short\n", token[:-1] + "\n", "x" * 100_000):
        wrong = given(project, "login", "maya", "--token", "-", text=text)
        assert wrong.code == 2 and "is no token" in wrong.err, text[:50]
    other = given(project, "login", "kim", "--token", "-", text=token)
    assert other.code == 1 and "this is no token of kim's" in other.err
    nobodys = given(project, "login", "maya", "--token", "-", text="dpt_" + "A" * 43)
    assert nobodys.code == 1 and "not known" in nobodys.err
    assert not (project / "data" / "login").exists()
    assert given(project, "login", "maya", "--token", "-", text=token + "\n").code == 0
    assert deputize(project, "halt").code == deputize(project, "resume", "all").code == 0
    # What was not made by the login is not ended by the logout.
    assert deputize(project, "logout").code == 0
    assert deputize(project, "runs", DEPUTIZE_PERSON_TOKEN=token).code == 0


def test_a_token_is_typed_in_without_being_shown(project: Path) -> None:
    token = deputize(project, "token", "kim", "--json").json()["token"]
    terminal, other = pty.openpty()
    command = [EXECUTABLE, "login", "kim", "--token", "-", "--project", str(project)]
    typing = subprocess.Popen(
        command, stdin=other, stdout=other, stderr=other, start_new_session=True, env=os.environ
    )
    seen = b""
    while b"Token:" not in seen:
        seen += os.read(terminal, 1_000)
    os.write(terminal, token.encode() + b"\n")
    assert typing.wait(30) == 0
    os.close(other)
    while b"speak for kim" not in seen:
        seen += os.read(terminal, 1_000)
    os.close(terminal)
    assert token.encode() not in seen


def test_the_environments_token_comes_before_the_login(project: Path) -> None:
    deputize(project, "login", "maya")
    kim = deputize(project, "token", "kim", "--json").json()["token"]
    card = waiting(project, "Ada", DEPUTIZE_PERSON_TOKEN=kim)
    own = deputize(project, "approve", card, DEPUTIZE_PERSON_TOKEN=kim)
    assert own.code == 1 and "kim asked for it; nobody approves their own request" in own.err
    assert deputize(project, "approve", card).code == 0
    assert ended(project, card) == "done(greeted)"
    for wrong in ("open sesame", "dpt_é", "Bearer " + kim):
        done = deputize(project, "runs", DEPUTIZE_PERSON_TOKEN=wrong)
        assert done.code == 2 and "DEPUTIZE_PERSON_TOKEN holds no token" in done.err
    told = deputize(project, "login", "maya", DEPUTIZE_PERSON_TOKEN=kim).out
    assert "DEPUTIZE_PERSON_TOKEN is set, and comes first" in told


def test_whoever_may_not_read_the_operators_key_is_told_whom_to_ask(project: Path) -> None:
    key = project / "data" / "operator.key"
    aside = key.rename(key.with_name("aside"))
    try:
        refused = deputize(project, "login", "maya")
        assert refused.code == 1 and "`deputize login NAME --token -` takes it" in refused.err
        nobody = deputize(project, "token", "maya")
        assert nobody.code == 1 and "operator's key" in nobody.err
    finally:
        aside.rename(key)
    deputize(project, "login", "kim")
    aside = key.rename(key.with_name("aside"))
    try:
        other = deputize(project, "token", "maya")
        assert (
            other.code == 1 and "only an admin may give people their tokens and links; ask maya" in other.err
        )
    finally:
        aside.rename(key)


# -- approving -------------------------------------------------------------------------------------------


def test_the_inbox_says_which_rule_asks_until_when_and_how_to_answer(project: Path) -> None:
    card = waiting(project, "Bea")
    shown = deputize(project, "inbox").out
    told = shown[shown.index(card) :].split("\n\n", 1)[0]
    for words in (
        "approval  since 2",
        'rule:  "What is written is read by somebody first" asks finance',
        'what:  notebook.write with page "guests", text "Welcome, Bea!"',
        "until: 2",
        f"deputize approve {card}\n",
        f"deputize refuse {card} --reason",
        f"deputize change {card} --args",
    ):
        assert words in told, (words, told)


def test_an_approval_says_what_it_is_and_starts_it(project: Path) -> None:
    card = waiting(project, "Cleo")
    deputize(project, "login", "kim")
    done = deputize(project, "approve", card)
    first, second = done.out.splitlines()
    assert (
        first.startswith(f'{card}: notebook.write with page "guests", text "Welcome, Cleo!"')
        and second == f"Approved; it is judged once more, and `deputize why {card}` says what comes of it."
    )
    assert ended(project, card) == "done(greeted)"
    again = deputize(project, "approve", card)
    assert again.code == 1 and "waits for a person; `deputize inbox`" in again.err
    entries = deputize(project, "show", card, "--json").json()["entries"]
    intent = next(entry for entry in entries if entry["type"] == "intent")
    assert intent["body"]["approvals"][0]["person"] == "kim"


def test_help_says_that_what_is_approved_or_changed_is_judged_once_more(project: Path) -> None:
    assert "judged once more" in deputize(project, "approve", "--help").out
    told = " ".join(deputize(project, "change", "--help").out.split())
    assert "judged anew, and may start at once" in told and "others" not in told


def test_a_halt_of_what_is_no_scope_says_that_nothing_was_halted(project: Path) -> None:
    done = deputize(project, "halt", "paymnts")
    assert done.code == 2 and done.err.startswith("deputize: nothing was halted: 'paymnts' is none of")
    assert "runs are paused" not in done.err


def test_a_card_is_told_by_the_first_digits_of_its_run(project: Path) -> None:
    card = waiting(project, "Dora")
    deputize(project, "login", "kim")
    short = deputize(project, "refuse", card[:2] + "/1")
    assert short.code == 1 and "no card" in short.err
    other = deputize(project, "resolve", card, "abandon")
    assert other.code == 1 and "asking" in other.err
    done = deputize(project, "refuse", f"{card[:12]}/1", "--reason", "not today", "--json")
    assert done.json()["said"] == "refused" and done.json()["card"] == card
    assert ended(project, card).startswith("failed")
    assert "refused by kim: not today" in deputize(project, "why", card).out


def test_changed_arguments_wait_for_another_person(project: Path) -> None:
    card = waiting(project, "Eve")
    deputize(project, "login", "kim")
    for args in ("{bad", "@/nowhere.json"):
        assert deputize(project, "change", card, "--args", args).code == 2
    unfit = deputize(project, "change", card, "--args", '{"page": "guests"}')
    assert unfit.code == 1 and unfit.err == "deputize: notebook.write: text: Field required\n"
    same = deputize(project, "change", card, "--args", '{"page": "guests", "text": "Welcome, Eve!"}')
    assert same.code == 1 and "these are the arguments that it has" in same.err
    changed = deputize(project, "change", card, "--args", '{"page": "guests", "text": "Hello, Eve."}')
    assert changed.code == 0 and f"goes on as {card}~1" in changed.out, changed.err
    for _ in range(60):
        if f"{card}~1" in deputize(project, "inbox").out:
            break
    own = deputize(project, "approve", f"{card}~1")
    assert own.code == 1 and "nobody approves their own request" in own.err
    deputize(project, "login", "maya")
    assert deputize(project, "approve", f"{card}~1").code == 0
    assert ended(project, card) == "done(greeted)"


def test_whoever_is_not_asked_is_told_who_is(project: Path) -> None:
    card = waiting(project, "Fay")
    deputize(project, "login", "otto")
    done = deputize(project, "approve", card)
    assert done.code == 1 and "otto is not asked for this; it asks kim and maya" in done.err


def test_a_question_is_answered_in_words(project: Path) -> None:
    data = json.dumps({"text": "How many chairs?"})
    run = deputize(project, "send", "door.doubted", "--data", data, "--json").json()["runs"][0]
    card = card_of(project, run)
    assert "takes: whole number\n" in deputize(project, "inbox").out
    deputize(project, "login", "kim")
    wrong = deputize(project, "answer", card, "many")
    assert wrong.code == 1 and "a whole number, like 3" in wrong.err
    other = deputize(project, "approve", card)
    assert other.code == 1 and f"answered in another way: deputize answer {card}" in other.err
    done = deputize(project, "answer", card, "12")
    assert done.code == 0 and "How many chairs?" in done.out and "Answered." in done.out
    assert ended(project, card) == "done(12)"


# -- projects --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("template", ["blank", "returns"])
def test_a_new_project_names_whoever_made_it(tmp_path: Path, template: str) -> None:
    made = deputize(tmp_path, "init", "shop", "--from", template)
    name = re.search("deputize login ([a-z0-9_-]+)\n", made.out)
    assert name is not None
    assert f"[people.{name[1]}]" in (tmp_path / "shop" / "deputize.toml").read_text()
    assert deputize(tmp_path / "shop", "check").code == 0


def test_people_are_listed_beside_the_process_too(tmp_path: Path) -> None:
    own = new_project(tmp_path, "own")
    with served(own):
        deputize(own, "login", "maya")
        live = deputize(own, "people", "--json").json()
    assert deputize(own, "people", "--json").json() == live
    assert "deputize up" in deputize(own, "login", "maya").err
    out = deputize(own, "logout").out
    assert "Their token is as it was: `deputize token maya --revoke" in out


def test_what_was_taken_back_does_not_come_back_with_a_copy(tmp_path: Path) -> None:
    own = new_project(tmp_path, "own")
    with served(own):
        made = deputize(own, "token", "maya", "--json").json()
        assert deputize(own, "backup", str(tmp_path / "copy.db")).code == 0
        assert deputize(own, "token", "maya", "--revoke", made["id"]).code == 0
    assert deputize(own, "restore", str(tmp_path / "copy.db"), "--force").code == 0
    with served(own):
        assert deputize(own, "resume", "all", DEPUTIZE_PERSON_TOKEN=made["token"]).code == 1
        deputize(own, "login", "maya")
        assert deputize(own, "resume", "all").code == 0


def test_the_doctor_tells_of_files_that_others_can_read_and_of_nobody(tmp_path: Path) -> None:
    own = new_project(tmp_path, "own")
    with served(own):
        deputize(own, "login", "maya")
    assert "who may decide: kim, maya" in deputize(own, "doctor").out
    for name in ("login", "operator.key"):
        (own / "data" / name).chmod(0o644)
        told = deputize(own, "doctor")
        assert told.code == 1 and f"{name} can be read by others" in told.out
        (own / "data" / name).unlink()
    settings = (own / "deputize.toml").read_text().splitlines(keepends=True)
    first = next(n for n, line in enumerate(settings) if line.startswith("[people."))
    (own / "deputize.toml").write_text("".join(settings[:first]))
    assert "nobody may decide" in deputize(own, "doctor").out
