"""A request's parameters: flattened names such as ``Container.1.Port.1.Port`` become lists and structures."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

import attrs

from sandboxkit_eci.emulator.errors import invalid, missing
from sandboxkit_eci.emulator.schemas import REGION_OPTIONAL, SCHEMAS

Parameters = Mapping[str, Any]
"""Typed parameters of one action: values, lists and structures, each under its name if it was given."""

_TOKEN = re.compile(r"\s*(?:([A-Za-z0-9|]+)|(\[\]|[{}:,!]))")
_INTEGER = re.compile(r"[+-]?[0-9]{1,15}")
_INDEX = re.compile(r"[1-9][0-9]{0,3}")


@attrs.define
class Field:
    """One parameter. Of a structure, ``fields`` are its parts; of a value, ``type`` is ``str``, ``int``, …"""

    name: str
    type: str = "str"
    many: bool = False
    required: bool = False
    fields: dict[str, Field] | None = None


@cache
def schema(action: str) -> dict[str, Field]:
    """Give what an action takes; raises ``KeyError`` for an action that is not there."""
    required = "" if action in REGION_OPTIONAL else "!"
    text = f"RegionId{required}:str, {SCHEMAS[action]}"
    tokens = [name or sign for name, sign in _TOKEN.findall(text)]
    tokens.append("}")
    return _fields(tokens)


def read(action: str, pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Give the action's parameters, typed; raises what the service answers to a missing or malformed one."""
    fields = schema(action)
    tree: dict[str, Any] = {}
    for name, value in pairs:
        _place(tree, fields, name, value)
    return _structure(tree, fields, "")


def _fields(tokens: list[str]) -> dict[str, Field]:
    found: dict[str, Field] = {}
    while (name := tokens.pop(0)) != "}":
        if name == ",":
            continue
        field = found[name] = Field(name)
        while tokens[0] in ("!", "[]", ":", "{"):
            sign = tokens.pop(0)
            if sign == "!":
                field.required = True
            elif sign == "[]":
                field.many = True
            elif sign == ":":
                field.type = tokens.pop(0)
            else:
                field.fields = _fields(tokens)
    return found


def _place(tree: dict[str, Any], fields: Mapping[str, Field], name: str, value: str) -> None:
    """Put one pair where it belongs; what the schema does not know is left out."""
    parts = name.split(".")
    known: Mapping[str, Field] | None = fields
    while parts:
        field = (known or {}).get(parts.pop(0))
        if field is None:
            return
        place: Any = field.name
        if field.many:
            if not parts or not _INDEX.fullmatch(parts[0]):
                return
            tree = tree.setdefault(place, {})
            place = int(parts.pop(0))
        if field.fields is None:
            if not parts:
                tree[place] = value
            return
        tree = tree.setdefault(place, {})
        known = field.fields


def _structure(tree: Mapping[str, Any], fields: Mapping[str, Field], path: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for field in fields.values():
        name = path + field.name
        given = tree.get(field.name)
        if given is None or given == "":
            if field.required:
                raise missing(name)
            if given is not None and field.type == "str":
                found[field.name] = ""
        elif field.many:
            # The numbers only say the order.
            found[field.name] = [_one(given[place], field, f"{name}.{place}") for place in sorted(given)]
        else:
            found[field.name] = _one(given, field, name)
    return found


def _one(given: Any, field: Field, name: str) -> Any:
    if field.fields is not None:
        return _structure(given, field.fields, name + ".")
    return value(given, field.type, name)


def value(text: str, kind: str, name: str) -> Any:
    """Read one value. Booleans come as ``True`` or ``true``, floats as ``2.0`` or ``2``: clients differ."""
    if kind == "str":
        return text
    if kind == "bool":
        if text.lower() not in ("true", "false"):
            raise invalid(name, "must be true or false")
        return text.lower() == "true"
    if kind == "int":
        if not _INTEGER.fullmatch(text):
            raise invalid(name, "must be an integer")
        return int(text)
    if kind == "float":
        return _float(text, name)
    if text not in kind.split("|"):
        raise invalid(name, f"must be one of {kind.replace('|', ', ')}")
    return text


def _float(text: str, name: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number) or abs(number) > 1e12:
        raise invalid(name, "must be a number")
    return number
