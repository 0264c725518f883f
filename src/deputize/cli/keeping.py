"""Commands that make, check and keep a project; most of them stand alone."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer

from deputize.cli.here import NO, Here, Said
from deputize.cli.process import find_process
from deputize.cli.says import count, progress, say, say_json, say_unfinished, table

FLAWS_SHOWN = 50
FLAWS_MAX = 1_000


def init(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="The new project's folder.")],
    template: Annotated[str, typer.Option("--from", help="What to start from: returns or blank.")] = "blank",
) -> None:
    """Write a project that runs."""
    from deputize.cli.making import make_project, person_name

    here: Here = ctx.obj
    target = here.root / name
    files = make_project(target, template)
    if here.json:
        say_json({"project": str(target), "from": template, "files": files})
        return
    say(f"Made {target} from {template!r}: {len(files)} files. Now:")
    say(f"  cd {target}\n  deputize check\n  deputize up\nand in another terminal, to decide there:")
    say(f"  deputize login {person_name()}\nREADME.md says what is in it and what it needs.")


def check(
    ctx: typer.Context,
    show: Annotated[bool, typer.Option("--show", help="Print the rules as Cedar, too.")] = False,
    within_s: Annotated[float, typer.Option(min=1, max=3_600, help="How long the check may take.")] = 60.0,
) -> None:
    """Import the project aside, check it, and replay its open and latest runs against the code on disk."""
    from deputize.cli.checking import check_project, say_checked

    here: Here = ctx.obj
    report = check_project(here.root, within_s)
    if not show:
        report.pop("cedar", None)
    if here.json:
        say_json(report)
    else:
        say_checked(report)
    if not report["ok"]:
        raise typer.Exit(NO)


def doctor(ctx: typer.Context) -> None:
    """Look at the machine, the project and its connections; each line says what to do."""
    from deputize.cli.doctor import examine

    here: Here = ctx.obj
    findings = examine(here)
    ok = all(finding.level != "bad" for finding in findings)
    if here.json:
        say_json({"ok": ok, "findings": [finding.shown() for finding in findings]})
    else:
        for finding in findings:
            say(f"{finding.level:5} {finding.what}" + (f"\n      → {finding.do}" if finding.do else ""))
    if not ok:
        raise typer.Exit(NO)


def backup(ctx: typer.Context, file: Annotated[Path, typer.Argument(help="The copy to make.")]) -> None:
    """Copy the ledger, consistent and while it is in use."""
    here: Here = ctx.obj
    target = file.absolute()
    process = find_process(here)
    with progress(f"copying the ledger to {target}"):
        if process is not None:
            process.post("v1", "backup", body={"target": str(target)}, long=True)
        else:
            from deputize.store.sqlite.offline import OfflineLedger

            ledger = OfflineLedger(here.settings.ledger)
            ledger.close()
            ledger.backup(target)
    size = target.stat().st_size
    if here.json:
        say_json({"backup": str(target), "bytes": size})
    else:
        say(f"Copied the ledger to {target} ({size:,} bytes); `deputize restore {target}` brings it back.")


def restore(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="A copy that `deputize backup` made.")],
    force: Annotated[
        bool, typer.Option("--force", help="Replace the ledger that is there (it is kept beside).")
    ] = False,
) -> None:
    """Put a copy in the ledger's place. It starts halted: nothing is done before a person looked."""
    from deputize.cli.restoring import restore_ledger

    here: Here = ctx.obj
    restored = restore_ledger(here, file, force=force)
    if here.json:
        say_json(restored)
        return
    say(f"Restored {restored['ledger']} from {file}: {restored['entries']:,} entries.")
    if restored["kept"]:
        say(f"The ledger that was there is kept as {restored['kept']}.")
    say_unfinished(restored["unfinished"], here.settings.zone)
    say("It is halted, and no token of before is known to it: `deputize up`, `deputize login NAME`, look at")
    say("`deputize inbox`, then `deputize resume all`.")


def verify(ctx: typer.Context) -> None:
    """Check every entry of the ledger: its chain, its body, its salt."""
    here: Here = ctx.obj
    process = find_process(here)
    if process is not None:
        with progress("verifying in the running process"):
            report = process.post("v1", "ledger", "verify", long=True)
    else:
        report = _verified(here)
    _judge(here, report["flaws"], f"The ledger is whole: {report['checked']:,} entries.", report)


def _verified(here: Here) -> dict[str, Any]:
    from deputize.store.sqlite.offline import OfflineLedger

    ledger = OfflineLedger(here.settings.ledger)
    entries = ledger.read(lambda view: view.counts())["entries"]
    with progress("verifying", entries) as done:
        found = islice(ledger.verify(done), FLAWS_MAX)
        flaws = [{"run": flaw.stream, "version": flaw.version, "what": flaw.what} for flaw in found]
    return {"ok": not flaws, "checked": entries, "flaws": flaws}


def rebuild(
    ctx: typer.Context,
    replace: Annotated[
        bool, typer.Option("--replace", help="Put what the entries say in the place of the books in use.")
    ] = False,
) -> None:
    """Work the books out anew from the entries, and compare."""
    here: Here = ctx.obj
    process = find_process(here)
    with progress("working the books out anew"):
        if process is not None:
            report = process.post("v1", "ledger", "rebuild", body={"replace": replace}, long=True)
        else:
            differences = _rebuilt(here, replace)
            report = {"ok": not differences, "replaced": replace, "differences": differences}
    if replace and not here.json:
        say(f"{count(len(report['differences']), 'difference')}, put right.")
    elif replace:
        say_json(report)
    else:
        _judge(here, report["differences"], "The books are what the entries say.", report)


def _rebuilt(here: Here, replace: bool) -> list[str]:
    from deputize.store.sqlite.offline import OfflineLedger

    ledger = OfflineLedger(here.settings.ledger)
    if not replace:
        return ledger.compare()
    ledger.close()
    from deputize.clock import SystemClock
    from deputize.store.sqlite.store import SqliteStore

    owned = SqliteStore(here.settings.ledger, SystemClock())
    try:
        return owned.rebuild(replace=True)
    finally:
        owned.close()


def _judge(here: Here, wrong: list[Any], fine: str, report: dict[str, Any]) -> None:
    if here.json:
        say_json(report)
        if wrong:
            raise typer.Exit(NO)
        return
    if not wrong:
        say(fine)
        return
    if isinstance(wrong[0], dict):
        rows = [(flaw["run"], flaw["version"], flaw["what"]) for flaw in wrong[:FLAWS_SHOWN]]
        table(("STREAM", "VERSION", "WHAT IS WRONG"), rows, fine)
        raise Said(f"{count(len(wrong), 'flaw')}: stop the process and `deputize restore` a copy from before")
    say("\n".join(wrong[:FLAWS_SHOWN]))
    raise Said(f"{count(len(wrong), 'difference')}: `deputize ledger rebuild --replace` puts them right")
