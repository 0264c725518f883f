"""A real HTTP/1.1 server on 127.0.0.1 that answers with whatever bytes a test wants, or cuts the line."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Seen:
    """One request as it came over the wire."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Server:
    """`answer` gets each request and the line to answer on; closing the line cuts the connection."""

    answer: Callable[[Seen, asyncio.StreamWriter], Awaitable[None]]
    base: str = ""
    accepted: int = 0
    seen: list[Seen] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    release: asyncio.Event = field(default_factory=asyncio.Event)


def http(status: int, body: bytes | object = b"{}", *headers: str) -> bytes:
    """A whole answer; a body that is not bytes is sent as JSON."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} Some Reason", f"Content-Length: {len(data)}", *headers]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + data


@asynccontextmanager
async def serving(
    answer: bytes | list[bytes] | Callable[[Seen, asyncio.StreamWriter], Awaitable[None]],
    tls: Path | None = None,
) -> AsyncIterator[Server]:
    """A running server: the same bytes to all, bytes in turn (an empty one cuts the line), or a function.
    With `tls` it speaks HTTPS, with the certificate in that folder."""
    turns = list(answer) if isinstance(answer, list) else None

    async def from_bytes(_: Seen, writer: asyncio.StreamWriter) -> None:
        assert not callable(answer)
        data = answer if isinstance(answer, bytes) else turns.pop(0) if turns else b""
        writer.write(data) if data else writer.close()

    server = Server(answer if callable(answer) else from_bytes)
    lines: set[asyncio.Task[None]] = set()

    async def line(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.accepted += 1
        try:
            while not writer.is_closing():
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                method, target, _ = head[0].split(" ")
                headers = {k.lower(): v.strip() for k, _, v in (row.partition(":") for row in head[1:-2])}
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                server.seen.append(Seen(method, target, headers, body))
                server.arrived.set()
                await server.answer(server.seen[-1], writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client went away, which is its right
        finally:
            writer.transport.abort()
            asyncio.get_running_loop().call_soon(server.closed.set)  # after the socket itself

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(line(reader, writer))
        lines.add(task)
        task.add_done_callback(lines.discard)

    context = None
    if tls is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls / "cert.pem", tls / "key.pem")
    listener = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=context)
    server.base = f"http{'s' if tls else ''}://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        listener.close()
        for task in list(lines):
            task.cancel()
        await asyncio.gather(*lines, return_exceptions=True)
