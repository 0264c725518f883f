"""Whoever looks sees how telling people stands: the inbox, the metrics, the checks, the command line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from deputize.town import Town
from tests.support.command import deputize
from tests.support.desk import Desk
from tests.support.fixtures import desk as desk
from tests.support.running import ShiftedClock
from tests.support.serving import SERVER, serving
from tests.support.telling import MAYA, ask_for, telling_project


@pytest.fixture(scope="module")
def shared_town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with Town.start(tmp_path_factory.mktemp("town"), customers=1) as started:
        yield started


@pytest.fixture
def town(shared_town: Town) -> Iterator[Town]:
    yield shared_town
    shared_town.set_faults()


async def test_trouble_is_in_the_inbox_the_metrics_and_the_log_without_secrets(
    tmp_path: Path, desk: Desk, town: Town, capfd: pytest.CaptureFixture[str]
) -> None:
    clock = ShiftedClock()
    people = MAYA + 'slack = "U024BE7LH"\n' + SERVER
    project = telling_project(tmp_path, desk, town, people=people, slack="B9")
    for service, operation in (("smtp", "deliver"), ("chat", "post")):
        town.set_faults({"service": service, "operation": operation, "kind": "error_500", "rate": 1.0})
        async with serving(project, clock=clock) as served:
            await ask_for(served.app, 1, first=int(clock.shift_s))
            clock.shift_s += 301.0
            await served.app.system.notifier.turn()
            sources = (await served.http.get("/v1/inbox")).json()["sources"]
            name = "email" if service == "smtp" else "slack"
            assert [(one["kind"], one["name"], one["failures"]) for one in sources] == [("channel", name, 1)]
            metrics = (await served.http.get("/metrics")).text
            assert "deputize_channel_failures 1.0" in metrics
            assert 'deputize_messages_total{channel="email"}' in metrics
    errors = capfd.readouterr().err
    assert "people could not be told" in errors and "554" in errors
    assert "very-secret" not in errors


def test_a_test_message_says_how_it_went(tmp_path: Path, desk: Desk, town: Town) -> None:
    people = MAYA + 'slack = "U024BE7LH"\n[people.kim]\n'
    project = tmp_path / "project"
    project.mkdir()
    telling_project(project, desk, town, people=people, slack="B10")
    before = len(town.letters())
    done = deputize(project, "notify", "maya", "--test")
    assert (done.code, done.out.splitlines()) == (
        0,
        [
            "maya is told by email and slack.",
            "email: the test message was taken.",
            "slack: the test message was taken.",
        ],
    )
    (letter,) = town.letters()[before:]
    assert letter["reader"] == "maya@example.test" and letter["subject"] == "A test: nothing waits for you"
    town.set_faults({"service": "chat", "operation": "post", "kind": "error_500", "rate": 1.0})
    done = deputize(project, "notify", "maya", "--test", "--json")
    assert done.code == 1
    assert done.json()["tried"]["email"] is None and "500" in done.json()["tried"]["slack"]
    assert "very-secret" not in done.out + done.err
    assert deputize(project, "notify", "maya").out == "maya is told by email and slack.\n"
    for name, says in (("mayo", "did you mean 'maya'"), ("kim", "nothing reaches kim: add email")):
        done = deputize(project, "notify", name, "--test")
        assert done.code == 1 and says in done.err
    assert len(town.letters()) == before + 2


def test_check_and_doctor_find_what_is_not_set(tmp_path: Path, desk: Desk, town: Town) -> None:
    project = tmp_path / "project"
    project.mkdir()
    login = ', user = "deputize", password = "env:MAIL_PASSWORD"'
    telling_project(project, desk, town, smtp=login, people=MAYA + "[people.kim]\n")
    done = deputize(project, "check")
    assert "[notify] does not reach kim: add email (or slack)" in done.out
    assert done.code == 1 and "the secret env:MAIL_PASSWORD is not set" in done.out
    assert "env:MAIL_PASSWORD is not set" in deputize(project, "doctor").out
    assert deputize(project, "check", MAIL_PASSWORD="long-enough-password").code == 0
    text = (project / "deputize.toml").read_text()
    (project / "deputize.toml").write_text(text.replace('every = "5 minutes"', 'evry = "5 minutes"'))
    done = deputize(project, "check")
    assert done.code == 1 and "[notify]: evry is no setting; did you mean 'every'?" in done.out + done.err
