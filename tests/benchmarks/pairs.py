"""Measuring ours and the least that is possible in one run: in pairs, one right after the other, or in a row."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Mapping
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
        """Whether the targets were reached, both where there are two; ``None`` without one."""
        found = []
        if self.target is not None and self.ratio is not None:
            found.append(self.ratio <= self.target)
        if self.target_ms is not None:
            found.append(self.ours_ms <= self.target_ms)
        return all(found) if found else None


def measure(provider: str, cases: Iterable[Case], rounds: int) -> list[Row]:
    """Run every case once for warming up and then ``rounds`` times, in turns."""
    return measure_all({provider: cases}, rounds)


def measure_all(groups: Mapping[str, Iterable[Case]], rounds: int) -> list[Row]:
    """Do so with the cases of several providers, or of several ways to use one, all in the same while."""
    cases = [(provider, case) for provider, some in groups.items() for case in some]
    times: list[list[tuple[float, float]]] = [[] for _ in cases]
    for number in range(rounds + 1):
        for (_, case), pairs in zip(cases, times, strict=True):
            pair = _pair(case, ours_first=number % 2 == 0)
            if number:
                pairs.append(pair)
    return [_row(provider, case, pairs) for (provider, case), pairs in zip(cases, times, strict=True)]


def measure_in_a_row(provider: str, cases: Iterable[Case], rounds: int, *, ours: int, least: int) -> list[Row]:
    """Run every case ``rounds`` times as a program does that works with one sandbox, and the minimal client in turns.

    Each time ours is done so many times one after the other, then the other client's. A ratio is that of two such
    rows' medians.
    """
    cases = list(cases)
    times: list[list[tuple[list[float], list[float]]]] = [[] for _ in cases]
    for _ in range(rounds):
        for case, rows in zip(cases, times, strict=True):
            rows.append((_in_a_row(case, case.ours, ours), _in_a_row(case, case.least, least)))
    found = []
    for case, rows in zip(cases, times, strict=True):
        medians = [(statistics.median(mine), statistics.median(others or [0.0])) for mine, others in rows]
        found.append(_row(provider, case, medians))
    return found


def _in_a_row(case: Case, function: Callable[[], Any] | None, times: int) -> list[float]:
    if function is None:
        return []
    spent = []
    for _ in range(times):
        began = time.perf_counter()
        result = function()
        spent.append(time.perf_counter() - began)
        case.check(result)
    return spent


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
