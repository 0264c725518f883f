"""A model's server that answers at once, or after a while, in a process of its own.

A request with tools gets the next of ten calls, and after their results the answer; one without, a word.
So it serves a plain question, and a loop of ten calls.
"""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

CALLS = 10


def answer_to(body: bytes) -> bytes:
    """The whole HTTP answer to a request's body."""
    message: dict[str, object] = {"role": "assistant", "content": "well"}
    finish = "stop"
    if b'"tools"' in body:
        made = body.count(b'"role":"tool"') + body.count(b'"role": "tool"')
        name, args = ("answer", '{"value": 1}') if made >= CALLS else ("desk-note", f'{{"item": "{made}"}}')
        if made >= CALLS and b'"answer"' not in body:
            # A peer that has no such tool takes the text.
            message = {"role": "assistant", "content": "well"}
        else:
            call = {"id": f"c{made}", "type": "function", "function": {"name": name, "arguments": args}}
            message, finish = {"role": "assistant", "content": None, "tool_calls": [call]}, "tool_calls"
    content = json.dumps(
        {
            "id": "x",
            "object": "chat.completion",
            "created": 1_700_000_000,
            "model": "stub",
            "choices": [{"index": 0, "message": message, "finish_reason": finish}],
            "usage": {"prompt_tokens": 20, "completion_tokens": 5, "total_tokens": 25},
        }
    ).encode()
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(content)}\r\n\r\n"
    return head.encode() + content


class _Answering(asyncio.Protocol):
    def __init__(self, after_s: float) -> None:
        self._read = b""
        self._after_s = after_s

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._read += data
        while True:
            head, blank, rest = self._read.partition(b"\r\n\r\n")
            if not blank:
                return
            length = next(
                int(line.partition(b":")[2])
                for line in head.split(b"\r\n")
                if line.lower().startswith(b"content-length")
            )
            if len(rest) < length:
                return
            self._read = rest[length:]
            self._answer(answer_to(rest[:length]))

    def _answer(self, content: bytes) -> None:
        write = self._transport.write  # type: ignore[attr-defined]
        if self._after_s:
            asyncio.get_running_loop().call_later(self._after_s, write, content)
        else:
            write(content)


async def _serve(after_s: float) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Answering(after_s), "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", flush=True)
    await asyncio.to_thread(sys.stdin.read)


@contextmanager
def answering(after_s: float = 0.0) -> Iterator[str]:
    """Its base address, for as long as it is wanted; each answer comes after so long."""
    command = [sys.executable, "-m", "bench.answering", f"{after_s}"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdin is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.stdin.close()
            process.terminate()


if __name__ == "__main__":
    asyncio.run(_serve(float(sys.argv[1])))
