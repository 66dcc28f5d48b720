"""A provider that knows only asyncio keeps the contract in the blocking world too, from a thread with a loop."""

from __future__ import annotations

from sandboxkit.testing import ContractSuite


class TestLoopbound(ContractSuite):
    provider = "loopbound"
    rests_on = ("local",)
    tier = "delta"
    worlds = ("blocking",)
