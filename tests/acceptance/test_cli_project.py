"""Writing, checking and examining a project from the command line."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.command import EXECUTABLE, deputize, edit, new_project


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return new_project(tmp_path)


def test_init_writes_a_project_that_checks_and_whose_own_tests_pass(tmp_path: Path) -> None:
    made = deputize(tmp_path, "init", "first", "--json")
    assert made.code == 0, made.err
    project = tmp_path / "first"
    files = {str(path.relative_to(project)) for path in project.rglob("*") if path.is_file()}
    assert set(made.json()["files"]) == files
    wanted = {"deputize.toml", "agents.py", ".env", ".gitignore", "README.md"}
    assert wanted < files and {name.split("/")[0] for name in files} > {
        "automations",
        "connectors",
        "rules",
        "samples",
        "tests",
    }
    assert stat.S_IMODE((project / ".env").stat().st_mode) == 0o600
    assert deputize(project, "check").code == 0
    tried = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", ".", "tests"],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
    )
    assert tried.returncode == 0, tried.stdout


def test_init_writes_the_example_shop_and_it_checks(tmp_path: Path) -> None:
    made = deputize(tmp_path, "init", "shop", "--from", "returns")
    assert made.code == 0, made.err
    checked = deputize(tmp_path / "shop", "check", "--json")
    assert checked.code == 0, checked.out + checked.err
    assert len(checked.json()["automations"]) >= 4


def test_init_never_writes_into_a_folder_in_use_and_suggests_a_template(project: Path) -> None:
    again = deputize(project.parent, "init", project.name)
    assert again.code == 1 and "is there already and not empty; give another name" in again.err
    other = deputize(project.parent, "init", "other", "--from", "return")
    assert other.code == 2 and "there is no template 'return'; did you mean 'returns'?" in other.err


def test_a_folder_without_a_project_is_told_what_to_do(tmp_path: Path) -> None:
    for command in ("check", "runs", "up"):
        done = deputize(tmp_path, command)
        assert done.code == 1
        assert "is no project: it has no deputize.toml; `deputize init NAME` makes one" in done.err
        assert len(done.err.splitlines()) == 1


def test_settings_that_are_not_toml_are_told_with_their_line(project: Path) -> None:
    (project / "deputize.toml").write_text("[project\nname = 1\n")
    done = deputize(project, "check")
    assert done.code == 1 and "deputize.toml: " in done.err and "line 1" in done.err


def test_a_misspelt_rule_field_is_told_with_its_line_and_the_nearest_name(project: Path) -> None:
    edit(project / "rules" / "notebook.toml", 'by = "page"', 'by = "pge"')
    edit(project / "rules" / "desk.toml", "desk.sell", "desk.sel")
    done = deputize(project, "check")
    assert done.code == 1
    assert "rules/notebook.toml:9: " in done.out and "did you mean 'page'?" in done.out
    assert "rules/desk.toml:2: " in done.out and "did you mean 'desk.sell'?" in done.out
    assert deputize(project, "check", "--json").json()["ok"] is False
    refused = deputize(project, "up")
    assert refused.code == 1 and "rules/notebook.toml:9: " in refused.err


@pytest.mark.parametrize(
    ("budget", "said"),
    [
        ('operation = "desk.sel"', "there is no operation 'desk.sel'; did you mean 'desk.sell'?"),
        ('agent = "clark"', "there is no agent 'clark'; did you mean 'clerk'?"),
        ('automation = "sel"', "there is no automation 'sel'; did you mean 'sell'?"),
        ('operations = ["dsk.*"]', "operations 'dsk.*' matches nothing"),
        ('operations = "desk.sel"', "operations 'desk.sel' matches nothing; did you mean 'desk.sell'?"),
        ("operations = []", "operations are names or patterns"),
        ('agent = "clerk"\noperation = "desk.sell"', "give agent or operation, not both"),
        ('operation = "desk.sell"\noperations = ["desk.*"]', "give operation or operations, not both"),
        ('nme = "x"', "nme is no setting; did you mean 'name'?"),
        ('name = "Five"', '"Five" counts the same as "everything: 1000 actions per day"'),
    ],
)
def test_a_ceiling_on_nothing_is_refused_with_the_nearest_name(project: Path, budget: str, said: str) -> None:
    with (project / "deputize.toml").open("a") as settings:
        settings.write(f'\n[[budget]]\nlimit = "5 actions"\n{budget}\n')
    done = deputize(project, "check")
    assert done.code == 1 and said in done.out + done.err
    refused = deputize(project, "up")
    assert refused.code == 1 and said in refused.err


@pytest.mark.parametrize(
    ("limit", "more", "said"),
    [
        ("5.00 EUR", 'operation = "desk.sell"', "limits money, and nothing that it is for has an amount"),
        (
            "1.00 USD cost",
            "",
            "limits cost, and nothing that it is for has a price (desk.look, ",
        ),
        ("5 actions", 'operations = ["desk.loo*"]', "limits actions, and nothing that it is for writes"),
        ("5.00 EUR", 'agent = "host"', "has an amount (notebook.write)"),
    ],
)
def test_a_ceiling_that_nothing_can_reach_is_told_with_its_place(
    project: Path, limit: str, more: str, said: str
) -> None:
    desk = project / "connectors" / "desk.py"
    look = "async def look(call: Call) -> Sale:\n    return Sale(number=1)\n"
    desk.write_text(desk.read_text() + '@connector.operation(effect="read")\n' + look)
    settings = project / "deputize.toml"
    settings.write_text(settings.read_text() + f'\n# [[budget]]\n[[budget]]\nlimit = "{limit}"\n{more}\n')
    line = settings.read_text().splitlines().index(f'limit = "{limit}"')
    done = deputize(project, "check")
    assert done.code == 1 and f"deputize.toml:{line}: the budget " in done.out and said in done.out


def test_an_agents_own_ceiling_that_nothing_can_reach_is_told_with_its_line(project: Path) -> None:
    agents = project / "agents.py"
    agents.write_text(
        "from deputize import agent, budget\nfrom connectors import notebook\n"
        'host = agent("host", may=[notebook.write], budgets=[budget("5.00 EUR")])\n'
    )
    done = deputize(project, "check")
    assert done.code == 1 and f"{agents}:3: the budget " in done.out and "limits money" in done.out


def test_an_agent_that_may_do_what_there_is_not_is_refused(project: Path) -> None:
    edit(project / "agents.py", "notebook.write", "notebook.wite")
    done = deputize(project, "check")
    assert done.code == 1
    assert (
        "the agent host: may: there is no operation 'notebook.wite'; did you mean 'notebook.write'?"
        in done.out
    )


def test_every_file_that_does_not_import_is_told_with_its_line(project: Path) -> None:
    (project / "automations" / "broken.py").write_text("import json\n\nx = json.lodas('1')\n")
    (project / "automations" / "typo.py").write_text("def f(:\n    pass\n")
    done = deputize(project, "check")
    assert done.code == 1
    assert "automations/broken.py:3: AttributeError: " in done.out
    assert "automations/typo.py:1: SyntaxError: " in done.out


def test_a_project_that_hangs_is_ended_and_the_line_is_told(project: Path) -> None:
    (project / "automations" / "slow.py").write_text("import time\n\n\ntime.sleep(600)\n")
    done = deputize(project, "check", "--within-s", "2")
    assert done.code == 1
    assert "automations/slow.py:4: still importing the project after 2 s" in done.out


def test_a_project_that_ends_or_floods_the_check_is_no_crash_of_ours(project: Path) -> None:
    noisy = project / "automations" / "noisy.py"
    noisy.write_text("print('x' * 1_000_000)\nprint('1')\nprint('{\"report\": {}}')\n")
    assert deputize(project, "check", "--json").json()["ok"] is True
    noisy.write_text("import os\nos._exit(9)\n")
    done = deputize(project, "check")
    assert done.code == 1 and "ended without a report (exit 9)" in done.err


def test_the_rules_are_shown_as_cedar_when_asked_for(project: Path) -> None:
    assert "permit" in deputize(project, "check", "--show").out
    assert '@title("The clerk may sell")' in deputize(project, "check", "--show", "--json").json()["cedar"]


def test_the_doctor_finds_what_is_wrong_and_says_what_to_do(project: Path) -> None:
    assert deputize(project, "doctor").code == 0
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        edit(project / "deputize.toml", "port = 0", f"port = {port}")
        with (project / "deputize.toml").open("a") as settings:
            settings.write('[connectors.desk]\nbase = "http://127.0.0.1:1"\ntoken = "env:DESK_TOKEN"\n')
        (project / ".env").chmod(0o644)
        done = deputize(project, "doctor")
    assert done.code == 1
    assert f"bad   127.0.0.1 port {port} cannot be used" in done.out
    assert "bad   the secret env:DESK_TOKEN is not set" in done.out
    assert "bad   desk at http://127.0.0.1:1: no: Connection refused" in done.out
    assert "warn  .env can be read by others\n      → chmod 600" in done.out


def test_the_doctor_never_shows_a_secret(project: Path) -> None:
    with (project / "deputize.toml").open("a") as settings:
        settings.write('[connectors.desk]\nbase = "http://127.0.0.1:1"\ntoken = "env:DESK_TOKEN"\n')
    for command in ("doctor", "connectors", "check"):
        done = deputize(project, command, "--json", DESK_TOKEN="canary-7c21-secret")
        assert "canary-7c21" not in done.out + done.err


def test_connections_are_listed_with_their_terms_when_nothing_runs(project: Path) -> None:
    found = {one["name"]: one for one in deputize(project, "connectors", "--json").json()["connectors"]}
    assert found["notebook"]["operations"][0]["terms"] == "30 s, repeatable"
    assert found["notebook"]["base"] is None
    assert "in this process" in deputize(project, "connectors").out


def test_wrong_usage_is_one_line_and_exit_2(project: Path) -> None:
    for words in (["nothing"], ["runs", "--bad"], ["show"], ["up", "twice"], ["runs", "--limit", "0"]):
        done = deputize(project, *words)
        assert done.code == 2, (words, done)
        assert len(done.err.splitlines()) == 1 and done.err.startswith("deputize: ")
    bare = subprocess.run([EXECUTABLE, "runs", "--project"], capture_output=True, text=True, check=False)
    assert bare.returncode == 2 and "--project needs a folder" in bare.stderr


def test_without_a_command_the_help_is_all_that_is_said(project: Path) -> None:
    bare = subprocess.run([EXECUTABLE], capture_output=True, text=True, check=False)
    assert (bare.returncode, bare.stderr) == (2, "") and " inbox " in bare.stdout
    ledger = deputize(project, "ledger")
    assert (ledger.code, ledger.err) == (2, "") and " rebuild " in ledger.out


def test_help_is_quick_and_names_every_command(project: Path) -> None:
    before = os.times().children_user
    done = deputize(project, "--help")
    assert done.code == 0
    for name in ("init", "up", "demo", "town", "send", "runs", "show", "why", "events", "inbox", "resolve"):
        assert f" {name} " in done.out
    assert os.times().children_user - before < 1.5


def test_an_error_with_json_is_one_document_too(project: Path) -> None:
    done = deputize(project, "runs", "--json")
    assert done.code == 1
    assert "there is no ledger at" in done.json()["error"]


def test_a_server_reads_in_nothing_of_what_only_commands_need() -> None:
    question = "import sys, deputize.cli.up, deputize.system, deputize.api.server; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", question], capture_output=True, text=True, check=True)
    assert not {"typer", "rich", "structlog"} & set(done.stdout.split())
