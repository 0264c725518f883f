"""Reading a system-call trace, to show that what must be on disk before a send was there.

`command(…)` starts a program under `strace`, `parse` reads what it wrote, and `unsynced` says what is
wrong with the order of a write, its sync and a send.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

CALLS = ("pwrite64", "write", "fdatasync", "fsync", "sendto")
SYNCS = ("fdatasync", "fsync")
SENDS = ("sendto", "write")

TEXT_BYTES_MAX = 65_536

_BEGUN = re.compile(r"^(?P<pid>\d+)\s+(?P<name>\w+)\((?P<rest>.*)$")
_RESUMED = re.compile(r"^(?P<pid>\d+)\s+<\.\.\. (?P<name>\w+) resumed>(?P<rest>.*)$")
_RESULT = re.compile(r"\)\s*= (?P<result>-?\d+)")
_FILE = re.compile(r"^\d+<(?P<file>[^>]*)>")
_UNFINISHED = "<unfinished ...>"


@dataclass(frozen=True, slots=True)
class SystemCall:
    """One call. `began` and `ended` are places in the trace, in order of time; `ended` is None for never."""

    pid: int
    name: str
    file: str
    args: str
    began: int
    ended: int | None
    result: int | None


def missing() -> str:
    """Why no trace can be made here; empty where it can."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    tried = subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True, text=True, timeout=30)
    return "" if tried.returncode == 0 else f"strace may not trace here: {tried.stderr.strip()[:200]}"


def command(program: Sequence[str], output: Path) -> list[str]:
    """The command that runs a program and its threads under trace."""
    traced = ["strace", "-f", "-y", "-s", str(TEXT_BYTES_MAX), "-e", f"trace={','.join(CALLS)}"]
    return [*traced, "-o", str(output), *program]


def parse(trace: str) -> list[SystemCall]:
    """The calls of a trace in the order of their beginnings, those cut in two put together again."""
    calls: list[SystemCall] = []
    unfinished: dict[tuple[int, str], int] = {}
    for place, line in enumerate(trace.splitlines()):
        if found := _RESUMED.match(line):
            at = unfinished.pop((int(found["pid"]), found["name"]), None)
            if at is not None:
                calls[at] = replace(calls[at], ended=place, result=_result(found["rest"]))
        elif found := _BEGUN.match(line):
            pid, name, rest = int(found["pid"]), found["name"], found["rest"]
            file = _FILE.match(rest)
            cut = rest.endswith(_UNFINISHED)
            if cut:
                unfinished[pid, name] = len(calls)
            ended, result = (None, None) if cut else (place, _result(rest))
            calls.append(SystemCall(pid, name, file["file"] if file else "", rest, place, ended, result))
    return calls


def _result(rest: str) -> int | None:
    results = _RESULT.findall(rest)
    return int(results[-1]) if results else None


def unsynced(calls: Sequence[SystemCall], *, log: str, written: str, sent: str) -> str:
    """What is wrong with the order; empty where the write was on disk before the send began.

    `log` is how the file's path ends, `written` a text in what was written to it, `sent` a text in
    what was sent over a socket: plain ASCII, so that the trace shows them as they are.
    """
    send = _first(call for call in calls if call.name in SENDS and _is_socket(call) and sent in call.args)
    if send is None:
        return f"nothing with {sent!r} was sent"
    write = _first(
        call for call in calls if call.name == "pwrite64" and call.file.endswith(log) and written in call.args
    )
    if write is None or write.ended is None or write.began > send.began:
        return f"nothing with {written!r} was written to {log} before the send"
    for call in calls:
        if call.name in SYNCS and call.file == write.file and call.result == 0 and call.began > write.ended:
            if call.ended is not None and call.ended < send.began:
                return ""
            return f"the send began at line {send.began}, before the sync of {log} ended at line {call.ended}"
    return f"{log} was not synced after the write"


def _is_socket(call: SystemCall) -> bool:
    return call.file.startswith(("socket:", "TCP", "UNIX"))


def _first(calls: Iterable[SystemCall]) -> SystemCall | None:
    return next(iter(calls), None)
