"""The child of `deputize check`: imports a project, where it can harm nobody, and tells what it finds.

It writes one JSON line for each thing that it is about to do (so that its parent can say where it
hung), and its report as the last one. What the project prints goes to standard error.
"""

from __future__ import annotations

import faulthandler
import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, TextIO

from deputize.connectors.connections import check_connections
from deputize.connectors.secret import Secrets
from deputize.errors import ProjectError, StoreError
from deputize.memory import check_notes
from deputize.models.line import check_models
from deputize.notify.settings import check_notify
from deputize.operation import Contract
from deputize.project import Project, load_project
from deputize.sentence import listed
from deputize.telemetry.settings import check_telemetry

_SCHEMAS = ("input_schema", "output_schema")


def main(argv: list[str]) -> int:
    """Check the project in the folder that is named; what stands outside it too, unless `--code-only`;
    with `--no-replay` all but the replays."""
    told = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    # The parent asks with this signal where we stand, before it ends us.
    faulthandler.register(signal.SIGUSR1, all_threads=False)
    code_only = "--code-only" in argv
    replay = not code_only and "--no-replay" not in argv
    report = examine(Path(argv[0]), code_only, replay, lambda stage: _tell(told, {"stage": stage}))
    _tell(told, {"report": report})
    told.close()
    return 0


def examine(root: Path, code_only: bool, replay: bool, at: Callable[[str], None]) -> dict[str, Any]:
    """The report: what is there, what is wrong, and what became of the replays."""
    at("importing the project")
    try:
        project = load_project(root)
    except ProjectError as error:
        return {"problems": str(error).splitlines()}
    report = _described(project)
    if project.operations and not any(rule.rule.effect == "permit" for rule in project.rules.explain()):
        report["notes"] = ["nothing is permitted yet: add a rule with `permit = true` to rules/"]
    report["notes"] = [*report.get("notes", ()), *_untold(project)]
    if not code_only:
        report["problems"] += _unset(project)
    if replay and project.settings.ledger.is_file():
        from deputize.cli.replay import replay_ledger
        from deputize.store.sqlite.offline import OfflineLedger

        try:
            ledger = OfflineLedger(project.settings.ledger)
            try:
                replays = replay_ledger(ledger, project.automations, lambda run: at(f"replaying run {run}"))
            finally:
                ledger.close()
            report["replayed"] = replays.shown()
        except StoreError as error:
            report["problems"].append(f"the ledger cannot be read: {error}")
    return report


def _described(project: Project) -> dict[str, Any]:
    return {
        "problems": [],
        "automations": [{"name": a.name, "on": a.on.event_type, "where": a.where} for a in _named(project)],
        "agents": sorted(project.agents),
        "connectors": [
            {
                "name": connector.name,
                "version": connector.version,
                "operations": [_terms(op.contract) for op in connector.operations.values()],
            }
            for connector in project.connectors.values()
        ],
        "rules": [
            {"id": r.rule.id, "title": r.rule.title, "says": r.sentence, "where": f"{r.file}:{r.line}"}
            for r in project.rules.explain()
        ],
        "cedar": project.rules.source(),
    }


def _unset(project: Project) -> list[str]:
    """Addresses and secrets that `deputize up` would miss, and an address that it would refuse."""
    settings = project.settings
    secrets = Secrets(settings.root, settings.environ)
    wrong = check_connections(settings.connectors, secrets, settings.environ)
    wrong += check_models(project.models, secrets, settings.environ)
    wrong += check_notes(project.agents.values(), secrets)
    wrong += check_telemetry(settings.telemetry, secrets, settings.environ)
    wrong += [settings.unguarded] if settings.unguarded else []
    wrong += check_notify(settings.notify, secrets)
    handles = [settings.token] if settings.token is not None else []
    for handle in (*handles, *(webhook.verifier.secret for webhook in project.webhooks.values())):
        try:
            secrets.resolve(handle)
        except ProjectError as error:
            wrong.append(str(error))
    return list(dict.fromkeys(wrong))


def _untold(project: Project) -> list[str]:
    """People whom nobody can tell that something waits for them, where others are told."""
    settings = project.settings
    if settings.notify is None:
        return []
    untold = sorted(settings.directory.people.keys() - settings.notify.reached(settings.directory).keys())
    return [f"[notify] does not reach {listed(untold)}: add email (or slack)"] if untold else []


def _named(project: Project) -> list[Any]:
    return [project.automations[name] for name in sorted(project.automations)]


def _terms(contract: Contract) -> dict[str, Any]:
    terms = {f.name: getattr(contract, f.name) for f in fields(contract) if f.name not in _SCHEMAS}
    return terms | {"digest": contract.digest}


def _tell(stream: TextIO, line: dict[str, Any]) -> None:
    stream.write(json.dumps(line) + "\n")
    stream.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
