"""Predictions for operations whose service cannot foretell them: what their result would be, as far as that
follows from what is known beforehand.

A field of the result is what the action expects it to be; else an argument of that name; else what the same
operation was answered at another time; else what was read beforehand; else its default. A value that does
not fit the field's type is none. Where the whole does not fit the result type, nothing can be told.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from deputize import canonical
from deputize.operation import Operation, result_fields
from deputize.sentence import listed

Origin = Literal["expected", "argument", "earlier answer", "read before", "default"]


@dataclass(frozen=True)
class Prediction:
    """A result in its stored form; `origins` says of each field where it comes from."""

    stored: bytes
    origins: Mapping[str, Origin]


@dataclass(frozen=True)
class Untold:
    """Nothing can be told of the result, and why."""

    reason: str


def derive(
    operation: Operation[..., Any],
    args: bytes,
    expects: Mapping[str, Any],
    before: bytes | None = None,
    earlier: bytes | None = None,
) -> Prediction | Untold:
    """What an action would come to, without asking its service.

    `args` are its stored arguments, `before` is the stored result of the contract's `before` where that was
    read, `earlier` a stored result of the same operation on the same resource, where one is known.
    """
    if operation.result_type in (None, types.NoneType):
        return Prediction(b"null", {})
    sources: list[tuple[Origin, Mapping[str, Any]]] = [
        ("expected", expects),
        ("argument", canonical.decode(args)),
        ("earlier answer", _fields(earlier)),
        ("read before", _fields(before)),
    ]
    lacking: list[str] = []
    for kind in _kinds(operation.result_type):
        names = result_fields(kind)
        if not names:
            continue
        candidates = {
            name: [(origin, values[name]) for origin, values in sources if name in values] for name in names
        }
        told = _fitting(operation, kind, candidates)
        if isinstance(told, Prediction):
            return told
        lacking = lacking or told
    if not lacking:
        return Untold(
            f"{operation.name} cannot be rehearsed, and its result is no record that can be derived"
        )
    return Untold(
        f"{operation.name} cannot be rehearsed, and nothing tells {listed(lacking)} of its result before; "
        "give its contract rehearse=, or say expecting(…)"
    )


def _kinds(result_type: Any) -> tuple[Any, ...]:
    """The types that a result may be of."""
    if typing.get_origin(result_type) in (typing.Union, types.UnionType):
        return typing.get_args(result_type)
    return (result_type,)


def _fields(stored: bytes | None) -> Mapping[str, Any]:
    value = None if stored is None else canonical.decode(stored)
    return value if isinstance(value, dict) else {}


def _fitting(
    operation: Operation[..., Any], kind: Any, candidates: dict[str, list[tuple[Origin, Any]]]
) -> Prediction | list[str]:
    """The result of the first candidate of each field that fits; else the fields that have none."""
    adapter = TypeAdapter[Any](kind)
    # Each turn but the last takes a candidate away.
    for _ in range(sum(map(len, candidates.values())) + 1):
        draft = {name: found[0][1] for name, found in candidates.items() if found}
        try:
            value = adapter.validate_json(canonical.encode(draft), strict=True)
            stored = operation.encode_result(value)
            operation.decode_result(stored)
        except ValidationError as error:
            places = {str(one["loc"][0]) for one in error.errors(include_url=False) if one["loc"]}
            wrong = [name for name in candidates if name in places]
            if not any(candidates[name] for name in wrong):
                return wrong or ["what fits together"]
            for name in wrong:
                del candidates[name][:1]
            continue
        # The validators of a result are the project's own code, and may raise anything.
        except Exception as error:  # noqa: BLE001
            return [f"what {type(error).__name__} does not refuse"]
        origins = {name: found[0][0] if found else "default" for name, found in candidates.items()}
        return Prediction(stored, typing.cast("Mapping[str, Origin]", origins))
    return list(candidates)
