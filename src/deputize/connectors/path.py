"""Joining a path below a base address, so that no argument can lead anywhere else."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import quote, unquote, urlencode

TARGET_BYTES_MAX = 8_000
_SAFE = "/%:!$&'()*+,;=-._~"
_BAD_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def target_below(base: str, path: str, params: Mapping[str, str] | None) -> bytes:
    """The request target (path and query, ASCII) for `path` below the base address's path.

    Raises `ValueError`, saying why, for a path that could mean anything but a place below `base`:
    another address or scheme, `..`, `@`, backslashes, control characters, empty segments, also
    where they are percent-encoded; and for `?` and `#`, since a query belongs in `params`.
    """
    for character, remedy in (
        ("\\", "a backslash"),
        ("@", "'@': write it as %40"),
        ("?", "'?': give the query as params=…"),
        ("#", "'#': write it as %23"),
    ):
        if character in path:
            raise ValueError(f"has {remedy}")
    if _BAD_PERCENT.search(path):
        raise ValueError("has a '%' that is no escape: write it as %25")
    if "//" in path:
        raise ValueError("has an empty segment ('//')")
    if ":" in path.partition("/")[0]:
        raise ValueError("starts with a scheme or an address; give a path below the base address")
    _check_segments(path)
    try:
        target = f"{base.rstrip('/')}/{quote(path.removeprefix('/'), safe=_SAFE)}"
        if params:
            target = f"{target}?{urlencode(params, quote_via=quote, safe='')}"
    except UnicodeEncodeError:
        raise ValueError("has text that is not Unicode") from None
    if len(target) > TARGET_BYTES_MAX:
        raise ValueError(f"is over {TARGET_BYTES_MAX:,} bytes with its query")
    return target.encode("ascii")


def _check_segments(path: str) -> None:
    """Look at `path` as it is, and as a service sees it that decodes escapes once, or twice."""
    for _ in range(3):
        if _CONTROL.search(path):
            raise ValueError("has control characters")
        # Some servers drop what follows ';' before they look at the segment.
        for segment in re.split(r"[/\\]", path):
            if segment.partition(";")[0].strip() in (".", ".."):
                raise ValueError("has a segment '.' or '..'")
        path = unquote(path, errors="replace")
