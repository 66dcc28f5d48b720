"""Measuring in pairs: ours and the least that is possible, one right after the other, many times over."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable
from typing import Any

import attrs


@attrs.frozen(kw_only=True)
class Case:
    """One operation, done by sandboxkit (``ours``) and by a minimal client (``least``), where there is one.

    ``check`` gets what either returned, outside the measured time, and raises when it is not right.
    """

    name: str
    ours: Callable[[], Any]
    least: Callable[[], Any] | None = None
    check: Callable[[Any], None] = lambda result: None
    target: float | None = None
    """What the ratio should not exceed."""
    target_ms: float | None = None
    """What our time should not exceed."""


@attrs.frozen(kw_only=True)
class Row:
    """What came of a case: medians in milliseconds, and the median and quartiles of the pairs' ratios."""

    provider: str
    name: str
    ours_ms: float
    least_ms: float | None = None
    ratio: float | None = None
    quartiles: tuple[float, float] | None = None
    target: float | None = None
    target_ms: float | None = None

    @property
    def reached(self) -> bool | None:
        """Whether the target was reached; ``None`` without one."""
        if self.target is not None and self.ratio is not None:
            return self.ratio <= self.target
        return None if self.target_ms is None else self.ours_ms <= self.target_ms


def measure(provider: str, cases: Iterable[Case], rounds: int) -> list[Row]:
    """Run every case once for warming up and then ``rounds`` times, in turns."""
    cases = list(cases)
    times: dict[str, list[tuple[float, float]]] = {case.name: [] for case in cases}
    for number in range(rounds + 1):
        for case in cases:
            pair = _pair(case, ours_first=number % 2 == 0)
            if number:
                times[case.name].append(pair)
    return [_row(provider, case, times[case.name]) for case in cases]


def _pair(case: Case, *, ours_first: bool) -> tuple[float, float]:
    spent = {}
    for function in (case.ours, case.least) if ours_first else (case.least, case.ours):
        if function is None:
            continue
        began = time.perf_counter()
        result = function()
        spent[function] = time.perf_counter() - began
        case.check(result)
        del result  # whoever comes second must not work beside it
    return spent[case.ours], spent[case.least] if case.least else 0.0


def _row(provider: str, case: Case, times: list[tuple[float, float]]) -> Row:
    ours = statistics.median(mine for mine, _ in times) * 1000
    row = Row(provider=provider, name=case.name, ours_ms=ours, target=case.target, target_ms=case.target_ms)
    if case.least is None:
        return row
    ratios = [mine / least for mine, least in times]
    low, middle, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
    return attrs.evolve(
        row, least_ms=statistics.median(least for _, least in times) * 1000, ratio=middle, quartiles=(low, high)
    )
