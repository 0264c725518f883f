"""References in a plan: what they are, what type stands where they point, and what is there. All pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from deputize.suggest import did_you_mean

REFERENCE = re.compile(r"\$(event|step|each)((?:\.(?:[A-Za-z_][A-Za-z0-9_]*|[0-9]{1,3}))*)")
DEPTH_MAX = 20


class Unresolved(Exception):
    """A reference points at nothing; the message says where it stops."""


@dataclass(frozen=True)
class Reference:
    """`$step.order.total`: the root `step` and the path (`order`, `total`). A number is a place in a list."""

    root: str
    path: tuple[str, ...]

    def __str__(self) -> str:
        return "$" + ".".join((self.root, *self.path))


def reference_of(value: str) -> Reference | None:
    """The reference that a text is; None for any other text. Raises `Unresolved` for one that is misspelt."""
    if not value.startswith("$") or value.startswith("$$"):
        return None
    match = REFERENCE.fullmatch(value)
    if match is None:
        raise Unresolved(f"{value!r} is no reference: write $event.FIELD, $step.ID.FIELD or $each.FIELD")
    path = tuple(match[2].split(".")[1:])
    if match[1] == "step" and not path:
        raise Unresolved(f"{value!r} does not say which step")
    return Reference(match[1], path)


def references_in(value: Any, depth: int = 0) -> Iterator[Reference]:
    """Every reference in a value. Raises `Unresolved` for a misspelt one, or for a value nested too
    deeply."""
    if depth > DEPTH_MAX:
        raise Unresolved("it is nested too deeply")
    if isinstance(value, str):
        found = reference_of(value)
        if found is not None:
            yield found
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from references_in(part, depth + 1)
    elif isinstance(value, list):
        for part in value:
            yield from references_in(part, depth + 1)


def resolved(value: Any, scope: Mapping[str, Any]) -> Any:
    """A value with its references replaced by what is there. Raises `Unresolved`."""
    if isinstance(value, str):
        found = reference_of(value)
        if found is not None:
            return look_up(found, scope)
        return value[1:] if value.startswith("$$") else value
    if isinstance(value, Mapping):
        return {name: resolved(part, scope) for name, part in value.items()}
    if isinstance(value, list):
        return [resolved(part, scope) for part in value]
    return value


def look_up(reference: Reference, scope: Mapping[str, Any]) -> Any:
    """What stands where a reference points. Raises `Unresolved`."""
    found = scope.get(reference.root)
    for name in reference.path:
        if isinstance(found, list) and name.isdigit():
            if int(name) >= len(found):
                raise Unresolved(f"{reference}: there are only {len(found)}")
            found = found[int(name)]
            continue
        if not isinstance(found, Mapping) or name not in found:
            raise Unresolved(f"{reference}: there is no {name!r}")
        found = found[name]
    return found


# -- types: JSON Schemas, as contracts have them -------------------------------------------------------------


@dataclass(frozen=True)
class Typed:
    """A place in a JSON Schema, with the definitions that it may refer to."""

    node: Mapping[str, Any]
    defs: Mapping[str, Any]

    @classmethod
    def of(cls, schema: Mapping[str, Any]) -> Typed:
        """The whole of a schema."""
        return cls(schema, schema.get("$defs", {}))

    def opened(self) -> list[Mapping[str, Any]]:
        """What it may be, one by one, with nothing left to look up; `null` is left out."""
        open, found = [self.node], []
        for _ in range(200):
            if not open:
                break
            node = open.pop()
            if "$ref" in node:
                open.append(self.defs.get(str(node["$ref"]).rpartition("/")[2], {}))
            elif "anyOf" in node or "oneOf" in node:
                open.extend(node.get("anyOf", node.get("oneOf", [])))
            elif node.get("type") != "null":
                found.append(node)
        return found

    def at(self, path: tuple[str, ...]) -> Typed:
        """The place below it. Raises `Unresolved` with the nearest name; what is not typed leads anywhere."""
        here = self
        for name in path:
            options = here.opened()
            if any(not one or "type" not in one for one in options):
                return Typed({}, self.defs)
            inner = [one["properties"][name] for one in options if name in one.get("properties", {})]
            if name.isdigit():
                inner += [one.get("items", {}) for one in options if one.get("type") == "array"]
            loose = [one for one in options if one.get("additionalProperties") not in (None, False)]
            if not inner and loose:
                more = loose[0]["additionalProperties"]
                inner = [more if isinstance(more, dict) else {}]
            if not inner:
                known = [field for one in options for field in one.get("properties", {})]
                raise Unresolved(f"there is no {name!r}{did_you_mean(name, known)}")
            here = Typed(inner[0], self.defs)
        return here

    def item(self) -> Typed | None:
        """The items of a list; None where it is none."""
        options = self.opened()
        if not options:
            return Typed({}, self.defs)
        lists = [one for one in options if one.get("type") == "array"]
        return Typed(lists[0].get("items", {}), self.defs) if lists else None

    def words(self) -> set[str]:
        """What it may be: `string`, `integer`, …, and for an object the names of its fields."""
        found = set()
        for one in self.opened():
            kind = str(one.get("type", "anything")) if one else "anything"
            if kind == "object" and one.get("properties"):
                kind = f"object of {', '.join(sorted(one['properties']))}"
            found.add(kind)
        return found or {"anything"}

    def fits(self, wanted: Typed) -> bool:
        """Whether a value of this type may stand where the other is wanted."""
        mine, theirs = self.words(), wanted.words()
        if "anything" in mine | theirs:
            return True
        return bool(mine & theirs) or ("integer" in mine and "number" in theirs)


def in_both(one: Mapping[str, Any], other: Mapping[str, Any]) -> Mapping[str, Any]:
    """The JSON Schema of what two answers have in common: all of it where they are alike, else the fields
    that both have, of one type."""
    if one == other:
        return one
    mine, theirs = one.get("properties", {}), other.get("properties", {})
    defs, others = one.get("$defs", {}), other.get("$defs", {})
    clash = any(defs[name] != others[name] for name in defs.keys() & others.keys())
    both = {
        name: node
        for name, node in mine.items()
        if theirs.get(name) == node and not (clash and "$ref" in str(node))
    }
    required = [
        name for name in one.get("required", ()) if name in both and name in other.get("required", ())
    ]
    return {"type": "object", "properties": both, "required": required, "$defs": others | defs}
