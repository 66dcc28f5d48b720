"""Wall and CPU time of what is measured, and of the server that it talks to."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs

MB = 1_000_000


@attrs.frozen(kw_only=True)
class Side:
    """One client: its median throughput, and how busy it and the server were meanwhile (1 is a whole core)."""

    mb_per_second: float
    client_busy: float
    server_busy: float
    client_ms_per_mb: float
    """CPU time."""


def cpu_seconds(process: int) -> float:
    """Give the CPU time of a process, from proc(5), which counts in clock ticks."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@attrs.define(eq=False)
class Meter:
    """Measures a function's runs, but for the first, which warms up."""

    _server: int
    _function: Callable[[], Any]
    _runs: list[tuple[float, float, float]] = attrs.field(factory=list)

    def __call__(self) -> Any:
        server, client, began = cpu_seconds(self._server), time.process_time(), time.perf_counter()
        result = self._function()
        wall = time.perf_counter() - began
        self._runs.append((wall, time.process_time() - client, cpu_seconds(self._server) - server))
        return result

    def side(self, size: int) -> Side:
        """Sum up runs that moved ``size`` bytes each: ticks are too coarse for a single one."""
        runs = self._runs[1:]
        wall, client, server = map(sum, zip(*runs, strict=True))
        return Side(
            mb_per_second=round(size / MB / statistics.median(run[0] for run in runs), 1),
            client_busy=round(client / wall, 2),
            server_busy=round(server / wall, 2),
            client_ms_per_mb=round(client * 1000 / len(runs) / (size / MB), 3),
        )
