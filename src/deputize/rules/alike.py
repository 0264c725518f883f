"""Which questions are one and the same to a set of policies: Cedar decides each kind of question once.

A policy compares what it reads with constants: an amount with a limit, a count with a number of times, a
text with a name. Two questions that fall on the same side of every constant cannot be told apart by it, so
they get the same verdict. What a policy does otherwise with a value makes the value itself part of the
kind; an expression that is not understood here is read as a whole; and a question with a value that Cedar
might fail on has no kind, and is put to Cedar each time. See docs/decisions/011.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import orjson

from deputize.rules.reading import Path, path_of

Kind: TypeAlias = tuple[object, ...]
Read: TypeAlias = Callable[[Mapping[str, Any]], Any]
"""From a context, the value that an expression has in it: `_ABSENT` where a part of its path is."""

LONG_MAX = 2**63 - 1
SHORT_BYTES_MAX = 64

_ABSENT = object()
_OTHER = b"any other text"

_COMPARISONS = frozenset({"==", "!=", "<", "<=", ">", ">="})
_ARITHMETIC: Mapping[str, Callable[[int, int], int]] = {
    "+": lambda left, right: left + right,
    "-": lambda left, right: left - right,
    "*": lambda left, right: left * right,
}


class _Unclear(Exception):
    """A value that Cedar might fail on."""


class Alike:
    """The kinds of questions that these policies, in Cedar's JSON form, may decide differently."""

    def __init__(self, policies: Iterable[Mapping[str, Any]]) -> None:
        found = _Found()
        for policy in policies:
            found.look(policy.get("conditions", []))
        self._sides = tuple(one.settled().side for one in found.compared.values())
        self._present = tuple(map(_reading, sorted(found.present)))
        self._whole = tuple(map(_reading, sorted(found.whole)))
        self._around = tuple(map(_reading, sorted(found.around)))

    def kind(self, agent: str, context: Mapping[str, Any]) -> Kind | None:
        """The kind of a question, by its agent and context; None where Cedar must be asked each time."""
        try:
            return (
                agent,
                *[_shape(read(context)) for read in self._around],
                *[side(context) for side in self._sides],
                *[read(context) is _ABSENT for read in self._present],
                *[_itself(read(context)) for read in self._whole],
            )
        except (_Unclear, TypeError, ValueError):
            return None


@dataclass
class _Compared:
    """An expression that is compared with constants: with whole numbers in order, and with texts."""

    read: Read
    numbers: list[int] = field(default_factory=list)
    texts: set[str] = field(default_factory=set)

    def settled(self) -> _Compared:
        """The same, with its numbers in order."""
        return _Compared(self.read, sorted(set(self.numbers)), self.texts)

    def side(self, context: Mapping[str, Any]) -> object:
        """Where its value lies: on one of the numbers, between two of them, or which text it is."""
        value = self.read(context)
        if type(value) is int:
            at = bisect_left(self.numbers, _long(value))
            return 2 * at + (at < len(self.numbers) and self.numbers[at] == value)
        if type(value) is str:
            return value if value in self.texts else _text(value)
        if value is _ABSENT:
            return _ABSENT
        raise _Unclear


class _Found:
    """What policies do with the context."""

    def __init__(self) -> None:
        self.compared: dict[bytes, _Compared] = {}
        self.present: set[Path] = set()
        self.whole: set[Path] = set()
        self.around: set[Path] = set()
        """What is put to Cedar as a whole while only a part of it is read: Cedar could fail on the rest."""

    def look(self, node: Any) -> None:
        """Take in an expression and all that is in it."""
        if isinstance(node, list):
            for part in node:
                self.look(part)
        elif isinstance(node, Mapping) and "Record" in node:
            # The names in it are the policy's own, and no operators.
            self.look(list(node["Record"].values()))
        elif isinstance(node, Mapping) and not self._is_understood(node):
            path = path_of(node)
            if path is not None:
                self.whole.add(path)
                if len(path) > 2:
                    self.around.add(path[:2])
                return
            for part in node.values():
                self.look(part)

    def _is_understood(self, node: Mapping[str, Any]) -> bool:
        """Whether it compares something with constants, or asks whether something is there."""
        if len(node) != 1:
            return False
        ((operator, parts),) = node.items()
        if operator == "has":
            path = path_of(node)
            if path is not None:
                self.present.add(path)
                self.around.add(path[:2])
            return path is not None
        if operator == "contains" and isinstance(parts["left"], Mapping):
            return self._is_compared(parts["right"], parts["left"].get("Set"))
        if operator in _COMPARISONS:
            left, right = parts["left"], parts["right"]
            return self._is_compared(left, [right]) or self._is_compared(right, [left])
        return False

    def _is_compared(self, term: Any, constants: Any) -> bool:
        read = _term(term)
        values = [_constant(one) for one in constants] if isinstance(constants, list) else [None]
        if read is None or None in values:
            return False
        key = orjson.dumps(term, option=orjson.OPT_SORT_KEYS)
        compared = self.compared.setdefault(key, _Compared(read))
        compared.numbers += [value for value in values if isinstance(value, int)]
        compared.texts |= {value for value in values if isinstance(value, str)}
        self._note_around(term)
        return True

    def _note_around(self, term: Any) -> None:
        path = path_of(term)
        if path is not None and len(path) > 2:
            self.around.add(path[:2])
        elif path is None and isinstance(term, Mapping):
            for part in term.values():
                self._note_around(part)


def _constant(node: Any) -> int | str | None:
    """A whole number or a text that is written out; None for anything else."""
    if not isinstance(node, Mapping):
        return None
    value = node.get("Value")
    return value if type(value) in (int, str) else None


def _term(node: Any) -> Read | None:
    """How to work out an expression of paths below the context and whole numbers; None for another one.

    It has at least one path in it, and none asks for presence.
    """
    if not isinstance(node, Mapping) or len(node) != 1:
        return None
    ((operator, parts),) = node.items()
    if operator == "neg":
        inner = _term(parts["arg"])
        return None if inner is None else _worked_out(lambda left, right: left - right, lambda _: 0, inner)
    if operator in _ARITHMETIC:
        left, right = _operand(parts["left"]), _operand(parts["right"])
        terms = _term(parts["left"]) or _term(parts["right"])
        if left is None or right is None or terms is None:
            return None
        return _worked_out(_ARITHMETIC[operator], left, right)
    path = path_of(node) if operator != "has" else None
    return _reading(path) if path is not None else None


def _operand(node: Any) -> Read | None:
    value = _constant(node)
    return (lambda _: value) if isinstance(value, int) else _term(node)


def _worked_out(operate: Callable[[int, int], int], left: Read, right: Read) -> Read:
    def read(context: Mapping[str, Any]) -> Any:
        numbers = [_long(value) for value in (left(context), right(context)) if value is not _ABSENT]
        return operate(*numbers) if len(numbers) == 2 else _ABSENT

    return read


def _reading(path: Path) -> Read:
    def read(context: Mapping[str, Any]) -> Any:
        value: Any = context
        for name in path:
            if not isinstance(value, dict):
                raise _Unclear
            value = value.get(name, _ABSENT)
            if value is _ABSENT:
                return _ABSENT
        return value

    return read


def _long(value: Any) -> int:
    """A whole number that Cedar can hold."""
    if type(value) is not int or not -LONG_MAX - 1 <= value <= LONG_MAX:
        raise _Unclear
    return value


def _text(value: str) -> bytes:
    """Any text that no policy names. Raises `ValueError` for what is no Unicode text."""
    if not value.isascii():
        value.encode()
    return _OTHER


def _shape(value: Any) -> object:
    """What Cedar checks of a value that decides nothing: its type. Raises `_Unclear` and `ValueError`."""
    if isinstance(value, dict):
        return tuple(sorted((name, _shape(part)) for name, part in value.items()))
    if isinstance(value, list):
        return frozenset(_shape(part) for part in value)
    if type(value) is int:
        _long(value)
    elif type(value) is str:
        _text(value)
    elif type(value) is not bool and value is not _ABSENT:
        raise _Unclear
    return type(value).__name__


def _itself(value: Any) -> object:
    """A value in a form that equals no other's, and is never long: it is kept."""
    if value is _ABSENT:
        return _ABSENT
    exact = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    return exact if len(exact) <= SHORT_BYTES_MAX else (len(exact), hashlib.sha256(exact).digest())
