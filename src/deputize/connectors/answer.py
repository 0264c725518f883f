"""What a service's answer means under a contract: pure decisions, no I/O."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any

from deputize import canonical
from deputize.call import CallDeclined, CallFailed, CallNotDone, CallUnknown
from deputize.clock import to_us
from deputize.operation import Contract

RETRY_AFTER_S_MAX = 3_600.0
EXCERPT_CHARS = 500


@dataclass(frozen=True)
class HttpAnswer:
    """A service's 2xx answer: header names in lower case, a body of at most 1 MB."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON. Raises `ValueError`."""
        return canonical.decode(self.body)


def failure_class(contract: Contract, status: int, *, read: bool) -> type[CallFailed] | None:
    """What `status` proves under `contract`; None for a 2xx, which means done.

    A redirect is never followed: for a read that is an answer, for a write nobody knows.
    """
    if status in contract.not_done:
        return CallNotDone
    if status in contract.declined:
        return CallDeclined
    if 200 <= status < 300:
        return None
    return CallDeclined if read and 300 <= status < 400 else CallUnknown


def retry_after_s(value: str | None, now_us: int) -> float | None:
    """Seconds from a Retry-After header (RFC 9110, 10.2.3: seconds or a date), 0 to an hour."""
    text = (value or "").strip()
    if re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,9})?", text):
        wait_s = float(text)
    else:
        try:
            at = parsedate_to_datetime(text)
            wait_s = (to_us(at if at.tzinfo else at.replace(tzinfo=UTC)) - now_us) / 1e6
        except (ValueError, IndexError, OverflowError):
            return None
    return min(max(wait_s, 0.0), RETRY_AFTER_S_MAX)


def readable(data: bytes | str, scrub: Callable[[str], str], chars_max: int = EXCERPT_CHARS) -> str:
    """`data` as one line for people: scrubbed first, so that no secret is cut in half, then shortened."""
    text = scrub(data.decode("utf-8", "replace") if isinstance(data, bytes) else data)
    line = "".join(char if char.isprintable() else "�" for char in " ".join(text.split()))
    return line if len(line) <= chars_max else f"{line[: chars_max - 1]}…"
