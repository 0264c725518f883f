"""The operator's key: whoever may read it may read the ledger beside it, and gives people their tokens."""

from __future__ import annotations

import os
from pathlib import Path

from deputize.api.private import write_private
from deputize.errors import ProjectError
from deputize.token import BYTES, OPERATOR_PREFIX, is_one, written

FILE = "operator.key"


def operator_key(data: Path) -> str:
    """The key in a data folder, made where there is none. Raises `ProjectError` where others can read it."""
    path = data / FILE
    if not path.exists():
        write_private(path, written(OPERATOR_PREFIX, os.urandom(BYTES)) + "\n")
    if path.stat().st_mode & 0o077:
        raise ProjectError(
            f"{path} is open to others, who may have read it: remove it, and a new one is made"
        )
    return read_operator_key(data)


def read_operator_key(data: Path) -> str:
    """The key in a data folder. Raises `ProjectError` where it cannot be read."""
    path = data / FILE
    try:
        key = path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        raise ProjectError(f"there is no {path}; `deputize up` makes it") from None
    except OSError as error:
        raise ProjectError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        key = ""
    if not is_one(key):
        raise ProjectError(f"{path} holds no key: remove it, and `deputize up` makes a new one")
    return key
