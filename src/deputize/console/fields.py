"""Forms for values: an action's arguments, a result that a contract describes, an answer to a question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from deputize import canonical
from deputize.api.problem import Problem
from deputize.money import Money, money_of

Kind = Literal["line", "text", "number", "yes or no", "money", "one of", "JSON"]
LINE_CHARS_MAX = 80


@dataclass(frozen=True)
class Field:
    """One field of a form. `value` is what stands in it; `choices` for one of several; a field that is not
    `needed` may be left empty, and is then left out."""

    name: str
    label: str
    kind: Kind
    value: str = ""
    choices: tuple[str, ...] = ()
    needed: bool = True


def fields_of(values: Mapping[str, Any], prefix: str) -> list[Field]:
    """A field for each value, filled in."""
    return [_filled(f"{prefix}.{name}", name, value) for name, value in values.items()]


def fields_for(schema: Mapping[str, Any], prefix: str) -> list[Field]:
    """Fields for what a JSON Schema describes: one for each property, or one for all of it."""
    properties = schema.get("properties")
    if schema.get("type") != "object" or not isinstance(properties, Mapping) or not properties:
        return [_empty(prefix, "result", schema, schema, needed=True)]
    needed = schema.get("required", ())
    return [
        _empty(f"{prefix}.{name}", name, part, schema, needed=name in needed)
        for name, part in properties.items()
    ]


def read_fields(fields: Sequence[Field], form: Mapping[str, str]) -> dict[str, Any]:
    """What was written into fields, by label. Raises `Problem` 422, naming the field."""
    found = {}
    for field in fields:
        text = form.get(field.name)
        if text is None:
            raise Problem(422, f"{field.label} was not sent; open the page again", field=field.name)
        if not text.strip() and not field.needed:
            continue
        found[field.label] = read_value(field, text)
    return found


def read_value(field: Field, text: str) -> Any:
    """One value. Raises `Problem` 422, saying what its form is."""
    try:
        match field.kind:
            case "number":
                return int(text.strip())
            case "yes or no":
                return {"yes": True, "no": False}[text]
            case "money":
                money = Money.parse(text)
                return {"minor": money.minor, "currency": money.currency}
            case "one of":
                return canonical.decode(text.encode())
            case "JSON":
                return canonical.decode(text.encode())
            case _:
                return text.replace("\r\n", "\n")
    except KeyError:
        raise Problem(422, f"{field.label}: choose yes or no", field=field.name) from None
    except ValueError as error:
        said = {
            "number": f"{text.strip()[:40]!r} is no whole number",
            "JSON": f"this is not JSON: {error}",
        }
        raise Problem(422, f"{field.label}: {said.get(field.kind, error)}", field=field.name) from None


def _filled(name: str, label: str, value: Any) -> Field:
    if isinstance(value, bool):
        return Field(name, label, "yes or no", "yes" if value else "no")
    if isinstance(value, int):
        return Field(name, label, "number", str(value))
    if isinstance(value, str):
        long = len(value) > LINE_CHARS_MAX or "\n" in value
        return Field(name, label, "text" if long else "line", value)
    if (found := money_of(value)) is not None:
        return Field(name, label, "money", str(found))
    return Field(name, label, "JSON", canonical.encode(value).decode())


def _empty(name: str, label: str, node: Any, whole: Mapping[str, Any], *, needed: bool) -> Field:
    node = node if isinstance(node, Mapping) else {}
    reference = node.get("$ref")
    if isinstance(reference, str):
        node = whole.get("$defs", {}).get(reference.rpartition("/")[2], {})
    if node.get("title") == "Money":
        return Field(name, label, "money", needed=needed)
    if "enum" in node or "const" in node:
        values = node.get("enum", [node.get("const")])
        choices = tuple(canonical.encode(value).decode() for value in values)
        return Field(name, label, "one of", choices=choices, needed=needed)
    kinds: dict[str, Kind] = {"string": "line", "integer": "number", "boolean": "yes or no"}
    return Field(name, label, kinds.get(str(node.get("type")), "JSON"), needed=needed)
