"""The core keeps the contract over the poorest channel that a provider may give it."""

from __future__ import annotations

from typing import Any, ClassVar

from sandboxkit.testing import ContractSuite


class TestPoor(ContractSuite):
    provider = "poor"
    rests_on = ("local",)


class TestPoorCold(ContractSuite):
    """With a channel for each command."""

    provider = "poor"
    options: ClassVar[dict[str, Any]] = {"warm": False}
    only = ("X", "F")
    rests_on = ("local",)
