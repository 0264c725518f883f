"""Thinking: asking a model for something, until it fits. Each question is an action of the run.

A model that says no is followed by the next of its fallbacks; one whose answer does not fit is told why, and
asked again, so many times. What it is asked and what it said is in the record, so a replay asks nobody.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Generic, TypeVar, overload

from pydantic import TypeAdapter, ValidationError

from deputize import canonical
from deputize.action import attempt, due_in
from deputize.awaiting import Awaiting, Step, Steps, caller_line, current_step
from deputize.errors import ActionError, CodeError, ContractError, GaveUp
from deputize.note import in_front, named
from deputize.operation import Operation
from deputize.script import Script
from deputize.suggest import did_you_mean
from deputize.thought import ANSWER, Called, Choice, Message, Thought

T = TypeVar("T")

_ANY = TypeAdapter[Any](Any)

ASKS_MAX = 3
PROBLEMS_SHOWN = 3
ANSWER_CHARS_MAX = 100_000
SAID_AGAIN_CHARS = 4_000
"""Of an answer that did not fit, so much is put before the model again."""


@dataclass(frozen=True)
class ModelOf:
    """A model of the project, and those that are asked in its place."""

    operation: Operation[..., Thought]
    fallback: tuple[str, ...] = ()


@dataclass(frozen=True)
class Means:
    """What an automation has to work with: the project's models and operations, by name."""

    models: Mapping[str, ModelOf] = field(default_factory=dict)
    operations: Mapping[str, Operation[..., Any]] = field(default_factory=dict)

    def usable(self, may: Collection[str] | None) -> dict[str, Operation[..., Any]]:
        """What a model may call, of what an agent may (None for all): everything but models, by name."""
        models = {one.operation.name for one in self.models.values()}
        names = sorted(set(self.operations) - models)
        return {name: self.operations[name] for name in names if may is None or name in may}


class Misfit(Exception):
    """An answer is not what was asked for; the message is for the model."""


@overload
def think(
    prompt: str | Sequence[Message], *, about: str = "", model: str = "", within: timedelta | None = None
) -> Awaiting[str]: ...
@overload
def think(
    prompt: str | Sequence[Message],
    *,
    returns: type[T],
    about: str = "",
    model: str = "",
    within: timedelta | None = None,
) -> Awaiting[T]: ...
def think(
    prompt: str | Sequence[Message],
    *,
    returns: Any = str,
    about: str = "",
    model: str = "",
    within: timedelta | None = None,
) -> Awaiting[Any]:
    """Ask a model, and get what it says as `returns`: a pydantic model, another type that JSON has, or text.

    `about` is for people: why it is asked. `model` is one of `[models.NAME]`; without it, that of the run's
    agent. What has not been asked `within` a time is not asked any more. Raises `Refused` where rules or
    budgets say no, `Declined` and `Unavailable` where the provider does, `Expired` where the time is up, and
    `GaveUp` where no answer fits.
    """
    where, answer = caller_line(), AnswerOf.of(returns)
    messages = (Message(role="user", text=prompt),) if isinstance(prompt, str) else tuple(prompt)
    if not messages or not all(isinstance(one, Message) for one in messages):
        raise CodeError(f"{where}: think() takes a text, or a list of messages, and got {prompt!r:.100}")

    due_us = due_in(within, where)

    def begin() -> Steps[Any]:
        step = running("think", where)
        why = about or "a model is asked"
        names, pinned = names_of(step, model, where), in_front("", step.notes)
        asking = (Message(role="system", text=pinned), *messages) if pinned else messages
        found, _ = yield from until_it_fits(names, step, asking, answer, why, due_us)
        return found

    return Script("think", begin)


class AnswerOf(Generic[T]):
    """The shape of an answer, and how it is read."""

    weighs: tuple[str, ...] = ()
    """The operations of which it matters whether rules bar them in principle."""

    def __init__(self, returns: type[T]) -> None:
        self._adapter = TypeAdapter[T](returns)
        self.schema: dict[str, Any] | None = None
        if returns is str:
            return
        schema = self._adapter.json_schema()
        self._wrapped = schema.get("type") != "object"
        # What models fill in is an object, always.
        self.schema = _wrapped(schema) if self._wrapped else schema

    @classmethod
    def of(cls, returns: type[T]) -> AnswerOf[T]:
        """Raises `CodeError` where a type has no JSON Schema."""
        try:
            return cls(returns)
        except Exception as error:  # noqa: BLE001 - a type may be anything
            raise CodeError(
                f"{caller_line()}: returns={returns!r:.100} has no JSON Schema: {error}"
            ) from None

    def read(self, thought: Thought, barred: Mapping[str, str] | None = None) -> T:
        """The answer. Raises `Misfit` where there is none, and says so to the model; `barred` is why rules
        bar what it `weighs`."""
        refuse_unfinished(thought)
        given = next((call.args for call in thought.calls if call.name == ANSWER), thought.text)
        if self.schema is None:
            if not given.strip():
                raise Misfit("Your answer is empty.")
            return self._adapter.validate_python(given)
        return self.parse(given)

    def fits(self, thought: Thought) -> bool:
        """Whether a thought has such an answer."""
        try:
            self.read(thought)
        except Misfit:
            return False
        return True

    def parse(self, given: str) -> T:
        """The answer from its JSON. Raises `Misfit`."""
        text = _unfenced(given)
        if len(text) > ANSWER_CHARS_MAX:
            raise Misfit(f"Your answer is longer than {ANSWER_CHARS_MAX:,} characters. Answer more briefly.")
        try:
            if not self._wrapped:
                return self._adapter.validate_json(text)
            inner = canonical.decode(text.encode())
            return self._adapter.validate_python(inner["value"] if isinstance(inner, dict) else inner)
        except ValidationError as error:
            raise Misfit(f"Your answer does not fit: {problems(error)}.") from None
        except (ValueError, KeyError):
            raise Misfit("Your answer is not the JSON that was asked for.") from None


def refuse_unfinished(thought: Thought) -> None:
    """Raises `Misfit` for what was cut off, or held back, or cannot be read."""
    if thought.finish == "length":
        raise Misfit("Your answer was cut off, because it was too long. Answer more briefly.")
    if thought.finish not in ("stop", "tool_call"):
        raise Misfit(f"Your answer could not be used ({thought.finish}). Answer again.")


def problems(error: ValidationError) -> str:
    """What is wrong, in a few words."""
    found = error.errors(include_url=False, include_input=False, include_context=False)
    said = [f"{'.'.join(map(str, one['loc'])) or 'answer'}: {one['msg']}" for one in found]
    more = f"; and {len(said) - PROBLEMS_SHOWN} more" if len(said) > PROBLEMS_SHOWN else ""
    return "; ".join(said[:PROBLEMS_SHOWN]) + more


def running(what: str, where: str) -> Step:
    """The run that is being driven. Raises `CodeError` where none is."""
    step = current_step()
    if step is None or step.automation is None:
        raise CodeError(f"{where}: {what}() is for automations, which answer an event")
    return step


def shown_of(given: Any, word: str, where: str) -> str:
    """What a model is given, as text. Raises `CodeError` where it is neither text nor data."""
    if isinstance(given, str):
        return _unmarked(given)
    try:
        return _unmarked(canonical.encode(_ANY.dump_python(given, mode="json")).decode())
    except (ValueError, TypeError) as error:
        raise CodeError(f"{where}: {word}() takes text or data, and got what has no JSON: {error}") from None


def framed(shown: str) -> str:
    """What a model is given, between marks that it cannot itself contain."""
    return f"<given>\n{shown}\n</given>"


def _unmarked(text: str) -> str:
    return re.sub(r"<(?=/?\s*given)", "&lt;", text, flags=re.IGNORECASE)


def names_of(step: Step, model: str, where: str) -> tuple[str, ...]:
    """The models to ask, in order. Raises `CodeError` where there is none of that name."""
    models = step.automation.means.models
    name = model or step.automation.agent.model or (next(iter(models)) if len(models) == 1 else "")
    if name not in models:
        add = "add [models.NAME] to deputize.toml"
        if name:
            raise CodeError(f"{where}: there is no model {name!r}{did_you_mean(name, models)}; {add}")
        raise CodeError(f"{where}: say which model: agent(…, model=…) or think(…, model=…); {add}")
    return (name, *models[name].fallback)


def asked(
    names: Sequence[str],
    step: Step,
    messages: Sequence[Message],
    choices: Sequence[Choice],
    answer: dict[str, Any] | None,
    why: str,
    fits: Callable[[Thought], bool],
    due_us: int | None = None,
    weighs: tuple[str, ...] = (),
) -> Steps[tuple[Thought, str, tuple[str, ...]]]:
    """Ask the first of these that does not say no: its thought and the path of that, and who is to be asked
    from now on. A thought of before serves again where it `fits`. Raises what the last one said; nobody is
    asked past `due_us`.
    """
    left = tuple(names)
    while True:
        operation = step.automation.means.models[left[0]].operation
        try:
            action = operation(messages=list(messages), choices=list(choices), answer=answer)
        except (ContractError, CodeError) as error:
            raise GaveUp(operation.name, step.run_id, f"it cannot be asked this: {error}") from None
        action = action.because(why)
        action.fits, action.due_us, action.weighs = fits, due_us, weighs
        action.notes = named(step.notes)
        got = yield from attempt(action).__await__()
        if not isinstance(got, ActionError):
            return got, action.path, left
        left = left[1:]
        if not left or (due_us is not None and step.now_us >= due_us):
            raise got


def until_it_fits(
    names: Sequence[str],
    step: Step,
    messages: Sequence[Message],
    answer: AnswerOf[T],
    why: str,
    due_us: int | None = None,
) -> Steps[tuple[T, str]]:
    """Ask the first of these models until its answer fits, so many times, and then the next. Returns the
    answer, and the path of the thought that it is."""
    left, reason = tuple(names), ""
    while left:
        asking = list(messages)
        for _ in range(ASKS_MAX):
            thought, path, left = yield from asked(
                left, step, asking, (), answer.schema, why, answer.fits, due_us, answer.weighs
            )
            try:
                return answer.read(thought, step.barred.get(path)), path
            except Misfit as misfit:
                reason = str(misfit)
                asking = [*messages, *said_again(thought, reason)]
        left = left[1:]
    said = f"no answer that fits came, however often it was asked; the last was told: {reason}"
    raise GaveUp("think", step.run_id, said)


def said_again(thought: Thought, reason: str) -> list[Message]:
    """What a model said, put before it again with what is wrong about it."""
    shown = thought.text[:SAID_AGAIN_CHARS]
    calls = tuple(
        Called(id=call.id, name=call.name, args=call.args if len(call.args) <= SAID_AGAIN_CHARS else "{}")
        for call in thought.calls[:1]
    )
    again = Message(role="model", text=shown or ("" if calls else "(nothing)"), calls=calls)
    if calls:
        return [again, Message(role="result", text=reason, to=calls[0].id)]
    return [again, Message(role="user", text=reason)]


def _wrapped(schema: dict[str, Any]) -> dict[str, Any]:
    inner = {name: part for name, part in schema.items() if name != "$defs"}
    outer = {"type": "object", "properties": {"value": inner}, "required": ["value"]}
    return outer | ({"$defs": schema["$defs"]} if "$defs" in schema else {})


def _unfenced(text: str) -> str:
    """Without the fence that models like to put round JSON."""
    stripped = text.strip()
    if stripped.startswith("```") and stripped.endswith("```"):
        return stripped[3:-3].removeprefix("json").strip()
    return stripped
