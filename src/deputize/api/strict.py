"""What every answer says to browsers: nothing from elsewhere, nothing inline, no frames, nothing guessed."""

from __future__ import annotations

from starlette.types import Message, Send

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_KEPT_NOWHERE = (b"cache-control", b"no-store")


def strictly(send: Send) -> Send:
    """Send with these headers; pages are kept by nobody."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = message["headers"] = [*message.get("headers", ()), *HEADERS]
            names = dict(headers)
            if names.get(b"content-type", b"").startswith(b"text/html") and b"cache-control" not in names:
                headers.append(_KEPT_NOWHERE)
        await send(message)

    return sending
