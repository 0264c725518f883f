"""Coming in by a browser, as the command line tells it; and tokens for programs."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import httpx2

from deputize.cli.making import person_name
from tests.support.command import deputize, edit, new_project, served

PASSWORD = "three words and one"


def link_of(process: subprocess.Popen[str]) -> str:
    """The line that follows the first, and tells a one-time link."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def use(url: str, **body: str) -> httpx2.Response:
    """Do what the page of a link does."""
    base, _, key = url.partition("/first?key=")
    assert key.startswith("dpf_"), url
    return httpx2.post(f"{base}/v1/session/first", json={"key": key} | body, trust_env=False)


def test_up_prints_a_one_time_link_until_somebody_has_a_password(tmp_path: Path) -> None:
    project = new_project(tmp_path)
    name = person_name()
    for _ in range(2):
        with served(project) as process:
            line = link_of(process)
            said = f"{name} sets a password and comes in, once and within 15 minutes: "
            found = re.fullmatch(re.escape(said) + r"(http\S+)", line)
            assert found, line
            assert use(found[1], password="too short").status_code == 422
    with served(project) as process:
        url = link_of(process).rpartition(" ")[2]
        assert use(url, password=PASSWORD).json()["person"] == name
        assert use(url, password=PASSWORD).status_code == 410
    with served(project) as process:
        process.terminate()
        rest, errors = process.communicate(timeout=30)
        assert rest == "" and errors == ""


def test_where_nobody_is_named_the_link_lets_the_owner_in(tmp_path: Path) -> None:
    project = new_project(tmp_path)
    (project / "deputize.toml").write_text('[project]\nname = "shop"\n[server]\nport = 0\n')
    with served(project) as process:
        line = link_of(process)
        assert line.startswith("Opens it in a browser, once and within 15 minutes: http"), line
        answer = use(line.rpartition(" ")[2])
        assert answer.status_code == 200 and answer.json()["person"] is None
        refused = deputize(project, "login", "maya", "--browser")
        assert refused.code == 1 and "add [people.NAME]" in refused.err


def test_a_server_that_others_reach_prints_no_link(tmp_path: Path) -> None:
    project = new_project(tmp_path)
    edit(project / "deputize.toml", "port = 0", 'port = 0\nhost = "0.0.0.0"\ntoken = "env:API_TOKEN"')
    (project / ".env").write_text("API_TOKEN=a-token-of-this-test\n")
    with served(project) as process:
        made = deputize(project, "login", "maya", "--browser", "--json").json()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/first\?key=dpf_\S+", made["url"])
        process.terminate()
        rest, _ = process.communicate(timeout=30)
        assert rest == ""


def test_people_get_links_and_programs_narrow_tokens(tmp_path: Path) -> None:
    project = new_project(tmp_path)
    with served(project):
        made = deputize(project, "login", "kim", "--browser")
        url, said = made.out.splitlines()
        assert said == "For kim, once and within 15 minutes: it sets a password and comes in."
        answer = use(url, password=PASSWORD)
        assert answer.json()["person"] == "kim"
        unknown = deputize(project, "login", "kin", "--browser")
        assert unknown.code == 1 and "did you mean 'kim'?" in unknown.err
        both = deputize(project, "login", "kim", "--browser", "--token", "-")
        assert both.code == 2 and "choose one" in both.err

        words = ("--scope", "viewer", "--days", "30", "--for", "the till")
        token = deputize(project, "token", "maya", *words)
        secret, told, _ = token.out.splitlines()
        assert secret.startswith("dpt_") and "for viewers' acts alone, good until" in told
        shown = deputize(project, "people").out
        assert re.search(r"[0-9a-f]{8} \(viewer, until \S+ \S+: the till\)", shown), shown
        assert "admin" in shown and "approver" in shown
        halt = deputize(project, "halt", DEPUTIZE_PERSON_TOKEN=secret)
        assert halt.code == 1 and "this token of maya's is for a viewer alone" in halt.err
        assert deputize(project, "runs", DEPUTIZE_PERSON_TOKEN=secret).code == 0
        wrong = deputize(project, "token", "kim", "--scope", "admin")
        assert wrong.code == 1 and "no token of theirs may more: not admin" in wrong.err
        wrong = deputize(project, "token", "kim", "--days", "400")
        assert wrong.code == 1 and "days must be a number from 1 to 366" in wrong.err
        deputize(project, "login", "kim")
        (kim,) = [p for p in deputize(project, "people", "--json").json()["people"] if p["name"] == "kim"]
        assert [one["for"] for one in kim["tokens"]] == ["commands"]
        assert json.loads((project / "data" / "login").read_text()).keys() == {"person", "id", "token"}
        refused = deputize(project, "halt")
        assert refused.code == 1 and "kim is an approver, and only an operator or an admin" in refused.err
