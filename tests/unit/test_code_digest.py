"""The digest of a connector's code: its module, and what of the project that imports."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deputize.code import code_digest

FILES = {
    "shop_code/__init__.py": "",
    "shop_code/payments.py": (
        "from pydantic import BaseModel\nimport shop_code.shapes.order\nfrom . import money\n"
        "from .texts import GREETING\nif not GREETING:\n    from ....above import nothing\n"
    ),
    "shop_code/money.py": "import shop_code.payments\n",
    "shop_code/texts.py": "GREETING = 'hello'\n",
    "shop_code/shapes/__init__.py": "VERSION = 1\n",
    "shop_code/shapes/order.py": "from ..deep import DEEP\n",
    "shop_code/deep.py": "DEEP = 1\n",
    "shop_code/mail.py": "",
    "site-packages/library.py": "A = 1\n",
}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "shop_code" / "mail.py").write_text("import library\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.syspath_prepend(str(tmp_path / "site-packages"))
    yield tmp_path
    for name in [n for n in sys.modules if n.partition(".")[0] in ("shop_code", "library")]:
        del sys.modules[name]


def digest(root: Path, module: str) -> str:
    importlib.import_module(module)
    return code_digest(module, root)


@pytest.mark.parametrize("file", ["payments", "money", "texts", "shapes/__init__", "shapes/order", "deep"])
def test_it_changes_with_the_module_and_whatever_of_the_project_it_imports(root: Path, file: str) -> None:
    before = digest(root, "shop_code.payments")
    with (root / "shop_code" / f"{file}.py").open("a") as changed:
        changed.write("# another line\n")
    assert digest(root, "shop_code.payments") != before


def test_it_stays_where_other_modules_and_libraries_change(root: Path) -> None:
    payments, mail = digest(root, "shop_code.payments"), digest(root, "shop_code.mail")
    (root / "site-packages" / "library.py").write_text("A = 2\n")
    assert digest(root, "shop_code.mail") == mail
    (root / "shop_code" / "mail.py").write_text("import library\nB = 1\n")
    assert digest(root, "shop_code.payments") == payments
    assert digest(root, "shop_code.mail") != mail
