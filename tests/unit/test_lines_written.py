"""Lines on a pipe that nobody reads hold nobody up, and whoever reads again is told how many are missing."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator

import pytest

from deputize.telemetry.writing import WAIT_S, Lines, say

MANY = 2_000
LONG = "x" * 9_000


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def read_all(end: int) -> bytes:
    os.set_blocking(end, False)
    found = b""
    try:
        while piece := os.read(end, 1 << 20):
            found += piece
    except BlockingIOError:
        pass
    return found


def test_a_pipe_that_nobody_reads_holds_nobody_up(pipe: tuple[int, int]) -> None:
    reads, writes = pipe
    lines = Lines(writes)
    began = time.monotonic()
    taken = [lines.write(json.dumps({"n": n, "text": LONG})) for n in range(MANY)]
    assert time.monotonic() - began < WAIT_S + 2
    written = sum(taken)
    assert 0 < written < 20 and lines.dropped == MANY - written
    first = read_all(reads)
    assert lines.write('{"n": "again"}')
    whole = (first + read_all(reads)).splitlines()
    # The one that the pipe was full in the midst of is torn; every line beside it is whole.
    fit = [json.loads(line) for line in whole if line.endswith(b"}")]
    assert [one["n"] for one in fit if "n" in one] == [*range(written), "again"]
    assert fit[-2] == {"event": "lines were not written", "level": "warning", "lines": MANY - written}
    assert len(whole) - len(fit) <= 1
    assert lines.write("{}") and read_all(reads) == b"{}\n"


def test_a_file_that_is_gone_is_nobodys_error(pipe: tuple[int, int]) -> None:
    reads, writes = os.pipe()
    os.close(reads)
    lines = Lines(writes)
    assert not lines.write("x")
    os.close(writes)
    assert not lines.write("x") and lines.dropped == 2


def test_a_line_has_its_level_and_its_fields_and_no_secret() -> None:
    found: list[str] = []
    say(
        found.append,
        lambda text: text.replace("canary", "[secret]"),
        "info",
        "a run ended",
        run="r",
        at="canary",
    )
    line = json.loads(found[0])
    assert line.pop("timestamp")
    assert line == {"event": "a run ended", "level": "info", "run": "r", "at": "[secret]"}
