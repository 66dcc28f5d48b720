"""The contract suite: what every provider must pass, for providers to run.

A provider's conformance file is::

    from sandboxkit.testing import ContractSuite

    class TestMine(ContractSuite):
        provider = "mine"

Install ``sandboxkit[testing]`` and run pytest on it. See :class:`ContractSuite` for what it may set.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sandboxkit.testing.promises import CONTRACT_VERSION

if TYPE_CHECKING:
    from sandboxkit.testing.suite import ContractSuite

__all__ = ["CONTRACT_VERSION", "ContractSuite"]


def __getattr__(name: str) -> Any:
    # pytest imports this package in every project where sandboxkit is installed: the tests come when asked for.
    if name == "ContractSuite":
        from sandboxkit.testing.suite import ContractSuite

        return ContractSuite
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
