"""Questions that an automation puts to people, and what is an answer to one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, TypeVar, overload

from pydantic import TypeAdapter

from deputize import canonical
from deputize.awaiting import Awaiting, caller_line
from deputize.errors import CodeError
from deputize.money import Money
from deputize.suggest import did_you_mean
from deputize.waits import span_us

T = TypeVar("T", bound=str | int | bool | Money)

QUESTION_CHARS_MAX = 2_000
ANSWER_CHARS_MAX = 20_000
SHOWN_BYTES_MAX = 50_000
CHOICES_MAX = 50
WITHIN = timedelta(days=3)

KINDS: Mapping[type[Any], str] = {str: "text", int: "whole number", bool: "yes or no", Money: "money"}
_SHOWN = TypeAdapter(dict[str, Any])


class Unanswerable(ValueError):
    """What was given is no answer to the question; the message says what one is."""


class Question(Awaiting[T]):
    """See `ask`. `otherwise` is the stored form of the answer that silence gives, or None."""

    __slots__ = ("choices", "digest", "kind", "otherwise", "question", "show", "whom", "within_us")

    def __init__(
        self,
        whom: tuple[str, ...],
        question: str,
        show: Mapping[str, Any],
        choices: tuple[str, ...],
        kind: str,
        within_us: int,
        otherwise: bytes | None,
    ) -> None:
        super().__init__()
        self.whom = whom
        self.question = question
        self.show = show
        self.choices = choices
        self.kind = kind
        self.within_us = within_us
        self.otherwise = otherwise
        silence = None if otherwise is None else canonical.decode(otherwise)
        said = [whom, question, show, choices, kind, within_us, silence]
        self.digest = canonical.digest(canonical.encode(said))

    def describe(self) -> str:
        return f"ask({self.question[:40]!r})"

    def python(self, stored: bytes) -> Any:
        """An answer, from its stored form."""
        value = canonical.decode(stored)
        return Money(value["minor"], value["currency"]) if self.kind == "money" else value


@overload
def ask(
    whom: str | Sequence[str],
    question: str,
    *,
    show: Mapping[str, Any] | None = None,
    choices: Sequence[str] = (),
    within: timedelta = WITHIN,
    otherwise: str | None = None,
) -> Awaiting[str]: ...
@overload
def ask(
    whom: str | Sequence[str],
    question: str,
    *,
    answer: type[T],
    show: Mapping[str, Any] | None = None,
    within: timedelta = WITHIN,
    otherwise: T | None = None,
) -> Awaiting[T]: ...
def ask(
    whom: str | Sequence[str],
    question: str,
    *,
    answer: type[Any] = str,
    show: Mapping[str, Any] | None = None,
    choices: Sequence[str] = (),
    within: timedelta = WITHIN,
    otherwise: Any = None,
) -> Awaiting[Any]:
    """Ask a person, a role or a group (or several of them): the first answer counts.

    `answer` is `str`, `int`, `bool` or `Money`; with `choices` it is one of these texts. `show` is what they
    should see beside the question. Without an answer `within` that time it is `otherwise`; where nothing is
    said of that, `Expired` is raised.
    """
    where = caller_line()
    names: tuple[object, ...] = (whom,) if isinstance(whom, str) else tuple(whom)
    if not names or not all(isinstance(name, str) and name for name in names):
        raise CodeError(f"{where}: ask() takes a person, a role or a group first, and got {whom!r:.100}")
    given: object = question
    if not isinstance(given, str) or not 0 < len(given.strip()) <= QUESTION_CHARS_MAX:
        raise CodeError(f"{where}: a question is text of 1 to {QUESTION_CHARS_MAX:,} characters")
    if answer not in KINDS or (choices and answer is not str):
        raise CodeError(f"{where}: an answer is str, int, bool or Money; choices are texts")
    texts: tuple[object, ...] = tuple(choices)
    if len(texts) > CHOICES_MAX or not all(isinstance(one, str) and one for one in texts):
        raise CodeError(f"{where}: choices are at most {CHOICES_MAX} texts")
    kind, shown = KINDS[answer], _shown(where, show or {})
    silence = None
    if otherwise is not None:
        try:
            silence = read_answer(kind, choices, str(otherwise) if answer is Money else otherwise)
        except Unanswerable as error:
            raise CodeError(f"{where}: otherwise: {error}") from None
    return Question(
        tuple(map(str, names)), question.strip(), shown, tuple(choices), kind, span_us(within), silence
    )


def read_answer(kind: str, choices: Sequence[str], value: Any) -> bytes:
    """The stored form of an answer of a kind (see `KINDS`). Raises `Unanswerable`."""
    if choices and value not in choices:
        raise Unanswerable(f"{value!r:.100} is none of the choices{did_you_mean(str(value)[:100], choices)}")
    if kind == "yes or no":
        value = {"yes": True, "no": False}.get(value, value) if isinstance(value, str) else value
        fits = isinstance(value, bool)
    elif kind == "whole number":
        fits = type(value) is int and abs(value) < 2**53
    elif kind == "money":
        return canonical.encode(_money(value))
    else:
        fits = isinstance(value, str) and 0 < len(value) <= ANSWER_CHARS_MAX
    if not fits:
        raise Unanswerable(f"{value!r:.100} is no answer; it takes {_FORMS[kind]}")
    return canonical.encode(value)


_FORMS = {
    "text": f"text of 1 to {ANSWER_CHARS_MAX:,} characters",
    "whole number": "a whole number, like 3",
    "yes or no": "yes or no",
    "money": 'an amount, like "50.00 EUR"',
}


def _money(value: Any) -> dict[str, Any]:
    try:
        money = Money.parse(value) if isinstance(value, str) else None
    except ValueError:
        money = None
    if money is None:
        raise Unanswerable(f"{value!r:.100} is no answer; it takes {_FORMS['money']}")
    return {"minor": money.minor, "currency": money.currency}


def _shown(where: str, show: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        plain: Mapping[str, Any] = _SHOWN.dump_python(dict(show), mode="json")
        size = len(canonical.encode(plain))
    except (ValueError, TypeError) as error:
        raise CodeError(f"{where}: ask(): show: {error}") from None
    if size > SHOWN_BYTES_MAX:
        raise CodeError(f"{where}: show is {size:,} bytes; at most {SHOWN_BYTES_MAX:,}: show a reference")
    return plain
