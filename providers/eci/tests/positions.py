"""Every quirk in each of its positions: what a test holds is noted, so that another can see that none is left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args, get_type_hints

import attrs
import pytest

HELD: dict[str, set[Any]] = {}
"""The positions that a test holds, by the quirk's name."""


def holds(quirk: str, positions: Mapping[Any, Any], **more: Any) -> pytest.MarkDecorator:
    """Have a test hold each position of a quirk: it gets ``quirks``, with ``more``, and what is expected then."""
    HELD.setdefault(quirk, set()).update(positions)
    cases = [
        pytest.param({quirk: value, **more}, expected, id=f"{quirk}={value}") for value, expected in positions.items()
    ]
    return pytest.mark.parametrize(("quirks", "expected"), cases)


def left_out(registry: type[Any]) -> dict[str, object]:
    """Give the quirks of which a position is held by no test, with what is held."""
    hints = get_type_hints(registry)
    found = {}
    for field in attrs.fields(registry):
        held = HELD.get(field.name, set())
        if not _positions(hints[field.name], field.metadata["choices"]) <= held or len(held) < 2:
            found[field.name] = held
    return found


def _positions(hint: Any, choices: tuple[str, ...]) -> set[Any]:
    """Give the positions that can be counted."""
    if choices:
        return set(choices)
    parts = [each for part in (get_args(hint) or (hint,)) for each in (get_args(part) or (part,))]
    return {value for part in parts for value in _values(part)}


def _values(part: Any) -> set[Any]:
    if part is bool:
        return {True, False}
    if part is type(None):
        return {None}
    return set() if isinstance(part, type) else {part}
