"""The figures as Markdown and JSON."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from typing import Any

import attrs

from tests.benchmarks.pairs import Row
from tests.benchmarks.processes import Memory

_WORDS = {True: "yes", False: "no", None: ""}


def to_json(rows: Sequence[Row], memory: Sequence[Memory], *, rounds: int) -> str:
    """Give everything, for programs."""
    found = {
        "rounds": rounds,
        "machine": machine(),
        "operations": [_plain(row) for row in rows],
        "memory": [_plain(each) for each in memory],
    }
    return json.dumps(found, indent=2) + "\n"


def _plain(value: Any) -> dict[str, Any]:
    return {**attrs.asdict(value), "reached": value.reached}


def machine() -> dict[str, Any]:
    """Say what was measured on."""
    return {
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def to_markdown(rows: Sequence[Row], memory: Sequence[Memory], *, rounds: int) -> str:
    """Give tables for people."""
    here = machine()
    lines = [
        f"Medians of {rounds} rounds; a ratio is the median over pairs, ours and a minimal client's one after the "
        f"other, with its quartiles. {here['cores']} cores, load {here['load']}, {here['system']}, "
        f"Python {here['python']}.",
        "",
        "| provider | operation | sandboxkit, ms | minimal, ms | ratio | quartiles | target | reached |",
        "|---|---|---:|---:|---:|---:|---:|---|",
    ]
    lines += [_line(row) for row in rows]
    if memory:
        lines += [
            "",
            "| provider | output, MB | client's peak memory grows by, MiB | target | reached |",
            "|---|---:|---:|---:|---|",
        ]
        lines += [
            f"| {m.provider} | {m.output_mb} | {m.growth_mib:.1f} | ≤ {m.target_mib:g} | {_WORDS[m.reached]} |"
            for m in memory
        ]
    return "\n".join(lines) + "\n"


def _line(row: Row) -> str:
    cells = (
        row.provider,
        row.name,
        f"{row.ours_ms:.1f}",
        "" if row.least_ms is None else f"{row.least_ms:.1f}",
        "" if row.ratio is None else digits(row.ratio),
        "" if row.quartiles is None else " to ".join(map(digits, row.quartiles)),
        _target(row),
        _WORDS[row.reached],
    )
    return f"| {' | '.join(cells)} |"


def digits(ratio: float) -> str:
    """Write a ratio with as many digits as tell something."""
    return f"{ratio:.2f}" if ratio >= 0.2 else f"{ratio:.3f}"


def _target(row: Row) -> str:
    ratio = "" if row.target is None else f"≤ {round(row.target, 3):g}"
    time = "" if row.target_ms is None else f"≤ {row.target_ms:.3g} ms"
    return ", ".join(filter(None, (ratio, time)))
