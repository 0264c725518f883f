"""The address that a project is served at, taken before anything of its ledger is."""

from __future__ import annotations

import socket

from deputize.config import Settings
from deputize.errors import ProjectError


def listen(settings: Settings) -> socket.socket:
    """Take the address of `[server]`; the caller closes the socket.

    Raises `ProjectError` for an address that others can reach without a token, or that is taken.
    """
    host, port = settings.host, settings.port
    if settings.unguarded:
        raise ProjectError(settings.unguarded)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Connections inherit it. Without it an answer to a kept-alive connection takes 40 ms.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise ProjectError(
            f"deputize.toml: [server] {host}:{port} cannot be used: {error.strerror}; "
            "choose another port, or 0 for any free one"
        ) from None
    return listener
