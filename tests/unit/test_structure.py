"""The shape of the code, held: which way imports point, and who may do what."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import deputize
from deputize.connectors.foreseeing import Foreseeing
from deputize.kernel.ports import Foreseer

PACKAGE = Path(deputize.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))

NOUNS = {
    "access", "action", "agent", "approval", "automation", "awaiting", "budget", "caching", "call",
    "canonical", "card", "circuit", "connector", "conversation", "costs", "cron", "duration",
    "elsewhere", "event",
    "finding", "foretold", "happened", "headers", "health", "ledger", "loopback", "money", "note",
    "notebook", "operation", "origins", "person", "planned", "pricing", "question", "rehearsal",
    "rewriting", "rule", "script", "sentence", "session", "signature", "sought", "sources", "standing",
    "story", "suggest", "systemwide", "taking", "telling", "thinking", "thought", "today", "token",
    "undo", "verification", "waits", "why", "window", "working", "lines", "span",
}  # fmt: skip
"""Plain data and pure functions, at the top of the package."""

MAY_IMPORT = {
    "errors": set(),
    "clock": {"errors"},
    "child": set(),
    "handover": set(),
    "nouns": {"errors", "clock", "nouns"},
    "rules": {"errors", "clock", "nouns"},
    "store": {"errors", "clock", "handover", "nouns"},
    "connectors": {"errors", "clock", "nouns"},
    "models": {"errors", "clock", "nouns", "child", "connectors"},
    "notify": {"errors", "clock", "nouns", "connectors", "store", "store.protocol"},
    "plans": {"errors", "clock", "nouns", "rules"},
    "kernel": {"errors", "clock", "handover", "nouns", "store.protocol"},
    "entering": {"errors", "clock", "nouns", "kernel"},
    "mcp": {"errors", "clock", "nouns"},
    "telemetry": {"errors", "clock", "nouns", "child", "connectors", "store", "store.protocol"},
    "town": {"errors", "clock", "nouns", "child"},
}
"""Who may import what; `system`, `project`, `config`, `api`, `cli`, `console`, `demo` and `testing` stand
above."""

READS_ENVIRONMENT = {"config.py", "testing/crash.py", "testing/life.py"}
PERFORMS = {"kernel/gate.py", "kernel/doubts.py"}
FORESEES = {"kernel/foreseeing.py", "kernel/finding_out.py"}
REHEARSES = {
    *FORESEES,
    "kernel/alone.py",
    "kernel/imagining.py",
    "kernel/overlay.py",
    "kernel/recalling.py",
    "kernel/rehearsing.py",
    "connectors/foreseeing.py",
    "cli/rehearse_child.py",
}
"""The files of a rehearsal. None of them is given anything by which something could be done, or written."""
LONG = {
    "testing/store_suite.py": "a suite",
}
READS_CLOCK = {"time", "datetime.now", "datetime.utcnow", "datetime.today"}
DOES_IO = {"socket", "subprocess", "sqlite3", "httpx2", "asyncio", "http", "urllib.request", "shutil"}


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def layer_of(module: str) -> str:
    """The layer of `deputize.x.y`: its first part, `nouns` for a noun, `store.protocol` for itself."""
    parts = module.removeprefix("deputize").strip(".").split(".")
    if parts[:2] == ["store", "protocol"]:
        return "store.protocol"
    return "nouns" if parts[0] in NOUNS else parts[0]


def imports(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Every module that is imported, inside functions and for checkers too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            if node.module == "deputize":
                yield from ((f"deputize.{alias.name}", node.lineno) for alias in node.names)
            else:
                yield node.module, node.lineno


def test_imports_point_one_way() -> None:
    wrong = []
    for path in FILES:
        module = "deputize." + name_of(path).removesuffix(".py").replace("/", ".")
        layer = layer_of(module)
        allowed = MAY_IMPORT.get("store" if layer == "store.protocol" else layer)
        if allowed is None:
            continue
        for imported, line in imports(tree_of(path)):
            if not imported.startswith("deputize"):
                continue
            other = layer_of(imported)
            same = other.partition(".")[0] == layer.partition(".")[0]
            if not same and other not in allowed:
                wrong.append(f"{name_of(path)}:{line} imports {imported}")
    assert not wrong, "\n".join(wrong)


def test_every_room_of_the_package_has_its_layer() -> None:
    above = {
        "__init__",
        "api",
        "aside",
        "cli",
        "code",
        "config",
        "console",
        "demo",
        "latency",
        "longlived",
        "memory",
        "moving",
        "processor",
        "project",
        "signals",
        "system",
        "testing",
        "templates",
    }
    known = above | NOUNS | set(MAY_IMPORT)
    rooms = {name_of(path).partition("/")[0].removesuffix(".py") for path in FILES}
    assert rooms - known == set(), "say in this test what it may import"


def test_the_kernel_knows_no_adapter_and_no_database() -> None:
    foreign = {"sqlite3", "httpx2", "fastapi", "starlette", "uvicorn", "typer", "rich", "cedarpy"}
    wrong = [
        f"{name_of(path)}:{line}"
        for path in (PACKAGE / "kernel").rglob("*.py")
        for module, line in imports(tree_of(path))
        if module.partition(".")[0] in foreign
    ]
    assert not wrong


def test_the_public_names_are_these_and_no_others() -> None:
    assert deputize.__all__ == [
        "Action", "ActionError", "Agent", "Answer", "Automation", "Budget", "Call", "CallDeclined",
        "CallFailed", "CallNotDone", "CallUnknown", "Connector", "Declined", "DeputizeError", "Event",
        "EventData", "Expired", "GaveUp", "Intent", "Message", "Money", "Operation", "Outcome", "Plan",
        "PlanEnd", "PlanStopped", "Polled", "Refused", "RunEnded", "Sent", "Unavailable", "Unmet",
        "Verification", "agent", "agree", "ask", "attempt", "automation", "budget", "cannot_tell",
        "carry_out", "continue_with", "days", "disagree", "done", "gave_up", "hmac_sha256", "hours",
        "minutes", "new_id", "now", "plan", "poll", "pursue", "random", "schedule", "seconds", "send",
        "sleep", "think", "together", "undone_by", "until", "wait_for", "webhook",
    ]  # fmt: skip
    assert all(hasattr(deputize, name) for name in deputize.__all__)


def test_nouns_read_no_clock_and_do_no_io() -> None:
    wrong = []
    for noun in NOUNS:
        path = PACKAGE / f"{noun}.py"
        tree = tree_of(path)
        wrong += [
            f"{path.name}:{line} {name}"
            for name, line in imports(tree)
            if name in DOES_IO or name.partition(".")[0] in DOES_IO or name == "time"
        ]
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                if (
                    called in READS_CLOCK
                    or called == "open"
                    or called.endswith((".read_text", ".write_text"))
                ):
                    wrong.append(f"{path.name}:{node.lineno} {called}")
    assert not wrong


def test_nothing_but_the_settings_reads_the_environment() -> None:
    found = set()
    for path in FILES:
        for node in ast.walk(tree_of(path)):
            named = isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv")
            if named and isinstance(node.value, ast.Name) and node.value.id == "os":  # type: ignore[attr-defined]
                found.add(name_of(path))
    assert found <= READS_ENVIRONMENT


def test_time_is_read_through_the_clock_alone() -> None:
    """Of the product itself; the town and the shipped tests live beside it."""
    wrong = []
    for path in FILES:
        if name_of(path).startswith(("town/", "testing/", "demo/", "cli/", "clock.py")):
            continue
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                if called in (
                    "time.time",
                    "time.time_ns",
                    "time.monotonic",
                    "datetime.now",
                    "datetime.utcnow",
                ):
                    wrong.append(f"{name_of(path)}:{node.lineno} {called}")
    assert not wrong


def test_only_the_gate_and_the_resolution_of_doubts_reach_a_service() -> None:
    found = set()
    for path in FILES:
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                base = ast.unparse(node.func.value)
                if base == "performer" or base.endswith(".performer"):
                    found.add(name_of(path))
    assert found == PERFORMS


def test_a_rehearsal_has_no_way_to_do_anything() -> None:
    """It knows a port that reads and previews, and nothing that performs or writes."""
    calls = {"append", "write", "perform", "look_up", "keep_event", "begin_run", "set_setting", "poll"}
    forbidden = {"Performer", "Tx", "Store", "SqliteStore", "Gate", "System", "perform", "ConnectorPerformer"}
    found, foresees = [], set()
    for path in FILES:
        name, tree = name_of(path), tree_of(path)
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                base = ast.unparse(node.func.value)
                if base.endswith("foreseer") and node.func.attr in ("read", "rehearse"):
                    foresees.add(name)
                # `stream.write` is the child's report, and lists are appended to.
                if name in REHEARSES and node.func.attr in calls and base not in LISTS:
                    found.append(f"{name}:{node.lineno} {base}.{node.func.attr}")
            if name in REHEARSES and isinstance(node, ast.Name) and node.id in forbidden:
                found.append(f"{name}:{node.lineno} {node.id}")
            if name in REHEARSES and isinstance(node, ast.ImportFrom):
                found += [f"{name} imports {a.name}" for a in node.names if a.name in forbidden]
    assert found == [] and foresees == FORESEES
    assert {name for name in vars(Foreseer) if not name.startswith("_")} == {"read", "rehearse"}
    assert {name for name in vars(Foreseeing) if not name.startswith("_")} == {"read", "rehearse", "close"}


LISTS = {"lines", "told", "stream", "alike"}


def test_only_the_fold_writes_projections() -> None:
    tables = ("run", "action", "wait", "lease", "sums", "inbox")
    starts = tuple(
        f"{verb} {table} " for table in tables for verb in ("INSERT INTO", "UPDATE", "DELETE FROM")
    )
    found = set()
    for path in FILES:
        for node in ast.walk(tree_of(path)):
            text = node.value if isinstance(node, ast.Constant) else None
            if isinstance(text, str) and text.strip().startswith(starts):
                found.add(name_of(path))
    found = {name for name in found if name.startswith(("store/", "kernel/", "system"))}
    # Erasure blanks what was personal in them, and a rebuild moves a whole projection.
    assert found <= {
        "store/fold.py",
        "store/fold_cards.py",
        "store/sqlite/rebuilding.py",
        "store/sqlite/schema.py",
        "store/sqlite/sums.py",
    }


def test_a_file_is_a_room() -> None:
    long = {name_of(path) for path in FILES if len(path.read_text().splitlines()) > 400}
    assert long <= set(LONG), "look for the second idea"


def test_nothing_prints() -> None:
    wrong = [
        f"{name_of(path)}:{node.lineno}"
        for path in FILES
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert not wrong
