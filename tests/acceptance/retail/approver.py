"""A person at a computer of their own, as a program: reads the inbox over HTTP and approves what waits there.

`python -m tests.acceptance.retail.approver --server data/server.json --token FILE`. It tells each answer
that it got as a JSON line on standard output, and ends with its input. A server that is not there is tried
again.
"""

import argparse
import json
import os
import select
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2

PAGE = 20
PAGES_MAX = 1_000
PAUSE_S = 0.05
TIMEOUT_S = 5.0


class Approver:
    """Approves each card once, by its binding; one whose answer was lost is approved again."""

    def __init__(self, server: Path, token: str) -> None:
        self._server = server
        self._headers = {"Authorization": f"Bearer {token}"}
        self._answered: set[tuple[str, str]] = set()
        self._url = ""
        self._http = httpx2.Client(trust_env=False)

    def round(self) -> bool:
        """Go through the whole inbox once. Returns whether there was anything to approve."""
        found = False
        try:
            self._find_server()
            for card in self._cards():
                name = (card["id"], card["binding"])
                if name not in self._answered:
                    found = True
                    self._approve(*name)
        except (httpx2.HTTPError, OSError, ValueError):
            # It is being started again, or was killed in mid-answer: what it has said of it is in the inbox.
            return False
        return found

    def _find_server(self) -> None:
        """Where it says that it is: another address after each start."""
        url = json.loads(self._server.read_bytes())["url"]
        if url != self._url:
            self._http.close()
            self._http = httpx2.Client(
                base_url=url, headers=self._headers, timeout=TIMEOUT_S, trust_env=False
            )
            self._url = url

    def _cards(self) -> Iterator[dict[str, Any]]:
        """Approvals that wait, page by page."""
        after = 0
        for _ in range(PAGES_MAX):
            answer = self._http.get("/v1/inbox", params={"after": after, "limit": PAGE})
            answer.raise_for_status()
            page = answer.json()
            yield from (card for card in page["cards"] if card["kind"] == "approval")
            if page["next"] is None:
                return
            after = page["next"]

    def _approve(self, card: str, binding: str) -> None:
        answer = self._http.post(f"/v1/inbox/{card}/answer", json={"kind": "approve", "binding": binding})
        if answer.status_code >= 500:
            return
        self._answered.add((card, binding))
        line = {"card": card, "binding": binding, "status": answer.status_code, **answer.json()}
        os.write(1, json.dumps(line).encode() + b"\n")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", type=Path, required=True, help="the file that says where the server is")
    parser.add_argument("--token", type=Path, required=True, help="the file that has the person's token")
    options = parser.parse_args()
    approver = Approver(options.server, options.token.read_text().strip())
    busy = True
    while not select.select([sys.stdin], [], [], 0 if busy else PAUSE_S)[0]:
        busy = approver.round()


if __name__ == "__main__":
    main()
