"""The nonces that were used lately: a signed request is good once."""

from __future__ import annotations

from collections import deque

from sandboxkit_eci.emulator.errors import ApiError

WINDOW = 900.0
"""Seconds that a nonce is remembered. An older request is refused for its time."""


class Nonces:
    """Remembers what was used within the window."""

    def __init__(self) -> None:
        self._seen: set[tuple[str, str]] = set()
        self._order: deque[tuple[float, tuple[str, str]]] = deque()

    def use(self, key_id: str, nonce: str, *, now: float) -> None:
        """Note one; raises if it was used before."""
        while self._order and self._order[0][0] < now - 2 * WINDOW:
            self._seen.discard(self._order.popleft()[1])
        if not nonce:
            return
        if (key_id, nonce) in self._seen:
            raise ApiError(400, "SignatureNonceUsed", "Specified signature nonce was used already.")
        self._seen.add((key_id, nonce))
        self._order.append((now, (key_id, nonce)))
