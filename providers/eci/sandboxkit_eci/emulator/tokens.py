"""ClientTokens: a call that is made again has its first answer."""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import attrs

from sandboxkit_eci.emulator.errors import ApiError


@attrs.frozen(kw_only=True)
class Remembered:
    """A call's answer, and a digest of what was asked."""

    digest: str
    answer: Mapping[str, Any]
    time: float


class ClientTokens:
    """Remembers answers for a while, by account, region, action and token."""

    def __init__(self, seconds: float, *, compared: bool = True) -> None:
        self._seconds = seconds
        self._compared = compared
        self._answers: OrderedDict[tuple[str, ...], Remembered] = OrderedDict()

    def recall(self, key: tuple[str, ...], given: Mapping[str, Any], *, now: float) -> Mapping[str, Any] | None:
        """Give the first answer; raises if something else was asked then, unless that is not compared."""
        while self._answers and next(iter(self._answers.values())).time < now - self._seconds:
            self._answers.popitem(last=False)
        found = self._answers.get(key)
        if found is None or found.time < now - self._seconds:
            return None
        if self._compared and found.digest != digest(given):
            words = "The specified parameter has changed while using an already used clientToken."
            raise ApiError(400, "IdempotentParameterMismatch", words)
        return found.answer

    def remember(
        self, key: tuple[str, ...], given: Mapping[str, Any], answer: Mapping[str, Any], *, now: float
    ) -> None:
        """Note the answer of a call that took effect."""
        self._answers.pop(key, None)
        self._answers[key] = Remembered(digest=digest(given), answer=answer, time=now)

    def group_of(self, key: tuple[str, ...]) -> str | None:
        """Give the id of the group that a remembered create made."""
        found = self._answers.get(key)
        return None if found is None else str(found.answer["ContainerGroupId"])

    def forget(self, key: tuple[str, ...]) -> None:
        """Let a token be new again."""
        self._answers.pop(key, None)

    def dump(self) -> list[Any]:
        """Give all as JSON can hold it."""
        return [[list(key), attrs.asdict(value)] for key, value in self._answers.items()]

    def load(self, dumped: list[Any]) -> None:
        """Take up what :meth:`dump` gave."""
        self._answers = OrderedDict((tuple(key), Remembered(**value)) for key, value in dumped)


def digest(given: Mapping[str, Any]) -> str:
    """Digest a call's parameters: no secret of theirs is kept."""
    return hashlib.sha256(json.dumps(given, sort_keys=True).encode()).hexdigest()
