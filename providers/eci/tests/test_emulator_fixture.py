"""The fixture that other projects use."""

from __future__ import annotations

from typing import Any

import pytest
from sandboxkit_eci.emulator.backends.nothing import NoBackend
from sandboxkit_eci.emulator.pytest_plugin import eci_emulator, eci_emulator_options
from sandboxkit_eci.emulator.testing import Emulator

from .asking import code, create, no_proxy, sdk

__all__ = ["eci_emulator", "eci_emulator_options", "no_proxy"]

pytestmark = pytest.mark.usefixtures("no_proxy")


class TestWithOptions:
    @pytest.fixture
    def eci_emulator_options(self) -> dict[str, Any]:
        return {"backend": NoBackend(), "quirks": {"quota-cpu": 1}}

    def test_an_emulator_is_as_its_options_say(self, eci_emulator: Emulator) -> None:
        assert code(lambda: create(sdk(eci_emulator))) == "QuotaExceeded"
        assert eci_emulator.options["endpoint"] == eci_emulator.endpoint
