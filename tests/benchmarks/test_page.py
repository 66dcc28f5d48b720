"""The page says what was measured, and no more."""

from __future__ import annotations

from typing import Any

import pytest

from tests.benchmarks import prose, report

MACHINE = {"cores": 2, "load": 0.5, "system": "Linux 6", "python": "3.11.7"}


def row(provider: str, name: str, **more: Any) -> dict[str, Any]:
    usual = {"ours_ms": 2.0, "least_ms": 40.0, "ratio": 0.05, "quartiles": [0.04, 0.06]}
    return {"provider": provider, "name": name, **usual, "target": 0.06667, "target_ms": 2.5, "reached": True, **more}


def operations(*rows: dict[str, Any]) -> dict[str, Any]:
    memory = {"provider": "local", "output_mb": 10, "growth_mib": 27.04, "target_mib": 40, "reached": True}
    return {"rounds": 21, "machine": MACHINE, "operations": list(rows), "memory": [memory]}


def test_an_operation_is_a_line_with_its_targets() -> None:
    said = prose.page({"operations": operations(row("docker", "run true"))})
    assert "| run true | 2.0 | 40.0 | 0.050 | 0.040 to 0.060 | ≤ 0.067, ≤ 2.5 ms | yes |" in said
    assert "local: a command that writes 10 MB, peak | 27.0 MiB | ≤ 40 MiB | yes |" in said


def test_a_target_that_was_missed_is_seen() -> None:
    said = prose.page({"operations": operations(row("docker, cold", "run true", reached=False))})
    assert "| **no** |" in said


def test_what_was_not_measured_is_not_mentioned() -> None:
    said = prose.page({"operations": operations(row("local", "run true", target=None, target_ms=None))})
    assert "docker:" not in said
    assert "eci" not in said
    assert "a second" not in said


def test_a_rate_says_what_it_cost() -> None:
    shares = {"client": 0.2, "daemon": 0.4, "sandbox": 1.0, "others": 0.1, "idle": 0.3}
    rate = {"world": "asyncio", "callers": 8, "warm": True, "per_second": 500.0, "quartiles": [480.0, 510.0]}
    rate |= {**shares, "target": 700.0, "reached": False, "bound": "the machine's cores"}
    measured = {"rounds": 7, "machine": MACHINE, "rates": [rate], "memory": []}
    said = prose.page({"operations": operations(row("docker", "run true")), "callers": measured})
    assert "| asyncio | kept | 8 | 500 | 480 to 510 | 0.20 | 0.40 | 1.00 | 0.10 | 0.30 | ≥ 700 | **no** |" in said
    assert "0.40 ms in the client, 0.80 ms in the daemon, 2.00 ms in the sandbox" in said
    assert "That is 3.20 ms, so 2 cores that do nothing else cannot run more than 625 a second" in said


@pytest.mark.parametrize(("ratio", "said"), [(1.234, "1.23"), (0.2, "0.20"), (0.0512, "0.051")])
def test_ratios_have_as_many_digits_as_tell_something(ratio: float, said: str) -> None:
    assert report.digits(ratio) == said
