"""A fixture for other projects' tests: ``pytest_plugins = ["sandboxkit_eci.emulator.pytest_plugin"]``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from sandboxkit_eci.emulator.testing import Emulator, emulator


@pytest.fixture
def eci_emulator_options() -> dict[str, Any]:
    """What the emulator is to be like; override it in a test's module or class."""
    return {}


@pytest.fixture
def eci_emulator(eci_emulator_options: dict[str, Any]) -> Iterator[Emulator]:
    """A running emulator; ``connect("eci", **eci_emulator.options)`` leads to it."""
    with emulator(**eci_emulator_options) as running:
        yield running
