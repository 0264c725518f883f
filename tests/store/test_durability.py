"""An intent is on disk before anything is sent: read from the system calls, not from our word."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from deputize.testing import trace

_WRITE_AND_SEND = """
import asyncio, socket, sys
from pathlib import Path
from deputize.clock import SystemClock
from deputize.store.sqlite.store import SqliteStore
from deputize.testing import entries

async def main():
    store = SqliteStore(Path(sys.argv[1]), SystemClock())
    store._file.db.execute(f"PRAGMA synchronous={sys.argv[2]}")
    no, _ = await store.write(lambda tx: entries.begin(tx, "a"))
    with socket.create_server(("127.0.0.1", 0)) as server:
        with socket.create_connection(server.getsockname()) as client:
            intent = entries.intent("1", request="this-is-the-intent")
            await store.write(lambda tx: tx.append(no, 1, [intent]))
            client.sendall(b"this-is-the-send")
    store.close()

asyncio.run(main())
"""


def traced(tmp_path: Path, synchronous: str) -> list[trace.SystemCall]:
    if why := trace.missing():
        pytest.skip(why)
    program = [sys.executable, "-c", _WRITE_AND_SEND, str(tmp_path / "ledger.db"), synchronous]
    output = tmp_path / "trace"
    subprocess.run(trace.command(program, output), check=True, timeout=120)
    return trace.parse(output.read_text())


def told(calls: list[trace.SystemCall]) -> str:
    return trace.unsynced(calls, log="ledger.db-wal", written="this-is-the-intent", sent="this-is-the-send")


def test_the_intents_sync_has_finished_before_the_send_begins(tmp_path: Path) -> None:
    assert told(traced(tmp_path, "FULL")) == ""


@pytest.mark.parametrize("synchronous", ["NORMAL", "OFF"])
def test_a_store_that_does_not_sync_is_found_out(tmp_path: Path, synchronous: str) -> None:
    assert told(traced(tmp_path, synchronous)) != ""


WROTE = '7  pwrite64(8</data/ledger.db-wal>, "..this-is-the-intent..", 4096, 56) = 4096\n'
SYNCED = "7  fdatasync(8</data/ledger.db-wal>) = 0\n"
CUT = "7  fdatasync(8</data/ledger.db-wal> <unfinished ...>\n"
RESUMED = "7  <... fdatasync resumed>)      = 0\n"
SENT = '6  sendto(14<socket:[331]>, "this-is-the-send", 16, 0, NULL, 0) = 16\n'


@pytest.mark.parametrize(
    ("lines", "wrong"),
    [
        (WROTE + SYNCED + SENT, ""),
        (WROTE + SENT + SYNCED, "the send began at line 1, before the sync"),
        (SYNCED + WROTE + SENT, "was not synced after the write"),
        (WROTE + SYNCED.replace("-wal", "-journal") + SENT, "was not synced after the write"),
        (WROTE + SYNCED.replace("= 0", "= -1 EIO (Input/output error)") + SENT, "was not synced after"),
        (SENT + WROTE + SYNCED, "written to ledger.db-wal before the send"),
        (WROTE + SYNCED, "nothing with 'this-is-the-send' was sent"),
        (SYNCED + SENT, "nothing with 'this-is-the-intent' was written"),
        (WROTE + CUT + SENT + RESUMED, "the send began at line 2, before the sync"),
        (WROTE + CUT + '6  write(1</dev/pts/0>, "x", 1) = 1\n' + RESUMED + SENT, ""),
        (WROTE + SYNCED + SENT.replace("sendto", "write").replace("socket:[331]", "/a/file"), "was sent"),
    ],
)
def test_a_trace_is_read_as_it_was(lines: str, wrong: str) -> None:
    found = told(trace.parse(lines))
    assert wrong in found
    assert bool(wrong) == bool(found)
