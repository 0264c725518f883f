"""The real server answers whatever schemathesis thinks of as it is described: no 5xx, nothing undescribed.

The seed is printed, and taken from SCHEMATHESIS_SEED where that is set: the same run once more.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.support.command import deputize, new_project, served

EXAMPLES = 6
CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,"
    "response_schema_conformance,unsupported_method,allow_header_conformance,ignored_auth"
)
NOT_HERE = ("leave", "back_up", "stream_entries")
"""One ends the process, one writes to any place on the machine, one does not end: other tests hold them."""

PHASES = {"nobody": "examples,fuzzing", "maya": "examples,coverage,fuzzing"}
"""Every edge of every parameter is tried by somebody who may do it."""

EVENTS = (
    ("item.asked", {"item": "lamp"}),
    ("item.paid", {"item": "chair"}),
    ("item.lost", {}),
)


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str, Path]]:
    """A `deputize up` through which events went, and a person's token."""
    project = new_project(tmp_path_factory.mktemp("fuzzed"))
    with served(project):
        url = json.loads((project / "data" / "server.json").read_text())["url"]
        made = deputize(project, "token", "maya", "--json")
        assert made.code == 0, made.err
        with httpx2.Client(base_url=url, trust_env=False) as http:
            for number, (type, data) in enumerate(EVENTS):
                event = {"specversion": "1.0", "source": "/t", "id": str(number), "type": type, "data": data}
                assert http.post("/v1/events", json=event).status_code == 202
            deadline = time.monotonic() + 30
            while not http.get("/v1/inbox").json()["cards"] and time.monotonic() < deadline:
                time.sleep(0.05)
        yield url, made.json()["token"], project


def with_real_ids(http: httpx2.Client) -> dict[str, Any]:
    """The description, with ids that there are as the examples of its parameters."""
    found: dict[str, Any] = http.get("/openapi.json").json()
    run = http.get("/v1/runs").json()["runs"][-1]["id"]
    card = http.get("/v1/inbox").json()["cards"][0]["id"]
    action = http.get(f"/v1/runs/{run}/actions").json()["actions"][0]["path"]
    there = {"run_id": run, "run": run, "path": action, "card": card, "seq": 1, "name": "kim", "scope": "all"}
    for methods in found["paths"].values():
        for told in methods.values():
            for parameter in told.get("parameters", ()):
                if parameter["name"] == "Idempotency-Key":
                    # Many with one key would be one request and its conflicts.
                    del parameter["example"]
                if parameter["name"] in there and parameter["schema"].get("type") != "array":
                    parameter["example"] = there[parameter["name"]]
    return found


@pytest.mark.slow
@pytest.mark.parametrize("by", ["nobody", "maya"])
def test_it_answers_whatever_comes_as_it_is_described(
    lived: tuple[str, str, Path], tmp_path: Path, by: str
) -> None:
    url, token, project = lived
    with httpx2.Client(base_url=url, trust_env=False) as http:
        (tmp_path / "openapi.json").write_text(json.dumps(with_real_ids(http)))
    seed = int(os.environ.get("SCHEMATHESIS_SEED") or random.randrange(2**32))
    words = [
        *(str(Path(sys.executable).parent / "schemathesis"), "run", "openapi.json", "--url", url),
        *("--checks", CHECKS, "--seed", str(seed), "--max-examples", str(EXAMPLES), "--no-shrink"),
        *("--phases", PHASES[by], "--continue-on-failure", "--generation-database", "none"),
        *("--warnings", "off", "--no-color"),
        *(word for name in NOT_HERE for word in ("--exclude-operation-id", name)),
        *(("--header", f"Authorization: Bearer {token}") if by == "maya" else ()),
    ]
    done = subprocess.run(
        words, cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False, env=environment()
    )
    assert done.returncode == 0, f"SCHEMATHESIS_SEED={seed}\n{done.stdout[-20_000:]}{done.stderr[-2_000:]}"
    with httpx2.Client(base_url=url, trust_env=False) as http:
        assert http.get("/readyz").json()["ready"]
    verified = deputize(project, "ledger", "verify")
    assert verified.code == 0, verified.out + verified.err


def environment() -> dict[str, str]:
    return {**os.environ, "NO_COLOR": "1", "COLUMNS": "160"}
