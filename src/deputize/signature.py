"""Signatures of webhooks: who sent this, and was it now."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass

Check = Callable[[Mapping[str, str], bytes, str, float], bool]
"""(header names in lower case, raw body, the secret's value, time in seconds) → is it genuine."""


@dataclass(frozen=True)
class Verifier:
    """How a webhook's sender proves itself. `secret` is a handle, never the secret."""

    secret: str
    check: Check


def hmac_sha256(*, header: str, secret: str, tolerance_s: float | None = None) -> Verifier:
    """HMAC-SHA-256 of the raw body, in hexadecimal (also after `sha256=`) or base64, in a header.

    With `tolerance_s` the header holds `t=SECONDS,v1=HEX` (any number of `v1`), signed are the time,
    a full stop and the body, and the time may differ from ours by so much. Sources: RFC 2104; the
    two forms are those that most payment and code services use.
    """

    def check(headers: Mapping[str, str], body: bytes, value: str, now_s: float) -> bool:
        given = headers.get(header.lower(), "")
        if tolerance_s is None:
            return _signs([given.removeprefix("sha256=")], value, body)
        parts = [part.strip().partition("=") for part in given.split(",")][:20]
        times = [text for name, _, text in parts if name == "t"]
        if len(times) != 1 or not (times[0].isascii() and times[0].isdigit()) or len(times[0]) > 12:
            return False
        if abs(now_s - int(times[0])) > tolerance_s:
            return False
        return _signs(
            [text for name, _, text in parts if name == "v1"], value, times[0].encode() + b"." + body
        )

    return Verifier(secret, check)


def _signs(given: list[str], secret: str, signed: bytes) -> bool:
    right = hmac.digest(secret.encode(), signed, "sha256")
    return any(hmac.compare_digest(_bytes(text), right) for text in given)


def _bytes(text: str) -> bytes:
    try:
        return bytes.fromhex(text) if len(text) == 64 else base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        return b""
