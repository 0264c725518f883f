"""A rule set that comes into force carries who started the process with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from deputize.cli.here import Here
from deputize.cli.process import need_process
from deputize.config import read_settings
from deputize.kernel.tokens import Opener
from deputize.ledger import SYSTEM
from deputize.store.telling import rules_changed
from tests.support.command import deputize, new_project, served
from tests.support.desk import Desk
from tests.support.fixtures import desk as desk
from tests.support.project import PERMIT, write_project
from tests.support.running import Running, running

MAYA = '[people.maya]\nroles = ["owner"]\n'
NEVER = '[[rule]]\ntitle = "Never"\noperation = "desk.pay"\nnever = true\n'


def told(app: Running, type: str) -> list[Any]:
    entries = app.read(lambda view: view.entries(SYSTEM))
    return [entry.body["by"] for entry in entries if entry.type == type and entry.body is not None]


async def test_a_changed_rule_carries_the_person_who_started_with_it(tmp_path: Path, desk: Desk) -> None:
    root = write_project(tmp_path, desk.base, "", toml=MAYA)
    async with running(root, opener=Opener(account="deploy")) as app:
        _, token = await app.kernel.tokens.issue("maya", by="the operator")
        assert told(app, "rules") == [{"person": "", "account": "deploy"}]
    write_project(tmp_path, desk.base, "", toml=MAYA, rules=PERMIT + NEVER)
    async with running(root, opener=Opener(token.encode(), "deploy")) as app:
        by = {"person": "maya", "account": "deploy"}
        assert told(app, "rules")[-1] == by and told(app, "opened")[-1] == by
        digest = app.system.project.rules.digest
        changed = app.read(lambda view: rules_changed(view, digest))
        assert changed is not None and changed["by"] == by
    async with running(root, opener=Opener(b"dpt_nobodys", "deploy")) as app:
        assert len(told(app, "rules")) == 2, "the same rules are no change"
        assert told(app, "opened")[-1] == {"person": "", "account": "deploy"}


async def test_no_token_is_kept_with_it(tmp_path: Path, desk: Desk) -> None:
    root = write_project(tmp_path, desk.base, "", toml=MAYA)
    async with running(root) as app:
        _, token = await app.kernel.tokens.issue("maya", by="the operator")
    async with running(root, opener=Opener(token.encode(), "deploy")):
        pass
    files = [path for path in (root / "data").rglob("*") if path.is_file()]
    assert files and all(token.encode() not in path.read_bytes() for path in files)


def test_who_is_logged_in_when_the_process_starts_answers_for_the_rules(tmp_path: Path) -> None:
    project = new_project(tmp_path)
    person = next(iter(read_settings(project).directory.people))
    with served(project):
        assert changed_by(project)["person"] == ""
        assert deputize(project, "login", person).code == 0
    (project / "rules" / "more.toml").write_text(NEVER.replace("desk.pay", "notebook.write"))
    with served(project):
        by = changed_by(project)
        assert by["person"] == person and by["account"]


def changed_by(project: Path) -> Any:
    return need_process(Here(root=project)).get("v1", "rules")["changed"]["by"]
