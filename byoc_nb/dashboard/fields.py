"""The controls for a processor's parameters, found in the JSON schema of them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

_COLOR = re.compile(r"#[0-9a-fA-F]{6}")
_STEPS = 100  # at least, from one end of a slider to the other
_SMALLEST = 1e-9


def fields(schema: Mapping[str, Any], defaults: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
    """A control for every property of an object's JSON schema, as `/params/schema` gives it, in order.

    `defaults` by name, for those that the schema can't tell, such as of a `default_factory`.

    Each has `name`, `title`, `description`, `default`, `load` (only loading takes it up), `secret` (it or a part
    of it) and a `kind`:
    "number" (with `integer`, `nullable`, `min`, `max`, `step`; a slider where both ends are there), "bool", "choice"
    (with `choices`), "color" and "text" (with `nullable`), "numbers" (with `integer`, and `fixed` where its length is)
    or "json" for the rest.
    """
    properties: dict[str, dict[str, Any]] = schema.get("properties", {})
    known = {name: one.get("default") for name, one in properties.items()} | dict(defaults or {})
    return [
        {
            "name": name,
            "title": one.get("title") or name,
            "description": one.get("description", ""),
            "default": known[name],
            "load": one.get("load") is True,
            "secret": _is_secret(one, schema.get("$defs", {})),
            **_kind(one, schema.get("$defs", {}), known[name]),
        }
        for name, one in properties.items()
    ]


def _is_secret(field: Any, definitions: dict[str, Any], inside: tuple[str, ...] = ()) -> bool:
    """Whether anything in a schema is write-only, such as one of two types or a field of a model."""
    if isinstance(field, list):
        return any(_is_secret(one, definitions, inside) for one in field)
    if not isinstance(field, dict):
        return False
    if field.get("writeOnly") is True:
        return True
    reference = field.get("$ref")
    if isinstance(reference, str) and reference not in inside:
        return _is_secret(_resolved(field, definitions) | {"$ref": None}, definitions, (*inside, reference))
    return any(_is_secret(one, definitions, inside) for one in field.values())


def _kind(field: dict[str, Any], definitions: dict[str, Any], default: Any) -> dict[str, Any]:
    """How a value is edited."""
    one, nullable = _resolved(field, definitions), False
    others = [_resolved(other, definitions) for other in one.get("anyOf", [])]
    if len(others) == 2 and {"type": "null"} in others:
        nullable = True
        one = {**one, **next(other for other in others if other != {"type": "null"})}
    type_ = one.get("type")
    if "enum" in one or "const" in one:
        return {"kind": "choice", "choices": [*one.get("enum", [one.get("const")]), *([None] if nullable else [])]}
    if type_ == "boolean" and not nullable:
        return {"kind": "bool"}
    if type_ in ("number", "integer"):
        return {"kind": "number", "nullable": nullable, **_range(one)}
    if type_ == "string":
        plain = one.get("format", "color") == "color"
        is_color = one.get("format") == "color" or (isinstance(default, str) and _COLOR.fullmatch(default) is not None)
        return {"kind": "color" if plain and is_color and not nullable else "text", "nullable": nullable}
    if type_ == "array" and not nullable and (numbers := _numbers(one, definitions)):
        fixed = one.get("minItems") is not None and one.get("minItems") == one.get("maxItems")
        return {"kind": "numbers", "fixed": fixed, "integer": numbers == {"integer"}}
    return {"kind": "json"}


def _resolved(field: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """The schema with what it refers to; a field's own title and description go before those of a type."""
    reference = field.get("$ref")
    if not isinstance(reference, str):
        return field
    return {**definitions.get(reference.rpartition("/")[2], {}), **field}


def _range(field: dict[str, Any]) -> dict[str, Any]:
    """`integer`, and as far as they are there `min`, `max` and a `step`. An end that is excluded is a step away."""
    integer = field["type"] == "integer"
    low, high = field.get("minimum"), field.get("maximum")
    above, below = field.get("exclusiveMinimum"), field.get("exclusiveMaximum")
    ends: list[Any] = [low if low is not None else above, high if high is not None else below]
    step: Any = field.get("multipleOf") or (1 if integer else None)
    if step is None and None not in ends:
        step = 10.0 ** math.floor(math.log10(max(_SMALLEST, ends[1] / _STEPS - ends[0] / _STEPS)))
    found = {"integer": integer, "step": step}
    if ends[0] is not None:
        found["min"] = ends[0] + step if low is None and step else ends[0]
    if ends[1] is not None:
        found["max"] = ends[1] - step if high is None and step else ends[1]
    return found


def _numbers(field: dict[str, Any], definitions: dict[str, Any]) -> set[str]:
    """The types of an array's items if all of them are numbers, else nothing."""
    items = field.get("prefixItems") or [field.get("items")]
    if not all(isinstance(item, dict) for item in items):
        return set()
    types = {str(_resolved(item, definitions).get("type")) for item in items}
    return types if types <= {"number", "integer"} else set()
