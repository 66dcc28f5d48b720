"""The core keeps the contract over the poorest channel that a provider may give it."""

from __future__ import annotations

from sandboxkit.testing import ContractSuite


class TestPoor(ContractSuite):
    provider = "poor"
    rests_on = ("local",)
