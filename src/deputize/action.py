"""An action: one requested use of an operation, and the ways to await it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from deputize import canonical
from deputize.awaiting import Awaiting
from deputize.errors import ActionError, CodeError

if TYPE_CHECKING:
    from deputize.operation import Operation

R_co = TypeVar("R_co", covariant=True)

ARGUMENTS_BYTES_MAX = 1_000_000
TOGETHER_MAX = 100
WHY_CHARS_MAX = 2_000


class Action(Awaiting[R_co]):
    """A request to the gate; nothing happens until it is awaited.

    `args` are the canonical argument bytes (JSON), `why` and `expects` what the requester says of
    it. Build one by calling an operation: `payments.refund(charge=…, amount=…)`.
    """

    __slots__ = ("args", "digest", "expects", "operation", "waits", "why")

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

    def describe(self) -> str:
        return f"{self.operation.name}(…)"


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

    def describe(self) -> str:
        return f"together({', '.join(inner.describe() for inner in self.inners[:3])}, …)"


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
