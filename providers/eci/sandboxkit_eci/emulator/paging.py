"""Pages of a list, by tokens that hold while groups come and go."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from sandboxkit_eci.emulator.errors import invalid
from sandboxkit_eci.emulator.quirks import Quirks

T = TypeVar("T")


def page(
    found: Sequence[T], given: Mapping[str, Any], *, most: int, serial: Callable[[T], int], quirks: Quirks
) -> tuple[list[T], dict[str, Any]]:
    """Cut one page out of a list in falling order of ``serial``; give it, with NextToken and TotalCount."""
    limit = given.get("Limit", most)
    if not 1 <= limit <= most:
        raise invalid("Limit", f"must be from 1 to {most}")
    rest = list(found)
    if token := given.get("NextToken"):
        before = _read(token)
        rest = [each for each in found if serial(each) < before]
    shown = rest[:limit]
    answer: dict[str, Any] = {"TotalCount": len(found)}
    if len(rest) > limit:
        answer["NextToken"] = base64.urlsafe_b64encode(b"s%d" % serial(shown[-1])).decode()
    elif quirks.last_token == "empty":
        answer["NextToken"] = ""
    return shown, answer


def ids(text: str | None, *, most: int = 20) -> list[str] | None:
    """Read ContainerGroupIds: a JSON array of at most 20."""
    if not text:
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        raise invalid("ContainerGroupIds", "must be a JSON array of ids")
    if len(found) > most:
        raise invalid("ContainerGroupIds", f"at most {most} ids")
    return found


def _read(token: str) -> int:
    try:
        text = base64.urlsafe_b64decode(token.encode())
        if text[:1] == b"s":
            return int(text[1:21])
    except (binascii.Error, ValueError):
        pass
    raise invalid("NextToken", "was not given by this service")
