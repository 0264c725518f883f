"""Settings of [notify] are checked once, and every error names the key and the nearest right thing."""

from __future__ import annotations

from pathlib import Path

import pytest

from deputize.config import Settings, read_settings
from deputize.connectors.secret import Secrets
from deputize.errors import ProjectError
from deputize.notify.quiet import Quiet
from deputize.notify.settings import check_notify

SMTP = 'smtp = {host = "mail.example.com", from = "deputize@example.com"}'
MAYA = '[people.maya]\nemail = "maya@example.com"\nslack = "U024BE7LH"\n'


def settings(tmp_path: Path, notify: str, people: str = MAYA, **environ: str) -> Settings:
    (tmp_path / "deputize.toml").write_text(f"[notify]\n{notify}\n{people}")
    return read_settings(tmp_path, environ)


def test_what_is_left_out_has_good_defaults(tmp_path: Path) -> None:
    found = settings(tmp_path, SMTP).notify
    assert found is not None and found.smtp is not None
    assert (found.smtp.port, found.smtp.tls, found.every_s, found.quiet, found.console) == (
        587, True, 300.0, None, "",
    )  # fmt: skip


def test_all_of_it_is_read(tmp_path: Path) -> None:
    found = settings(
        tmp_path,
        'smtp = {host = "127.0.0.1", port = 2525, from = "d@example.com", user = "d", '
        'password = "env:MAIL", tls = false}\nslack = "env:HOOK"\nconsole = "https://deputize.example.com/"\n'
        'every = "2 minutes"\nquiet = "22:00-07:00"',
    )
    assert found.notify is not None
    assert found.notify.handles == ("env:MAIL", "env:HOOK")
    assert found.notify.console == "https://deputize.example.com"
    assert (found.notify.every_s, found.notify.quiet) == (120.0, Quiet(22 * 60, 7 * 60))
    assert found.notify.reached(found.directory) == {"maya": ("email", "slack")}


def test_a_person_chooses_among_the_channels_that_reach_them(tmp_path: Path) -> None:
    two = f'{SMTP}\nslack = "env:HOOK"'
    people = MAYA + 'channels = ["slack"]\n[people.kim]\nemail = "k@example.com"\n[people.ines]\n'
    found = settings(tmp_path, two, people)
    assert found.notify is not None
    assert found.notify.reached(found.directory) == {"maya": ("slack",), "kim": ("email",)}


@pytest.mark.parametrize(
    ("notify", "people", "says"),
    [
        ('smpt = {}', MAYA, "[notify]: smpt is no setting; did you mean 'smtp'"),
        ('smtp = {host = "m", from = "a@b", passwrod = "env:X"}', MAYA, "passwrod is no setting"),
        ("every = '5 minutes'", MAYA, "[notify] reaches nobody: add smtp"),
        (SMTP, "[people.maya]\n", "[notify] reaches nobody: add email"),
        ('smtp = {from = "a@b"}', MAYA, "[notify] smtp: host is missing"),
        ('smtp = {host = "m", from = "nobody"}', MAYA, "from 'nobody' is no e-mail address"),
        ('smtp = {host = "m", from = "a@b", port = 0}', MAYA, "port must be a number"),
        ('smtp = {host = "m", from = "a@b", tls = "yes"}', MAYA, "tls must be true or false"),
        ('smtp = {host = "m", from = "a@b", user = "u"}', MAYA, "user and password go together"),
        (
            'smtp = {host = "m.example.com", from = "a@b", user = "u", password = "env:P", tls = false}',
            MAYA,
            "the password would go to m.example.com for all to read",
        ),
        (f'{SMTP}\nevery = "soon"', MAYA, "[notify] every: write a time like '90 minutes'"),
        (f'{SMTP}\nevery = "2 days"', MAYA, "[notify] every: at most 1 day"),
        (f'{SMTP}\nquiet = "at night"', MAYA, '[notify] quiet: write hours like "22:00-07:00"'),
        (f'{SMTP}\nquiet = "07:00-07:00"', MAYA, "[notify] quiet: it must leave some of the day"),
        (f'{SMTP}\nconsole = "deputize"', MAYA, "[notify] console: 'deputize' is not an address"),
        (SMTP, MAYA + 'channels = ["slack"]\n', "channels names slack; [notify] has no slack"),
        (SMTP, '[people.k]\nchannels = ["email"]\n', "channels names email, and email is not set"),
        (SMTP, MAYA + 'channels = ["emial"]\n', "'emial' is no channel; did you mean 'email'"),
        (SMTP, '[people.k]\nslack = "#general"\n', "slack '#general' is no member id"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(tmp_path: Path, notify: str, people: str, says: str) -> None:
    with pytest.raises(ProjectError) as error:
        settings(tmp_path, notify, people)
    assert says in str(error.value) and str(error.value).startswith("deputize.toml: ")


def test_a_secret_that_was_written_out_is_refused_and_not_repeated(tmp_path: Path) -> None:
    for notify in (
        'slack = "https://hooks.slack.com/services/T0/B0/very-secret"',
        'smtp = {host = "m", from = "a@b", user = "u", password = "very-secret"}',
    ):
        with pytest.raises(ProjectError, match="never write the secret itself") as error:
            settings(tmp_path, notify)
        assert "very-secret" not in str(error.value)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("", "the secret env:HOOK is not set"),
        ("very-secret", "does not hold the address of a webhook"),
        ("http://hooks.example.com/very-secret", "must begin with https://"),
        ("https://user:very-secret@hooks.example.com/x", "does not hold the address"),
    ],
)
def test_check_finds_a_webhook_that_could_not_be_posted_to(tmp_path: Path, value: str, says: str) -> None:
    found = settings(tmp_path, 'slack = "env:HOOK"', HOOK=value)
    (wrong,) = check_notify(found.notify, Secrets(tmp_path, found.environ))
    assert says in wrong and "very-secret" not in wrong
