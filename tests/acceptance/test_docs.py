"""Every command and code block of the README and the docs does what it says."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import time
import urllib.request
from pathlib import Path

import pytest

from deputize.access import ACTS, ROLES, may, roles_for
from deputize.project import load_project
from deputize.testing.thinker import Thinker
from tests.support.collector import collecting
from tests.support.command import served
from tests.support.project import write_project
from tests.support.running import running

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
FILE_NAME = re.compile(r"# ([\w./-]+\.(?:py|toml|yaml))\n")
WITH_COMMANDS = {
    "README.md", "access.md", "benchmarks.md", "console.md", "notifications.md", "operating.md",
    "rehearsal.md",
}  # fmt: skip
KNOWN = {"python", "toml", "yaml", "sh", "console", "text", ""}


def blocks(page: Path, *languages: str) -> list[str]:
    return [body for language, body in BLOCK.findall(page.read_text()) if language in languages]


def write_files(page: Path, root: Path) -> list[str]:
    """Write every block that names its file; the names, in order."""
    names = []
    for body in blocks(page, "python", "toml", "yaml"):
        match = FILE_NAME.match(body)
        assert match, f"{page.name}: a code block starts with a comment that names its file: {body[:60]!r}"
        path = root / match[1]
        path.parent.mkdir(parents=True, exist_ok=True)
        # Several pages say what stands in the settings.
        before = path.read_text() if match[1] == "deputize.toml" and path.exists() else ""
        path.write_text(before + body)
        names.append(match[1])
    return names


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_block_is_of_a_kind_that_is_tested(page: Path) -> None:
    kinds = {language for language, _ in BLOCK.findall(page.read_text())}
    assert kinds <= KNOWN
    if page.name not in {
        "README.md",
        "access.md",
        "benchmarks.md",
        "console.md",
        "mcp.md",
        "notifications.md",
        "operating.md",
        "rehearsal.md",
    }:
        assert not kinds & {"sh", "console"}, "commands outside the README need a test of their own here"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_every_make_command_is_a_target() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for page in PAGES:
        for body in blocks(page, "sh"):
            for target in re.findall(r"^make ([\w-]+)", body, re.MULTILINE):
                assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"{page.name}: make {target}"


def test_every_command_of_the_command_line_that_the_pages_name_is_there() -> None:
    told = run("--help", cwd=ROOT).stdout
    for page in PAGES:
        for name in re.findall(r"`deputize ([a-z]+)", page.read_text()):
            assert re.search(rf"\b{name}\b", told), f"{page.name}: deputize {name}"


def test_the_first_automation_of_the_readme_runs_as_it_says(tmp_path: Path) -> None:
    assert write_files(ROOT / "README.md", tmp_path) == [
        "automations/greet.py",
        "rules/greet.toml",
        "deputize.toml",
    ]
    first, second = blocks(ROOT / "README.md", "console")
    said = session(first + second, tmp_path)
    assert "All is well" in said
    assert "done(greeted)" in said
    assert 'because "somebody arrived"' in said
    assert "The porter may greet" in said
    assert '"Mallory is greeted only if somebody agrees" asks maya' in said
    assert 'notes.write with name "Mallory"' in said and "Approved; it is judged once more" in said


def test_the_pages_on_connectors_automations_and_rules_make_one_project_that_loads(tmp_path: Path) -> None:
    agents = 'returns = agent("returns-desk")\nauditor = agent("auditor")\n'
    (tmp_path / "agents.py").write_text(f"from deputize import agent\n{agents}")
    for page in ("connectors.md", "automations.md", "rules.md"):
        write_files(ROOT / "docs" / page, tmp_path)
    project = load_project(
        tmp_path, {"PAYMENTS_URL": "http://127.0.0.1:1", "PAYMENTS_TOKEN": "a-long-enough-token"}
    )
    assert set(project.operations) == {"books.is_due", "payments.refund", "stock.hold", "stock.release"}
    assert project.operations["stock.hold"].contract.undo == "stock.release"
    assert set(project.automations) == {"collect_photo", "pick_headline", "pay_back"}
    assert len(project.rules.explain()) == 9
    assert set(project.settings.directory.people) == {"maya", "kim"}
    assert project.settings.connectors["payments"].concurrent_max == 10


async def test_the_page_on_thinking_makes_a_project_that_thinks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "desk"
    write_files(ROOT / "docs" / "thinking.md", root)
    call = {"name": "notes-write", "args": {"page": "a", "text": "b"}}
    arguments = {"page": "plans", "text": "$event.text"}
    planned = {"goal": "g", "end": "planned", "steps": [{"id": "s", "operation": "notes.write"}]}
    planned["steps"][0]["arguments"] = arguments  # type: ignore[index]
    with Thinker.start(tmp_path) as thinker:
        monkeypatch.setenv("MODEL_URL", thinker.base)
        thinker.say(
            {"text": '{"kind": "thanks"}'},
            {"text": '{"kind": "wish"}'},
            {"calls": [call]},
            {"calls": [{"name": "answer", "args": {"text": "a"}}]},
            {"text": '{"kind": "other"}'},
            {"calls": [{"name": "answer", "args": planned}]},
        )
        async with running(root) as world:
            for text, label in (("thank you", "noted"), ("please", "seen to"), ("hm", "planned")):
                run = await world.send(type="desk.message", text=text)
                assert await world.label(run) == f"done({label})"
            arrived: dict[str, object] = {"name": "Ada", "languages": ["en", "fr"]}
            run = await world.send(type="desk.arrived", **arrived)
            assert await world.label(run) == "done(welcomed)"
            run = await world.send(type="desk.arrived", wish="tea", **arrived)
            card = await world.card()
            assert card.body["why"] == "Welcome whoever arrives"
            run = await world.send(type="desk.left", name="Ada")
            card = await world.until(lambda view: next((c for c in view.cards() if "plan" in c.body), None))
            assert card is not None and card.body["rules"] == card.body["plan"]["covers"]["wished"]
            await world.kernel.approving.approve(card.id, binding=card.body["binding"], person="maya")
            assert await world.label(run) == "done(seen off)"
            whole = [e.body.get("whole", {}).get("plan") for e in world.entries(run, "intent") if e.body]
            assert whole == ["1", None]


def test_the_page_on_testing_tests_the_example(tmp_path: Path) -> None:
    place = tmp_path / "shop"
    shutil.copytree(
        ROOT / "examples" / "returns", place, ignore=shutil.ignore_patterns("__pycache__", "tests")
    )
    (place / "conftest.py").unlink()
    fixtures, survives, rules, harness = blocks(ROOT / "docs" / "testing.md", "python")
    (place / "conftest.py").write_text(fixtures)
    imports = "from automations.returns import ReturnRequested\n"
    (place / "test_rules.py").write_text(rules)
    (place / "test_survives.py").write_text(imports + survives)
    imports = (
        "from pathlib import Path\n"
        "from deputize.town import Town\n"
        "from deputize.testing.crash import CrashHarness, event\n"
        "project = Path(__file__).parent\n"
        "def test_harness(tmp_path):\n"
    )
    body = harness
    (place / "test_harness.py").write_text(imports + textwrap.indent(body, "    "))
    done = shell(f"{sys.executable} -m pytest -q -p no:cacheprovider {place}", place)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout


def test_the_settings_on_the_operating_page_are_settings(tmp_path: Path) -> None:
    (tmp_path / "rules").mkdir()
    write_files(ROOT / "docs" / "operating.md", tmp_path)
    settings = load_project(tmp_path, {}).settings
    assert (settings.host, settings.port, settings.token) == ("0.0.0.0", 8477, "env:DEPUTIZE_TOKEN")
    assert settings.directory.keeper_of("any") == "maya"


async def test_with_the_telemetry_of_the_operating_page_a_collector_is_told_of_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_project(tmp_path / "p", "http://127.0.0.1:9", GREETS)
    write_files(ROOT / "docs" / "operating.md", root)
    with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.address)
        async with running(root) as world:
            assert world.system.project.settings.telemetry.log == "info"
            run = await world.send(item="Ada")
            assert await asyncio.to_thread(collector.until, lambda c: c.names(run)) == ["invoke_agent worker"]


GREETS = """
@automation(on=Ask, agent=worker)
async def greets(event: Event[Ask]) -> Outcome:
    return done("greeted")
"""


def test_the_commands_of_the_operating_page_give_and_end_tokens(tmp_path: Path) -> None:
    write_files(ROOT / "README.md", tmp_path)
    (commands,) = blocks(ROOT / "docs" / "operating.md", "console")
    said = session(commands, tmp_path)
    assert said.count("Commands here speak for maya now") == 2 and "Halted all" in said
    assert said.count("no longer speak for maya") == 2
    assert "dpt_" not in said


def test_the_page_on_access_tells_the_table_of_roles_and_its_commands_work(tmp_path: Path) -> None:
    page = ROOT / "docs" / "access.md"
    write_files(ROOT / "README.md", tmp_path)
    (tmp_path / "deputize.toml").write_text("[server]\nport = 0\n" + blocks(page, "toml")[0])
    people = load_project(tmp_path, {}).settings.directory.people
    assert {name: one.role for name, one in people.items()} == {
        "maya": "admin",
        "kim": "operator",
        "ines": "viewer",
    }
    (commands,) = blocks(page, "console")
    said = session(commands, tmp_path)
    assert "for viewers' acts alone, good until" in said and ": the dashboard)" in said
    assert "For kim, once and within 15 minutes" in said
    rows = re.findall(
        r"^\| ([a-z][^|]*) \| (yes)? ?\| (yes)? ?\| (yes)? ?\| (yes)? ?\|$", page.read_text(), re.MULTILINE
    )
    told = [[role for role, yes in zip(ROLES, marks, strict=True) if yes] for _, *marks in rows]
    acts = (("read", "own"), ("send", "decide"), ("operate",), ("change", "keep", "admit", "move"))
    assert told == [[role for role in ROLES if may(role, act)] for of_row in acts for act in of_row[:1]]
    assert all(roles_for(act) == roles_for(of_row[0]) for of_row in acts for act in of_row)
    assert sorted(act for of_row in acts for act in of_row) == sorted(ACTS)


def test_the_page_on_rehearsal_tells_what_would_come_of_the_readmes_events(tmp_path: Path) -> None:
    write_files(ROOT / "README.md", tmp_path)
    first, _ = blocks(ROOT / "README.md", "console")
    page = ROOT / "docs" / "rehearsal.md"
    (event,), (commands,) = blocks(page, "text"), blocks(page, "console")
    (tmp_path / "event.json").write_text(event)
    said = session(first + commands, tmp_path)
    assert "would come to just what they did" in said
    assert "wait for maya; as if approved: be done" in said and "derived" in said
    assert "b1 from /bell: would end done(greeted)" in said


def test_the_page_on_agents_elsewhere_serves_one_that_calls_as_it_says(tmp_path: Path) -> None:
    root = tmp_path / "shop"
    (root / "automations").mkdir(parents=True)
    (root / "deputize.toml").write_text('[project]\nname = "shop"\n[server]\nport = 0\n[people.maya]\n')
    page = ROOT / "docs" / "mcp.md"
    assert write_files(page, root) == ["agents.py", "connectors/notes.py", "rules/notes.toml", "client.py"]
    (command,) = blocks(page, "console")
    with served(root):
        token = run(*command.split()[2:], cwd=root).stdout.splitlines()[0]
        url = json.loads((root / "data" / "server.json").read_text())["url"]
        environ = os.environ | {"DEPUTIZE_AGENT_TOKEN": token, "DEPUTIZE_URL": url}
        told = subprocess.run(
            [sys.executable, "client.py"], cwd=root, env=environ, capture_output=True, text=True, check=True
        ).stdout.splitlines()
    assert told[0] == "['deputize-result', 'notes-find', 'notes-write']"
    assert told[1] == 'hours False {"result":"hours"}'
    assert told[2].startswith("prices False Waiting for approval")
    assert told[3].startswith('terms True It was refused by "Nobody elsewhere writes the terms"')


def session(commands: str, cwd: Path) -> str:
    """Run the lines of a console block one after the other; what they said."""
    said = ""
    server: subprocess.Popen[str] | None = None
    try:
        for line in commands.splitlines():
            command = line.removeprefix("$ ")
            if command.endswith("&"):
                server = start(command.removesuffix("&").split()[1:], cwd)
                continue
            done = shell(command, cwd)
            assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
            said += done.stdout
    finally:
        if server is not None:
            server.send_signal(signal.SIGTERM)
            server.wait(20)
    return said


def test_the_page_on_notifications_tells_people_by_the_town(tmp_path: Path) -> None:
    page = ROOT / "docs" / "notifications.md"
    assert write_files(page, tmp_path) == ["deputize.toml"]
    (tmp_path / "rules").mkdir()
    (command,), (secret,) = blocks(page, "sh"), blocks(page, "text")
    (session,) = blocks(page, "console")
    # The page's own ports may be somebody else's here.
    words = re.sub(r"--ports \S+", "--ports 0,0,0,0,0,0", command).split()
    town = subprocess.Popen(words, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, text=True)
    try:
        assert town.stdout is not None
        told = json.loads(town.stdout.readline())
        settings = (tmp_path / "deputize.toml").read_text()
        (tmp_path / "deputize.toml").write_text(settings.replace("7105", told["smtp"].rpartition(":")[2]))
        (tmp_path / ".env").write_text(secret.replace("http://127.0.0.1:7106", told["chat"]))
        said = ""
        for line in session.splitlines():
            done = shell(line.removeprefix("$ "), tmp_path)
            assert done.returncode == 0, f"{line}: {done.stdout}{done.stderr}"
            said += done.stdout
        with urllib.request.urlopen(f"{told['hall']}/letters") as letters:
            assert [letter["reader"] for letter in json.load(letters)["items"]] == ["maya@shop.example"]
        with urllib.request.urlopen(f"{told['hall']}/posts") as posts:
            assert [post["hook"] for post in json.load(posts)["items"]] == ["B1"]
    finally:
        town.send_signal(signal.SIGTERM)
        town.wait(20)
    assert "email: the test message was taken." in said and "kim is told by email." in said


def environment() -> dict[str, str]:
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "NO_COLOR": "1"}


def run(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return shell(" ".join(["deputize", *words]), cwd)


def shell(command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        shell=True,
        cwd=cwd,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def start(words: list[str], cwd: Path) -> subprocess.Popen[str]:
    """Start `deputize …` and wait for its first line: it says so when it is ready."""
    server = subprocess.Popen(
        ["deputize", *words], cwd=cwd, env=environment(), stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    began = time.monotonic()
    line = server.stdout.readline()
    assert "ready" in line, line
    assert json.loads((cwd / "data" / "server.json").read_text())["pid"] == server.pid
    assert time.monotonic() - began < 30
    return server
