"""Which addresses only this machine can reach. Pure."""

from __future__ import annotations


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address."""
    return host in ("localhost", "::1") or host.startswith("127.")
