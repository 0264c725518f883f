"""A server that speaks the OpenAI protocol, in a process of its own, and says what it was told to say.

What it was told (see `thinker.py`) is used in order: each answer once, for the first request whose text has
its `when` in it. A conversation has answers of its own, of which the same question gets the same again. What
is asked beyond that gets the usual answer.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import socket
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

BYTES_A_TOKEN = 4


class Said:
    """What it was told to say, and what it was asked."""

    def __init__(self) -> None:
        self.answers: list[dict[str, Any]] = []
        self.conversations: dict[str, list[dict[str, Any]]] = {}
        self.usual: dict[str, Any] = {"text": "I do not know."}
        self._answered: dict[bytes, dict[str, Any]] = {}
        self.asked: list[dict[str, Any]] = []
        self.open = 0
        self.open_max = 0
        self.let_go = asyncio.Event()

    def next(self, messages: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """The answer to a request with these messages."""
        text = json.dumps(messages)
        told = self._conversation(messages)
        if told is not None:
            question = hashlib.sha256(text.encode()).digest()
            if question not in self._answered and told:
                self._answered[question] = told.pop(0)
            return self._answered.get(question, self.usual)
        for number, answer in enumerate(self.answers):
            if str(answer.get("when", "")) in text:
                return self.answers.pop(number) if not answer.get("always") else answer
        return self.usual

    def _conversation(self, messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]] | None:
        """What is left to say in the conversation that these messages are of, if it was told of one."""
        if not self.conversations:
            return None
        said = "\n".join(str(message.get("content")) for message in messages)
        return next((told for text, told in self.conversations.items() if text in said), None)


def app_of(said: Said) -> Starlette:
    """The application: the protocol below `/v1`, and how it is told below `/told`."""

    async def complete(request: Request) -> Response:
        body = await request.json()
        said.asked.append({"body": body, "key": request.headers.get("authorization", "")})
        answer = said.next(body["messages"])
        said.open += 1
        said.open_max = max(said.open_max, said.open)
        try:
            if answer.get("held"):
                await said.let_go.wait()
            if answer.get("delay_s"):
                await asyncio.sleep(float(answer["delay_s"]))
        finally:
            said.open -= 1
        if answer.get("cut"):
            request.scope["state"]["cut"]()
        if "raw" in answer:
            return Response(answer["raw"], media_type="application/json")
        if answer.get("status"):
            wait = answer.get("retry_after_s")
            headers = {"Retry-After": str(wait)} if wait is not None else None
            error = {"message": answer.get("text", "no"), "type": "error", "code": answer.get("code")}
            return JSONResponse({"error": error}, int(answer["status"]), headers)
        return JSONResponse(completion(body, answer, len(said.asked)))

    async def tell(request: Request) -> Response:
        told = await request.json()
        said.answers += told.get("answers", [])
        said.conversations |= told.get("conversations", {})
        said.usual = told.get("usual", said.usual)
        if told.get("let_go"):
            said.let_go.set()
        return JSONResponse({})

    async def asked(request: Request) -> Response:
        return JSONResponse({"asked": said.asked, "open_max": said.open_max, "left": left_of(said)})

    return Starlette(
        routes=[
            Route("/v1/chat/completions", complete, methods=["POST"]),
            Route("/told", tell, methods=["POST"]),
            Route("/told", asked, methods=["GET"]),
        ]
    )


def left_of(said: Said) -> list[dict[str, Any]]:
    """The answers that nobody has asked for yet."""
    return said.answers + [answer for told in said.conversations.values() for answer in told]


def completion(body: Mapping[str, Any], answer: Mapping[str, Any], number: int) -> dict[str, Any]:
    """An answer in the protocol's shape."""
    text = str(answer.get("text", "")) + "x" * int(answer.get("padded", 0))
    calls = [
        {
            "id": call.get("id", f"call-{number}-{index}"),
            "type": "function",
            "function": {"name": call["name"], "arguments": _args(call.get("args", {}))},
        }
        for index, call in enumerate(answer.get("calls", ()))
    ]
    asked = -(-len(json.dumps(body["messages"])) // BYTES_A_TOKEN)
    told = -(-len(text + json.dumps(calls)) // BYTES_A_TOKEN)
    usage = {"prompt_tokens": asked, "completion_tokens": told, "total_tokens": asked + told}
    message: dict[str, Any] = {"role": "assistant", "content": text or None}
    if calls:
        message["tool_calls"] = calls
    finish = answer.get("finish", "tool_calls" if calls else "stop")
    return {
        "id": f"chatcmpl-{number}",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": body["model"],
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
        "usage": answer.get("usage", usage),
    }


def _args(args: Any) -> str:
    return args if isinstance(args, str) else json.dumps(args)


class _Server(uvicorn.Server):
    """Says where it listens, and ends with its standard input."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        port = self.servers[0].sockets[0].getsockname()[1]
        sys.stdout.write(json.dumps({"url": f"http://127.0.0.1:{port}"}) + "\n")
        sys.stdout.flush()
        threading.Thread(target=self._until_eof, daemon=True).start()

    def _until_eof(self) -> None:
        sys.stdin.read()
        self.should_exit = True


if __name__ == "__main__":
    from deputize.town.server import CuttableProtocol

    config = uvicorn.Config(
        app_of(Said()), host="127.0.0.1", port=0, log_level="error", http=CuttableProtocol, lifespan="off"
    )
    _Server(config).run()
