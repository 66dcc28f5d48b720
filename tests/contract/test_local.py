"""``local`` keeps the contract."""

from __future__ import annotations

from sandboxkit.testing import ContractSuite


class TestLocal(ContractSuite):
    provider = "local"
