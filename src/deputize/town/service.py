"""What the three services have in common: a FastAPI application, its problems, its effects."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from fastapi import Depends, FastAPI, Header, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from deputize.town.wire import Problem, Wire
from deputize.town.world import Ask, Effect, World

W = TypeVar("W", bound=Wire)


class ProblemBody(Wire):
    """Every answer that is not a success."""

    error: str
    detail: str


def service_app(title: str, summary: str) -> FastAPI:
    """An application that publishes /openapi.json and answers every problem in one shape."""
    app = FastAPI(
        title=title,
        summary=summary,
        docs_url=None,
        redoc_url=None,
        responses={code: {"model": ProblemBody} for code in (400, 401, 404, 409, 422, 429)},
    )
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    return app


def problem_response(problem: Problem, headers: dict[str, str] | None = None) -> Response:
    """The answer that says `problem`."""
    return Response(problem.body(), problem.status, headers, media_type="application/json")


async def _problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return problem_response(error)


async def _invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    faults = error.errors()
    where = "; ".join(f"{'.'.join(map(str, f['loc']))}: {f['msg']}" for f in faults[:5])
    broken = any(f["type"] == "json_invalid" for f in faults)
    return problem_response(Problem(400 if broken else 422, "not-json" if broken else "invalid", where))


async def _http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    words = {400: "bad-request", 404: "no-such-route", 405: "no-such-method"}
    return problem_response(
        Problem(error.status_code, words.get(error.status_code, "error"), str(error.detail))
    )


@dataclass(frozen=True)
class Doing:
    """An effect about to be performed: `doing(act)` performs it once for its key, and is the answer."""

    world: World
    ask: Ask

    @property
    def key(self) -> str | None:
        """The idempotency key, stored with the record so that it can be found by it."""
        return self.ask.key

    def __call__(self, act: Callable[[], Effect]) -> Response:
        answer = self.world.perform(self.ask, act)
        headers = {"Idempotent-Replayed": "true"} if answer.replayed else None
        return Response(answer.body, answer.status, headers, media_type="application/json")


def asked(kind: type[W], **fields: Any) -> W:
    """The body that a preview's query stands for, validated as that body is."""
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        raise RequestValidationError(error.errors()) from None


def foreseen(world: World, act: Callable[[], Effect]) -> Response:
    """The answer that says what would come of `act`, without any effect."""
    answer = world.preview(act)
    return Response(answer.body, answer.status, media_type="application/json")


async def _doing(
    request: Request,
    idempotency_key: Annotated[str | None, Header(min_length=1, max_length=200)] = None,
) -> Doing:
    state: dict[str, Any] = request.scope["state"]
    return Doing(state["world"], state["ask"])


Effecting = Annotated[Doing, Depends(_doing)]
