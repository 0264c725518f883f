"""An action: one requested use of an operation, and the ways to await it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from deputize import canonical
from deputize.awaiting import Awaiting, Steps, current_step
from deputize.errors import ActionError, CodeError
from deputize.origins import Origins

if TYPE_CHECKING:
    from deputize.operation import Operation
    from deputize.planned import Part

R_co = TypeVar("R_co", covariant=True)

ARGUMENTS_BYTES_MAX = 1_000_000
TOGETHER_MAX = 100
WHY_CHARS_MAX = 2_000


class Action(Awaiting[R_co]):
    """A request to the gate; nothing happens until it is awaited.

    `args` are the canonical argument bytes (JSON), `why` and `expects` what the requester says of
    it. Build one by calling an operation: `payments.refund(charge=…, amount=…)`.
    """

    __slots__ = (
        "args",
        "begins",
        "cause",
        "digest",
        "due_us",
        "expects",
        "fits",
        "notes",
        "operation",
        "origins",
        "part",
        "waits",
        "weighs",
        "why",
    )

    def __init__(self, operation: Operation[Any, R_co], args: bytes) -> None:
        super().__init__()
        if len(args) > ARGUMENTS_BYTES_MAX:
            raise CodeError(
                f"{self.where}: the arguments of {operation.name} are {len(args):,} bytes; "
                f"at most {ARGUMENTS_BYTES_MAX:,} are allowed: pass a reference to the content instead"
            )
        self.operation = operation
        self.args = args
        self.digest = canonical.digest(args)
        self.why = ""
        self.expects: Mapping[str, Any] = {}
        self.waits = True
        """Whether it waits while its connection is down."""
        self.due_us: int | None = None
        """Ledger time after which it is not to start any more."""
        self.cause = ""
        """The path of the thought that called for it, if one did."""
        self.origins: Origins | None = None
        """Where its arguments come from, where that is known exactly; None for all that its run has read."""
        self.fits: Callable[[Any], bool] | None = None
        """Whether an answer of before is what is asked for; None where none can be."""
        self.part: Part | None = None
        """Its place in a plan that people were asked for whole."""
        self.notes: tuple[tuple[str, str], ...] = ()
        """The pinned notes that stand in what a model is asked, each with its digest."""
        self.weighs: tuple[str, ...] = ()
        """Operations of which its receipt is to say whether rules bar them, as they were when it started."""
        self.begins: tuple[tuple[str, str], ...] = ()
        """The steps of the plan that it is the first action of, each with its operation: it does not start
        where rules bar one of them."""

    def because(self, why: str) -> Action[R_co]:
        """Say why, in a sentence that people will read. Raises `CodeError` where it is not one."""
        given: object = why
        if not isinstance(given, str) or len(given) > WHY_CHARS_MAX:
            raise CodeError(
                f"{self.where}: because() takes a sentence of at most {WHY_CHARS_MAX:,} characters"
            )
        self.why = given.encode("utf-8", "backslashreplace").decode()
        return self

    def expecting(self, **fields: Any) -> Action[R_co]:
        """Say what the result must be, by field; anything else is recorded and raises `Unmet`.

        Raises `ContractError` where a name is not a field of the result.
        """
        self.expects = self.operation.check_expected(fields, self.where)
        return self

    def unless_down(self) -> Action[R_co]:
        """Do not wait while its connection is down (its circuit is open): `Unavailable` is raised."""
        self.waits = False
        return self

    def within(self, duration: timedelta) -> Action[R_co]:
        """Say by when it must have started, counted from here: later it is not done, and `Expired` is raised.

        What it waits for is all that may be in its way: its turn, a resource, people, a connection that is
        down, a pause that the service asked for. Raises `CodeError` for what is no time.
        """
        self.due_us = due_in(duration, self.where)
        return self

    def describe(self) -> str:
        return f"{self.operation.name}(…)"


def due_in(duration: timedelta | None, where: str) -> int | None:
    """The moment (ledger time) after that duration of the run's own time, which a replay sees alike."""
    step, given = current_step(), cast("object", duration)
    if step is None or given is None:
        return None
    if not isinstance(given, timedelta) or given.total_seconds() <= 0:
        raise CodeError(f"{where}: within takes a timedelta above 0, like seconds(5), and not {given!r:.100}")
    return step.now_us + int(given.total_seconds() * 1_000_000)


class Attempt(Awaiting[R_co]):
    """See `attempt`."""

    __slots__ = ("inner",)

    def __init__(self, inner: Awaiting[Any]) -> None:
        super().__init__()
        _check_inner(inner, "attempt", self.where)
        if isinstance(inner, Together | Attempt):
            raise CodeError(
                f"{self.where}: attempt() takes one action; inside together() put it round each action"
            )
        inner.take()
        self.inner = inner

    @classmethod
    def of(cls, taken: Awaiting[Any]) -> Self:
        """The same for what was taken already."""
        made = cls.__new__(cls)
        made.where, made.awaited, made._step, made.path = taken.where, True, taken._step, ""
        made.inner = taken
        return made

    @property
    def composed(self) -> bool:
        return self.inner.composed

    def steps(self) -> Steps[R_co]:
        if not self.inner.composed:
            return (yield from super().steps())
        try:
            return cast("R_co", (yield from self.inner.steps()))
        except ActionError as error:
            return cast("R_co", error)

    def describe(self) -> str:
        return f"attempt({self.inner.describe()})"


def attempt(inner: Awaiting[R_co]) -> Awaiting[R_co | ActionError]:
    """Await without raising: the result, or the `ActionError` (`Refused`, `Declined`, …) as a value."""
    return Attempt(inner)


class Together(Awaiting[tuple[Any, ...]]):
    """See `together`."""

    __slots__ = ("inners",)

    def __init__(self, inners: tuple[Awaiting[Any], ...]) -> None:
        super().__init__()
        if not 1 <= len(inners) <= TOGETHER_MAX:
            raise CodeError(
                f"{self.where}: together() takes 1 to {TOGETHER_MAX} actions, and got {len(inners)}"
            )
        for inner in inners:
            _check_inner(inner, "together", self.where)
            if isinstance(inner, Together):
                raise CodeError(
                    f"{self.where}: together() inside together() is not supported; pass all at once"
                )
            inner.take()
        self.inners = inners

    @classmethod
    def of(cls, taken: Sequence[Awaiting[Any]]) -> Self:
        """The same for what was taken already, however many there are."""
        made = cls.__new__(cls)
        made.where, made.awaited, made._step, made.path = taken[0].where, True, taken[0]._step, ""
        made.inners = tuple(taken)
        return made

    @property
    def composed(self) -> bool:
        return any(inner.composed for inner in self.inners)

    def steps(self) -> Steps[tuple[Any, ...]]:
        return (yield from (_in_rounds(self.inners) if self.composed else super().steps()))

    def describe(self) -> str:
        return f"together({', '.join(inner.describe() for inner in self.inners[:3])}, …)"


def _in_rounds(inners: Sequence[Awaiting[Any]]) -> Steps[tuple[Any, ...]]:
    """Drive what is composed side by side: each round awaits what every one of them awaits next."""
    branches = [inner.steps() for inner in inners]
    came: list[Any] = [None] * len(inners)
    going: dict[int, Awaiting[Any]] = {}

    def go_on(index: int, value: Any, raised: bool) -> None:
        going.pop(index, None)
        branch = branches[index]
        try:
            going[index] = branch.throw(value) if raised else branch.send(value)
        except StopIteration as stop:
            came[index] = stop.value
        except ActionError as error:
            came[index] = error

    try:
        for index in range(len(inners)):
            go_on(index, None, False)
        while going:
            round = sorted(going.items())
            parts = [part for _, awaited in round for part in _parts(awaited)]
            values = iter(
                (yield Together.of([p if isinstance(p, Attempt) else Attempt.of(p) for p in parts]))
            )
            for index, awaited in round:
                go_on(index, *_handed(awaited, list(islice(values, len(_parts(awaited))))))
    finally:
        for branch in branches:
            branch.close()
    for inner, value in zip(inners, came, strict=True):
        if isinstance(value, ActionError) and not isinstance(inner, Attempt):
            raise value
    return tuple(came)


def _parts(awaited: Awaiting[Any]) -> tuple[Awaiting[Any], ...]:
    return awaited.inners if isinstance(awaited, Together) else (awaited,)


def _handed(awaited: Awaiting[Any], values: list[Any]) -> tuple[Any, bool]:
    """What to hand back for what was awaited, and whether that is raised."""
    for part, value in zip(_parts(awaited), values, strict=True):
        if isinstance(value, ActionError) and not isinstance(part, Attempt):
            return value, True
    return (tuple(values) if isinstance(awaited, Together) else values[0]), False


def _check_inner(inner: object, word: str, where: str) -> None:
    if not isinstance(inner, Awaiting):
        raise CodeError(
            f"{where}: {word}() takes actions, sleep(), wait_for() and send(), "
            f"and got a {type(inner).__name__}; await your own async functions one by one"
        )


if TYPE_CHECKING:
    from typing import overload

    A = TypeVar("A")
    B = TypeVar("B")
    C = TypeVar("C")
    D = TypeVar("D")
    E = TypeVar("E")
    F = TypeVar("F")

    @overload
    def together(a: Awaiting[A], /) -> Awaiting[tuple[A]]: ...
    @overload
    def together(a: Awaiting[A], b: Awaiting[B], /) -> Awaiting[tuple[A, B]]: ...
    @overload
    def together(a: Awaiting[A], b: Awaiting[B], c: Awaiting[C], /) -> Awaiting[tuple[A, B, C]]: ...
    @overload
    def together(
        a: Awaiting[A], b: Awaiting[B], c: Awaiting[C], d: Awaiting[D], /
    ) -> Awaiting[tuple[A, B, C, D]]: ...
    @overload
    def together(
        a: Awaiting[A], b: Awaiting[B], c: Awaiting[C], d: Awaiting[D], e: Awaiting[E], /
    ) -> Awaiting[tuple[A, B, C, D, E]]: ...
    @overload
    def together(
        a: Awaiting[A], b: Awaiting[B], c: Awaiting[C], d: Awaiting[D], e: Awaiting[E], f: Awaiting[F], /
    ) -> Awaiting[tuple[A, B, C, D, E, F]]: ...
    @overload
    def together(*inners: Awaiting[A]) -> Awaiting[tuple[A, ...]]: ...
    def together(*inners: Awaiting[Any]) -> Awaiting[Any]: ...
else:

    def together(*inners):
        """Side by side: ids in argument order; all settle, then the first failure is raised."""
        return Together(inners)
