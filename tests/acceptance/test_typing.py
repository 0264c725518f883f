"""A mistake in an automation is found by mypy or pyright at its line, or else at run time with that line."""

from __future__ import annotations

import inspect
import json
import os
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from deputize.automation import automation
from deputize.errors import ProjectError
from deputize.project import Project, load_project
from deputize.system import System
from tests.support.running import Running

SOURCE = Path(__file__).parent / "typing_project"
MISTAKES = "mistakes.py"
FINDERS = ("mypy", "pyright", "run", "load")
BIN = Path(sys.executable).parent


def expected() -> dict[str, set[int]]:
    """The lines of the mistakes that each finder finds."""
    lines: dict[str, set[int]] = defaultdict(set)
    for number, line in enumerate((SOURCE / MISTAKES).read_text().splitlines(), 1):
        for finder in re.sub(r"^[^#]*(# )?", "", line).split() if "  # " in line else ():
            if finder in FINDERS:
                lines[finder].add(number)
    return lines


def mistakes() -> dict[str, range]:
    """Each mistake's name and the lines of its function."""
    text = (SOURCE / MISTAKES).read_text()
    starts = [
        (m[1], text[: m.start()].count("\n") + 1) for m in re.finditer(r"^(?:async )?def (\w+)", text, re.M)
    ]
    ends = [line for _, line in starts[1:]] + [text.count("\n") + 2]
    return {name: range(line, end) for (name, line), end in zip(starts, ends, strict=True)}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project, as a user's own folder."""
    root = tmp_path_factory.mktemp("typing") / "project"
    return Path(shutil.copytree(SOURCE, root, ignore=shutil.ignore_patterns("__pycache__", "data")))


@pytest.fixture(scope="module")
def by_mypy(root: Path) -> dict[str, set[int]]:
    """The lines that mypy complains of, by file."""
    command = [sys.executable, "-m", "mypy", "--strict", "--enable-error-code", "unused-awaitable"]
    command += ["--explicit-package-bases", "--no-error-summary", "--hide-error-context", "--config-file", ""]
    ran = subprocess.run(
        [*command, "agents.py", "connectors", "automations", MISTAKES],
        cwd=root,
        env=os.environ | {"MYPYPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert ran.returncode in (0, 1), ran.stdout + ran.stderr
    found: dict[str, set[int]] = defaultdict(set)
    for line in ran.stdout.splitlines():
        if match := re.match(r"(\S+?):(\d+): error:", line):
            found[match[1]].add(int(match[2]))
    return found


@pytest.fixture(scope="module")
def by_pyright(root: Path) -> dict[str, set[int]]:
    """The lines that pyright complains of, by file."""
    ran = subprocess.run(
        [BIN / "pyright", "--project", root, "--pythonpath", sys.executable, "--outputjson"],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=200,
    )
    if not ran.stdout.startswith("{"):
        if "CI" not in os.environ:
            pytest.skip(f"pyright did not start, for want of its package: {ran.stderr[-300:]}")
        pytest.fail(ran.stdout + ran.stderr)
    found: dict[str, set[int]] = defaultdict(set)
    for problem in json.loads(ran.stdout)["generalDiagnostics"]:
        file = str(Path(problem["file"]).relative_to(root.resolve()))
        found[file].add(problem["range"]["start"]["line"] + 1)
    return found


@pytest.fixture
def project(root: Path) -> Iterator[tuple[Project, ModuleType]]:
    """The project, loaded, and its module of mistakes."""
    loaded = load_project(root, {})
    import mistakes  # type: ignore[import-not-found]

    try:
        yield loaded, mistakes
    finally:
        sys.path.remove(str(root.resolve()))
        del sys.modules["mistakes"]


def test_every_mistake_has_its_finder() -> None:
    found = expected()
    anywhere = set().union(*found.values())
    unfound = [name for name, lines in mistakes().items() if anywhere.isdisjoint(lines)]
    assert unfound == []
    assert {finder: len(lines) for finder, lines in found.items()}.keys() == set(FINDERS)


def test_mypy_finds_nothing_in_the_project_and_each_of_its_mistakes(by_mypy: dict[str, set[int]]) -> None:
    assert set(by_mypy) == {MISTAKES}
    assert by_mypy[MISTAKES] == expected()["mypy"]


def test_pyright_finds_nothing_in_the_project_and_each_of_its_mistakes(
    by_pyright: dict[str, set[int]],
) -> None:
    assert set(by_pyright) == {MISTAKES}
    assert expected()["pyright"] - by_pyright[MISTAKES] == set()


async def test_a_run_ends_with_the_file_and_line_of_its_mistake(
    project: tuple[Project, ModuleType], root: Path
) -> None:
    loaded, module = project
    lines = expected()["run"]
    wrong = {
        name: next(iter(lines.intersection(span)))
        for name, span in mistakes().items()
        if not lines.isdisjoint(span)
    }
    automations = {
        name: automation(on=module.Asked, agent=loaded.agents["clerk"], name=name)(getattr(module, name))
        for name in wrong
    }
    at = Running()
    at.system = System(replace(loaded, automations=automations), boundary=at.boundary, seed=1)
    await at.system.start()
    try:
        await at.send(type="typing.asked")
        rows = await at.ended(*[run.id for run in at.read(lambda view: view.runs(limit=1_000))])
        found = {row.automation: row for row in rows}
        assert found.keys() == wrong.keys()
        for name, line in wrong.items():
            assert found[name].label == "failed", name
            assert f"{root.resolve()}/{MISTAKES}:{line}" in found[name].reason, found[name].reason
    finally:
        await at.system.stop()


def test_a_wrong_handler_is_refused_when_the_project_loads(project: tuple[Project, ModuleType]) -> None:
    _, module = project
    lines = expected()["load"]
    for name, span in mistakes().items():
        if lines.isdisjoint(span):
            continue
        (line,) = lines.intersection(span)
        with pytest.raises(ProjectError, match=f"{re.escape(str(module.__file__))}:{line}: "):
            getattr(module, name)()


def test_the_project_itself_runs(project: tuple[Project, ModuleType]) -> None:
    loaded, _ = project
    assert set(loaded.automations) == {"handle_return", "count_refund"}
    assert inspect.iscoroutinefunction(loaded.automations["handle_return"].handler)
