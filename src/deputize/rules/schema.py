"""What rules can see of an operation, and the Cedar schema that says so.

Rules judge canonical arguments, so everything here reads the *serialized* form of a contract. What
Cedar has no exact type for (floats, unions, free-form objects) is left out of the rules' view, and
the reason is kept for the person who names it in a rule.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any, Literal

from pydantic import TypeAdapter

from deputize import canonical
from deputize.money import Money
from deputize.operation import Operation
from deputize.rule import Question
from deputize.rules.reading import Reads

Kind = Literal["text", "whole number", "yes/no", "money", "list", "record"]

DEPTH_MAX = 8
TIMES = ("minute_of_day", "weekday")
_CEDAR: dict[Kind, str] = {"text": "String", "whole number": "Long", "yes/no": "Boolean"}
_KINDS: dict[str, Kind] = {"string": "text", "integer": "whole number", "boolean": "yes/no"}
# Cedar reads these keys of a JSON record as an escape, never as an attribute.
_ESCAPES = frozenset({"__entity", "__extn", "__expr"})


@dataclass(frozen=True)
class Shape:
    """A type that Cedar holds exactly. `values` are those of a Literal or an enumeration."""

    kind: Kind
    values: tuple[Any, ...] = ()
    element: Shape | None = None
    attributes: tuple[Attribute, ...] = ()
    exact: bool = True

    def cedar(self) -> dict[str, Any]:
        """This type in Cedar's JSON schema."""
        if self.kind == "money":
            return _record({"minor": {"type": "Long"}, "currency": {"type": "String"}})
        if self.element is not None:
            return {"type": "Set", "element": self.element.cedar()}
        if self.kind == "record":
            return _record({a.name: a.cedar() for a in self.attributes})
        return {"type": _CEDAR[self.kind]}

    def take(self, value: Any) -> Any:
        """The part of a canonical value that rules see; what does not fit is left for Cedar to refuse."""
        if self.kind == "record" and isinstance(value, Mapping):
            seen = ((a, value.get(a.name)) for a in self.attributes)
            return {a.name: a.shape.take(part) for a, part in seen if part is not None}
        if self.element is not None and isinstance(value, list):
            return [self.element.take(part) for part in value]
        return value


@dataclass(frozen=True)
class Attribute:
    """A named part of a record; one that is not `required` is absent where its value is null."""

    name: str
    shape: Shape
    required: bool

    def cedar(self) -> dict[str, Any]:
        """This attribute in Cedar's JSON schema."""
        return self.shape.cedar() | ({} if self.required else {"required": False})


@dataclass(frozen=True)
class View:
    """What rules see of one operation's arguments, and why they do not see the others; and whether it can be
    rehearsed, or is itself one that verifies."""

    operation: str
    connector: str
    attributes: Mapping[str, Attribute]
    unseen: Mapping[str, str]
    shape: Shape
    rehearses: bool = False
    verifies: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """Every argument, seen or not."""
        return (*self.attributes, *self.unseen)

    @property
    def traced(self) -> tuple[str, ...]:
        """Every argument at whose origins rules can look."""
        return tuple(name for name in self.names if name not in _ESCAPES)

    def only(self, reads: Reads) -> View:
        """The same without the arguments that are not read."""
        kept = {name: one for name, one in self.attributes.items() if reads.part("args", name)}
        if len(kept) == len(self.attributes):
            return self
        shape = Shape("record", attributes=tuple(kept.values()), exact=False)
        return replace(self, attributes=kept, shape=shape)

    def project(self, args: Mapping[str, Any]) -> dict[str, Any]:
        """The canonical arguments as rules see them."""
        if self.shape.exact:
            return args if type(args) is dict else dict(args)
        taken: dict[str, Any] = self.shape.take(args)
        return taken


def view_of(operation: Operation[..., Any]) -> View:
    """Read an operation's contract. Never fails for a type: what cannot be seen is `unseen`."""
    schema = operation.args_model.model_json_schema(mode="serialization", by_alias=False)
    attributes, unseen = _attributes(schema, schema.get("$defs", {}), 0)
    shape = _record_shape(attributes, unseen)
    contract = operation.contract
    return View(
        contract.name,
        contract.connector,
        {a.name: a for a in attributes},
        unseen,
        shape,
        rehearses=contract.rehearse,
        verifies=operation.verifies,
    )


def shape_of(schema: Mapping[str, Any]) -> Shape:
    """What Cedar can see of the values of a JSON Schema of an object; of any other, nothing."""
    if "properties" not in schema:
        return Shape("record", exact=False)
    attributes, unseen = _attributes(dict(schema), dict(schema.get("$defs", {})), 0)
    return _record_shape(attributes, unseen)


@dataclass(frozen=True)
class Context:
    """What is put to Cedar about one operation: all that there is, or what its rules read of it.

    `args` are of the arguments as rules see them, None where none is put; `facts` are counters.
    """

    args: View | None
    facts: tuple[str, ...] | None
    time: tuple[str, ...] | None = TIMES
    automation: bool = True
    origins: tuple[str, ...] | None = ()
    """The patterns of origins that rules name; None where no rule looks at origins."""
    origins_of: tuple[str, ...] | None = ()
    """The arguments at whose origins rules may look one by one."""
    untrusted: bool = True

    def only(self, reads: Reads) -> Context:
        """The part that is read."""

        def parts(group: str, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
            return tuple(n for n in names or () if reads.part(group, n)) if reads.group(group) else None

        args = self.args.only(reads) if self.args is not None and reads.group("args") else None
        time = parts("time", self.time)
        return Context(
            args,
            parts("facts", self.facts),
            time,
            self.automation and reads.group("automation"),
            self.origins if reads.group("origins") or reads.group("origins_of") else None,
            parts("origins_of", self.origins_of),
            self.untrusted and reads.group("untrusted"),
        )

    def cedar(self) -> dict[str, Any]:
        """This context in Cedar's JSON schema."""
        context: dict[str, Any] = {"automation": {"type": "String"}} if self.automation else {}
        if self.args is not None:
            context["args"] = self.args.shape.cedar()
        for group, names in (("facts", self.facts), ("time", self.time)):
            if names is not None:
                context[group] = _record({name: {"type": "Long"} for name in names})
        texts = {"type": "Set", "element": {"type": "String"}}
        if self.origins is not None:
            context["origins"] = texts
        if self.origins_of is not None:
            context["origins_of"] = _record(dict.fromkeys(self.origins_of, texts))
        if self.untrusted:
            context["untrusted"] = {"type": "Boolean"}
        return _record(context)

    def put(self, question: Question) -> dict[str, Any]:
        """A question's context. Raises `KeyError` for a count that is not there."""
        context: dict[str, Any] = {"automation": question.automation} if self.automation else {}
        if self.args is not None:
            context["args"] = self.args.project(question.args)
        if self.facts is not None:
            facts = question.facts
            context["facts"] = {counter: facts[counter] for counter in self.facts}
        if self.time is not None:
            time = {"minute_of_day": question.minute_of_day, "weekday": question.weekday}
            context["time"] = {name: time[name] for name in self.time}
        origins = question.origins
        if self.origins is not None:
            context["origins"] = self._matched(origins.every)
        if self.origins_of is not None:
            context["origins_of"] = {name: self._matched(origins.of(name)) for name in self.origins_of}
        if self.untrusted:
            context["untrusted"] = bool(origins)
        return context

    def _matched(self, origins: tuple[str, ...]) -> list[str]:
        """The same, and the patterns that match: also what nobody knew when the rules were loaded."""
        matched = {p for p in self.origins or () for one in origins if fnmatchcase(one, p)}
        return sorted({*origins, *matched})


def cedar_schema(contexts: Mapping[str, Context]) -> str:
    """Cedar's JSON schema: one action per operation, with the context that is put to its rules."""
    actions = {}
    for name, context in sorted(contexts.items()):
        applies = {"principalTypes": ["Agent"], "resourceTypes": ["Connection"], "context": context.cedar()}
        actions[name] = {"appliesTo": applies}
    return canonical.encode(
        {"": {"entityTypes": {"Agent": {}, "Connection": {}}, "actions": actions}}
    ).decode()


class _Unseen(Exception):
    """Why a type is left out of the rules' view."""


def _record(attributes: dict[str, Any]) -> dict[str, Any]:
    return {"type": "Record", "attributes": attributes}


def _record_shape(attributes: list[Attribute], unseen: Mapping[str, str], closed: bool = True) -> Shape:
    exact = closed and not unseen and all(a.required and a.shape.exact for a in attributes)
    return Shape("record", attributes=tuple(attributes), exact=exact)


def _attributes(
    node: dict[str, Any], defs: dict[str, Any], depth: int
) -> tuple[list[Attribute], dict[str, str]]:
    seen, unseen = [], {}
    required = frozenset(node.get("required", ()))
    for name, part in node["properties"].items():
        try:
            if name in _ESCAPES:
                raise _Unseen("has a name that Cedar keeps for itself")
            shape, nullable = _shape(part, defs, depth + 1)
            # A default is written out in the canonical form, so the argument is always there.
            always = name in required or "default" in part
            seen.append(Attribute(name, shape, required=always and not nullable))
        except _Unseen as why:
            unseen[name] = str(why)
    return seen, unseen


def _shape(node: dict[str, Any], defs: dict[str, Any], depth: int) -> tuple[Shape, bool]:
    """The shape of a JSON Schema node, and whether it may be null. Raises `_Unseen`."""
    if depth > DEPTH_MAX:
        raise _Unseen("is nested too deeply, or in itself")
    node = _resolve(node, defs)
    if "anyOf" in node:
        return _union(node["anyOf"], defs, depth)
    values = tuple([node["const"]] if "const" in node else node.get("enum", ()))
    kind = _KINDS.get(node.get("type", ""))
    if kind is not None:
        return Shape(kind, values), False
    if node.get("type") == "array" and "items" in node and "prefixItems" not in node:
        element, nullable = _shape(node["items"], defs, depth + 1)
        if nullable:
            raise _Unseen("is a list with empty places")
        return Shape("list", element=element, exact=element.exact), False
    if _plain(node, defs) == _MONEY:
        return Shape("money"), False
    if node.get("type") == "object" and "properties" in node:
        attributes, unseen = _attributes(node, defs, depth)
        return _record_shape(attributes, unseen, closed=not node.get("additionalProperties")), False
    if node.get("type") == "number":
        raise _Unseen("is a number with a fraction; rules count in whole numbers and money")
    raise _Unseen("has no single type of text, whole number, yes/no, money, list or record")


def _union(options: list[dict[str, Any]], defs: dict[str, Any], depth: int) -> tuple[Shape, bool]:
    some = [option for option in options if option.get("type") != "null"]
    nullable = len(some) < len(options)
    if len(some) != 1:
        raise _Unseen("may be one of several types")
    shape, inner = _shape(some[0], defs, depth + 1)
    return shape, nullable or inner


def _resolve(node: dict[str, Any], defs: dict[str, Any]) -> dict[str, Any]:
    ref = node.get("$ref")
    resolved: dict[str, Any] = defs[ref.removeprefix("#/$defs/")] if ref else node
    return resolved


def _plain(node: dict[str, Any], defs: dict[str, Any]) -> tuple[Any, ...]:
    """A flat record without prose, to compare with another."""
    node = _resolve(node, defs)
    prose = ("title", "description", "default")
    parts = {n: {k: v for k, v in p.items() if k not in prose} for n, p in node.get("properties", {}).items()}
    return node.get("type"), node.get("required"), parts


_MONEY = _plain(TypeAdapter(Money).json_schema(), {})
