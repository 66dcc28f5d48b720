"""``EciOptions.extra``: fields by the API's own names, added to those that sandboxkit gives; pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sandboxkit.errors import InvalidSpec

Wire = dict[str, Any]

_KEEP_ALIVE = ("Command", "Arg")


def check(extra: Mapping[str, Any]) -> None:
    """Refuse what has no place in a request; the values are not shown."""
    _check_shape(extra, "extra")
    containers = _containers(extra)
    if not all(isinstance(container, Mapping) for container in containers):
        raise InvalidSpec("extra: Container is a mapping, or a list of them, the sandbox's own first")
    for name in _KEEP_ALIVE:
        if containers and name in containers[0]:
            raise InvalidSpec(f"extra: {name} of the sandbox's own container is what keeps it alive; use command=")


def _check_shape(value: Any, where: str) -> None:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            if not isinstance(name, str):
                raise InvalidSpec(f"{where}: the API's names are strings, not a {type(name).__name__}")
            _check_shape(inner, f"{where}: {name}")
    elif isinstance(value, list | tuple):
        for inner in value:
            _check_shape(inner, where)
    elif value is not None and not isinstance(value, str | int | float):
        raise InvalidSpec(f"{where}: the API has no place for a {type(value).__name__}")


def _containers(extra: Mapping[str, Any]) -> Sequence[Any]:
    given = extra.get("Container", ())
    return given if isinstance(given, list | tuple) else (given,)


def merged(wire: Wire, extra: Mapping[str, Any]) -> Wire:
    """Add what is passed on: lists grow, the sandbox's container takes what is said of the first ``Container``."""
    others = {name: value for name, value in extra.items() if name != "Container"}
    own, *more = _containers(extra) or ({},)
    return {**_joined(wire, others), "Container": [_joined(wire["Container"][0], own), *more]}


def _joined(own: Any, given: Any) -> Any:
    """Add to lists and mappings; anything else is replaced."""
    if isinstance(own, Mapping) and isinstance(given, Mapping):
        return {**own, **{name: _joined(own.get(name), value) for name, value in given.items()}}
    if isinstance(own, list) and isinstance(given, list | tuple):
        return [*own, *given]
    return given


def strings(value: Any) -> Iterator[str]:
    """Give all texts in it: which of them are secret, only the service's documentation knows."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from strings(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from strings(inner)
