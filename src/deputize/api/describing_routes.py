"""What a route of each kind can be sent and can answer, and what is its own."""

from __future__ import annotations

import http
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from deputize.api.shapes import (
    books,
    elsewhere,
    events,
    figures,
    inbox,
    ledger,
    people,
    ruling,
    runs,
    sessions,
    stories,
    today,
    why,
    workshop,
)
from deputize.api.shapes.problems import Problem
from deputize.api.shapes.shape import JSON, Answer, Body, Told

PROBLEM = "application/problem+json"
REF = "#/components/schemas/{model}"
ROUTES: dict[str, Told] = {
    **events.ROUTES,
    **runs.ROUTES,
    **why.ROUTES,
    **inbox.ROUTES,
    **books.ROUTES,
    **figures.ROUTES,
    **today.ROUTES,
    **people.ROUTES,
    **sessions.ROUTES,
    **stories.ROUTES,
    **ruling.ROUTES,
    **workshop.ROUTES,
    **ledger.ROUTES,
    **elsewhere.ROUTES,
}
"""By operation id, which is the name of the route's function."""

TAGS = {
    "Events": "What happened, and what came of it.",
    "Runs": "What was done, and why; each line of the ledger.",
    "Inbox": "What waits for people, and their answers.",
    "Stops": "What is halted or paused.",
    "In force": "Budgets, rules, connections, sources, channels; how work goes.",
    "People": "Who may decide, their tokens and sessions.",
    "Elsewhere": "Agents that live elsewhere, and their calls.",
    "Ledger": "Copies, checks, erasure, leaving for another place.",
    "Process": "Whether it lives and is ready.",
}
_TAG_OF = {
    "events": "Events",
    "webhooks": "Events",
    **dict.fromkeys(("runs", "actions", "entries", "stream", "why", "history"), "Runs"),
    **dict.fromkeys(("inbox", "links"), "Inbox"),
    "stops": "Stops",
    "agents": "Elsewhere",
    **dict.fromkeys(
        (
            "budgets",
            "rules",
            "connectors",
            "sources",
            "channels",
            "health",
            "today",
            "automations",
            "workshop",
            "costs",
        ),
        "In force",
    ),
    **dict.fromkeys(("me", "people", "session"), "People"),
    **dict.fromkeys(("backup", "ledger", "erase", "leaving"), "Ledger"),
}

_ANY = {
    401: "this token is not known, or not any more: `deputize login NAME` gives a person a new one",
    421: "this address answers to localhost and 127.0.0.1 alone",
    503: "this process is starting; send it again in a moment",
}
"""What anything but `/healthz` can answer; a webhook answers to any name."""

_WRITES = {
    400: "the body is not JSON: unexpected end of data: line 1 column 2 (char 1)",
    403: "a page of another origin may not act here",
    413: "a body may have 10,000,000 bytes; send less at once",
    422: "person is not to be given: the token says who decides",
}
_PERSON = "only a person may do this: `deputize login NAME` first (`deputize people` lists them), or send a "
_PERSON += "person's token: Authorization: Bearer dpt_…"
_BOUNDS = "query.limit: Input should be less than or equal to 1000"

_HEADERS: dict[str, Any] = {
    "ETag": "A strong validator of this answer, for `If-None-Match`.",
    "Retry-After": "Seconds after which it may be sent again.",
    "Idempotency-Replayed": "`true` where this is the first answer again, and nothing was done for it.",
    "WWW-Authenticate": "`Bearer`: how to say who speaks.",
}

_KEYED = {
    409: "a request with this idempotency-key is being carried out; send it again in a moment",
    429: "as many idempotency keys are kept as may be: each is for 24 hours; send it without one, or later",
}
"""What a write can answer that has a key, beside 400 and 422."""

_IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Of the sender's own choice, a new one for each thing to be done. For 24 hours the same "
    "request with the same key is carried out once, and answered as it was the first time.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 200, "pattern": "^[\\x20-\\x7e]+$"},
    "example": "0b1c5b52-9d0f-4c56-8f0f-4dc7c2b4a1d1",
}
_IF_NONE_MATCH = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "description": "The `ETag` of an answer that is here already, or several.",
    "schema": {"type": "string", "maxLength": 1_000},
    "example": '"5b1f0e77c2a94d3c8a6f7e105b1f0e77"',
}
_NOT_MODIFIED = {
    "description": "It is what is here already.",
    "headers": {"ETag": {"$ref": "#/components/headers/ETag"}},
}


class Describing:
    """Completes operations, and gathers the shapes that they name."""

    def __init__(self) -> None:
        self._shapes: set[tuple[type[BaseModel], JsonSchemaMode]] = {(Problem, "serialization")}

    def tell(self, operation: dict[str, Any], method: str, path: str) -> None:
        """Put into an operation, which has its id and its own parameters, all else that it takes and answers.

        Raises `KeyError` for a route that no shape is written for.
        """
        told, reads = ROUTES[operation["operationId"]], method == "get"
        signed, open = path.startswith("/v1/webhooks/"), path == "/healthz"
        operation["tags"] = [_TAG_OF.get(path.removeprefix("/v1/").partition("/")[0], "Process")]
        anybody: list[dict[str, list[str]]] = [] if told.needs_person else [{}]
        operation["security"] = [] if signed or open else [*anybody, {"bearer": []}]
        refuses = {} if open else dict(_ANY)
        if operation.get("parameters"):
            refuses[422] = _BOUNDS
        if not reads:
            refuses |= _WRITES
        if told.needs_person:
            refuses[401] = _PERSON
        if signed:
            del refuses[421], refuses[403]
        if not reads and not signed:
            refuses |= _KEYED
            operation.setdefault("parameters", []).append(_IDEMPOTENCY_KEY)
        refuses |= dict(told.refuses)
        tagged = reads and told.answers[200].media == JSON
        if tagged:
            operation.setdefault("parameters", []).append(_IF_NONE_MATCH)
        header = ("ETag" if tagged else "") if reads else ("" if signed else "Idempotency-Replayed")
        operation["responses"] = {
            **({"304": _NOT_MODIFIED} if tagged else {}),
            **{str(status): self._success(one, header) for status, one in told.answers.items()},
            **{str(status): _refusal(status, said) for status, said in sorted(refuses.items())},
        }
        if told.body is not None:
            operation["requestBody"] = self._body(told.body)

    def components(self) -> dict[str, Any]:
        """The shapes by name, the headers, and how one says who speaks."""
        shapes = sorted(self._shapes, key=lambda one: one[0].__name__)
        _, defined = models_json_schema(shapes, ref_template=REF)
        return {
            "schemas": defined["$defs"],
            "headers": {
                name: {"description": about, "schema": {"type": "string"}} for name, about in _HEADERS.items()
            },
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A person's token (`dpt_…`), the project's token, or the operator's key.",
                }
            },
        }

    def _success(self, answer: Answer, header: str) -> dict[str, Any]:
        media: dict[str, Any] = {"schema": {"type": "string"}}
        if answer.shape is not None:
            self._shapes.add((answer.shape, "serialization"))
            media["schema"] = {"$ref": REF.format(model=answer.shape.__name__)}
        media["examples"] = {"as it may come": {"value": answer.example}}
        headers = {"headers": {header: {"$ref": f"#/components/headers/{header}"}}} if header else {}
        lines = {"schema": {"type": "string"}, "examples": {"nothing was found": {"value": ""}}}
        content = {answer.media: media, **dict.fromkeys(answer.also, lines)}
        return {"description": answer.said, **headers, "content": content}

    def _body(self, body: Body) -> dict[str, Any]:
        self._shapes.add((body.shape, "validation"))
        media = {
            "schema": {"$ref": REF.format(model=body.shape.__name__)},
            "examples": {name: {"value": value} for name, value in body.examples.items()},
        }
        return {"required": body.required, "content": {JSON: media, **body.media}}


def _refusal(status: int, said: str) -> dict[str, Any]:
    title = http.HTTPStatus(status).phrase
    example = {"type": "about:blank", "title": title, "status": status, "detail": said}
    headers = {401: ["WWW-Authenticate"], 429: ["Retry-After"], 503: ["Retry-After"]}.get(status, [])
    return {
        "description": title,
        "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in headers},
        "content": {PROBLEM: {"schema": {"$ref": REF.format(model="Problem")}, "example": example}},
    }
