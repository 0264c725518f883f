"""Undo: the operation that reverses another, and its arguments from what was done."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deputize import canonical
from deputize.errors import ContractError

if TYPE_CHECKING:
    from deputize.operation import Operation

REASON_CHARS_MAX = 500
UNDO = "undo/"
"""How the path of an action begins that undoes another: `undo/3`."""


@dataclass(frozen=True)
class UndoneBy:
    """See `undone_by`."""

    operation: Operation[..., Any]
    arguments: Callable[[Mapping[str, Any], Any], Mapping[str, Any]]
    releases: bool

    def of(self, original: Operation[..., Any], args: bytes, result: bytes) -> dict[str, Any]:
        """The action that undoes a settled one: `{"op", "args"}`, or `{"why"}` where there can be none.

        The mapping is the project's own code, and may raise anything.
        """
        try:
            given = self.arguments(original.decode_args(args), original.decode_result(result))
            stored = self.operation.canonical_args(dict(given))
        except Exception as error:  # noqa: BLE001
            why = f"{type(error).__name__}: {error}"[:REASON_CHARS_MAX]
            return {"why": f"the arguments of {self.operation.name} could not be made: {why}"}
        return {"op": self.operation.name, "args": canonical.decode(stored)}


def undone_by(
    operation: Operation[..., Any],
    arguments: Callable[[Mapping[str, Any], Any], Mapping[str, Any]],
    *,
    releases: bool = False,
) -> UndoneBy:
    """Say that `operation` undoes the one whose contract this is.

    `arguments` makes its arguments from those of the original (by name) and its result:
    `undo=undone_by(void, lambda args, result: {"capture": result.id})`. `releases` where it lets go of
    something that was only held, so that nobody else has seen an effect. Raises `ContractError`.
    """
    if operation.contract.effect != "write":
        raise ContractError(f"{operation.name} only reads; what undoes an operation is a write")
    return UndoneBy(operation, arguments, releases)
