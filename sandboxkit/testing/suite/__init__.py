"""The tests of the contract, by theme."""

from __future__ import annotations

from sandboxkit.testing.suite.contract import ContractSuite

__all__ = ["ContractSuite"]
