"""The calls that an account may make to each API in a minute."""

from __future__ import annotations

import math
from collections import deque

from sandboxkit_eci.emulator.errors import ApiError
from sandboxkit_eci.emulator.quirks import Quirks

WINDOW = 60.0

WINDOWS = {"CommitContainer": 1.0}
"""Seconds for which a limit is published that is not for a minute."""

PUBLISHED = {
    "CreateContainerGroup": 1000,
    "DeleteContainerGroup": 1000,
    "ExecContainerCommand": 500,
    "DescribeContainerGroups": 2000,
    "DescribeContainerGroupStatus": 10000,
    "DescribeContainerGroupEvents": 10000,
    "DescribeContainerLog": 500,
    "RestartContainerGroup": 1000,
    "UpdateContainerGroup": 1000,
    "DescribeContainerGroupMetric": 2000,
    "CreateImageCache": 200,
    "TagResources": 1000,
    "UntagResources": 1000,
    "ListTagResources": 1000,
    "DescribeRegions": 10000,
    "CommitContainer": 100,
}
"""From the API's page on flow control; what is not on it has no limit here."""

OLDER = {**PUBLISHED, "RestartContainerGroup": 500, "UpdateContainerGroup": 500}


class Limits:
    """Counts calls by account, region and API, and refuses those over the limit."""

    def __init__(self, quirks: Quirks) -> None:
        self._quirks = quirks
        self._most = {"published": PUBLISHED, "older": OLDER, "none": {}}[quirks.limits]
        self._calls: dict[tuple[str, str, str], deque[float]] = {}

    def count(self, account: str, region: str, action: str, *, now: float) -> None:
        """Count one call; raises what throttling answers. A refused call does not count."""
        most = self._most.get(action)
        if most is None:
            return
        calls = self._calls.setdefault((account, region, action), deque())
        window = WINDOWS.get(action, WINDOW)
        start = now - window if self._quirks.limit_window == "sliding" else math.floor(now / window) * window
        while calls and calls[0] < start:
            calls.popleft()
        if len(calls) >= most:
            raise throttled(self._quirks)
        calls.append(now)


def throttled(quirks: Quirks, retry_after_ms: int | None = None) -> ApiError:
    """Give the refusal, with ``x-acs-retry-after`` if one was asked for."""
    after = quirks.retry_after_ms if retry_after_ms is None else retry_after_ms
    headers = {"x-acs-retry-after": str(after)} if after else {}
    words = "Request was denied due to user flow control."
    return ApiError(quirks.throttle_status, quirks.throttle_code, words, headers)
