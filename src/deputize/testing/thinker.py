"""A model's server as tests hold it: a real process that speaks the OpenAI protocol and says what it is told.

    with Thinker.start(tmp_path) as thinker:
        thinker.say({"text": "refund"}, {"status": 429, "retry_after_s": 1})

An answer has `text`, `calls` (`{"name", "args"}`), a `status` with `retry_after_s`, `raw` bytes of a body,
`cut` (the connection, before the answer), `delay_s`, `finish`, `usage`, `padded` (so many characters more);
one that is `held` comes only after `let_go`.
`when` keeps it for a request with that text in it; with `always` it is used again and again.

Where many runs ask at once, each is told apart by a text that its conversation alone has in it:

    thinker.say_in({"order o1": [{"text": "refund"}], "order o2": [{"text": "wish"}, {"text": "thanks"}]})
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.request import ProxyHandler, Request, build_opener

from deputize.child import Child

READY_S = 20.0
STOP_S = 5.0
ASK_S = 30.0


class Thinker:
    """The server, its address and what it was asked. It ends with its context, or with this process."""

    def __init__(self, child: Child, url: str) -> None:
        self._child = child
        self._url = url
        self._opener = build_opener(ProxyHandler({}))
        self.base = f"{url}/v1"
        """For `base` in `[models.NAME]`."""

    @classmethod
    def start(cls, directory: Path) -> Self:
        """Start one; `directory` takes its log."""
        child = Child(STOP_S)
        command = [sys.executable, "-m", "deputize.testing.thinker_child"]
        with (directory / "thinker.log").open("ab") as log:
            child.start(command, stdout=subprocess.PIPE, stderr=log)
        line = child.first_line(READY_S)
        if not line:
            raise RuntimeError(
                f"the thinker did not start: {(directory / 'thinker.log').read_text()[-2000:]}"
            )
        return cls(child, json.loads(line)["url"])

    def say(self, *answers: Mapping[str, Any]) -> None:
        """What to answer next, in this order."""
        self._told({"answers": list(answers)})

    def say_in(self, conversations: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
        """What to answer in each conversation, which is known by a text in it: in this order, and to the very
        same question the same again, as whoever lost an answer asks."""
        self._told({"conversations": {text: list(answers) for text, answers in conversations.items()}})

    def usually(self, **answer: Any) -> None:
        """What to answer where nothing else was said."""
        self._told({"usual": answer})

    def let_go(self) -> None:
        """Give the answers that are held, and hold none from now on."""
        self._told({"let_go": True})

    def asked(self) -> list[dict[str, Any]]:
        """The bodies of the requests so far, in order."""
        return [one["body"] for one in self._telling()["asked"]]

    def left(self) -> list[dict[str, Any]]:
        """The answers that nobody has asked for yet; usual ones, and those for always, are not of them."""
        return [one for one in self._telling()["left"] if not one.get("always")]

    def keys(self) -> list[str]:
        """The logins of the requests so far, in order."""
        return [one["key"] for one in self._telling()["asked"]]

    def open_max(self) -> int:
        """How many requests were open at one time, at most."""
        return int(self._telling()["open_max"])

    def stop(self) -> None:
        """End it."""
        self._child.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._child.kill()

    def _told(self, body: Mapping[str, Any]) -> None:
        request = Request(f"{self._url}/told", json.dumps(body).encode(), method="POST")
        self._opener.open(request, timeout=ASK_S).close()

    def _telling(self) -> dict[str, Any]:
        with self._opener.open(f"{self._url}/told", timeout=ASK_S) as answer:
            found: dict[str, Any] = json.load(answer)
            return found
