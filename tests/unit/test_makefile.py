"""`make` on a machine that lacks what it needs says what to install."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

MAKEFILE = Path(__file__).parents[2] / "Makefile"


@pytest.mark.parametrize("missing", ["venv", "ensurepip"])
def test_without_pythons_venv_make_says_in_a_line_what_to_install(tmp_path: Path, missing: str) -> None:
    shutil.copy(MAKEFILE, tmp_path)
    without = tmp_path / "without"
    without.mkdir()
    (without / f"{missing}.py").write_text(f"raise ModuleNotFoundError({missing!r})")
    made = subprocess.run(
        ["make", ".venv/bin/python", f"PYTHON={sys.executable}"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(without)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert made.returncode != 0
    said = [line for line in made.stderr.splitlines() if not line.startswith("make")]
    assert said == ["Deputize needs Python's venv module; on Debian and Ubuntu: apt install python3-venv"]
    # Nothing is left half made, so the same command goes on once it is installed.
    assert not (tmp_path / ".venv").exists()
