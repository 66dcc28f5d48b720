"""What kinds of values a provider's options hold: taken as they are given, and refused by the field's name.

attrs classes have :func:`words` and :func:`mapping` as converters, which refuse nothing: a converter does not know
its field. :func:`check_kinds` is called where the options come in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sandboxkit.errors import InvalidSpec


def words(value: Any) -> Any:
    """Make a tuple of an iterable; a text is a word of its own. What is neither stays as it is."""
    if value is None:
        return ()
    if isinstance(value, str):
        return (value,)
    return value if isinstance(value, bytes | Mapping) or not isinstance(value, Iterable) else tuple(value)


def mapping(value: Any) -> Any:
    """Make a dict of a mapping; what is none stays as it is."""
    if value is None:
        return {}
    return dict(value) if isinstance(value, Mapping) else value


def check_kinds(
    options: object,
    *,
    texts: Iterable[str] = (),
    flags: Iterable[str] = (),
    lists: Mapping[str, type] | None = None,
    mappings: Mapping[str, type] | None = None,
) -> None:
    """See that fields hold what they should; ``InvalidSpec`` names the one that does not, and shows no value.

    ``texts`` are texts or ``None``, ``flags`` are ``True`` or ``False``; ``lists`` and ``mappings`` tell the kind of
    their items and of their values, whose names are texts.
    """
    for name in texts:
        value = getattr(options, name)
        if value is not None and (not isinstance(value, str) or "\0" in value):
            raise InvalidSpec(f"{name} is text, not {_kind(value)}")
    for name in flags:
        value = getattr(options, name)
        if not isinstance(value, bool):
            raise InvalidSpec(f"{name} is True or False, not {_kind(value)}")
    for name, kind in (lists or {}).items():
        value = getattr(options, name)
        if not isinstance(value, tuple) or not all(isinstance(item, kind) for item in value):
            raise InvalidSpec(f"{name} is a list of {kind.__name__}, not {_kind(value)}")
    for name, kind in (mappings or {}).items():
        value = getattr(options, name)
        if not isinstance(value, dict) or not all(
            isinstance(k, str) and isinstance(v, kind) for k, v in value.items()
        ):
            raise InvalidSpec(f"{name} is a mapping of texts to {kind.__name__}, not {_kind(value)}")


def _kind(value: object) -> str:
    items: Iterable[object] = ()
    if isinstance(value, tuple):
        items = value
    elif isinstance(value, dict):
        items = (*value, *value.values())
    inside = sorted({type(item).__name__ for item in items})
    return type(value).__name__ + (f" of {', '.join(inside)}" if inside else "")
