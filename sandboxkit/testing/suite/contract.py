"""The class that a provider subclasses: every test of the contract, and what may be said about the provider."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, ClassVar, Literal

from sandboxkit import plugins
from sandboxkit.testing.promises import carried_by
from sandboxkit.testing.suite.capabilities import Capabilities
from sandboxkit.testing.suite.commands import Commands
from sandboxkit.testing.suite.concurrency import Concurrency
from sandboxkit.testing.suite.creation import Creation
from sandboxkit.testing.suite.deadlines import Deadlines
from sandboxkit.testing.suite.endings import Endings
from sandboxkit.testing.suite.environment import Environment
from sandboxkit.testing.suite.files import FileContents
from sandboxkit.testing.suite.filetree import FileTree
from sandboxkit.testing.suite.footprint import Footprint
from sandboxkit.testing.suite.inputs import Inputs
from sandboxkit.testing.suite.interruption import Interruption
from sandboxkit.testing.suite.lifecycle import Lifecycle
from sandboxkit.testing.suite.output import OutputBudget
from sandboxkit.testing.suite.restart import Restart
from sandboxkit.testing.suite.secrecy import Secrecy
from sandboxkit.testing.suite.sessionkeys import SessionKeys
from sandboxkit.testing.suite.sessions import Sessions
from sandboxkit.testing.suite.streaming import Streaming
from sandboxkit.testing.suite.terminals import Terminals
from sandboxkit.testing.suite.timeouts import Timeouts
from sandboxkit.testing.suite.transfers import Transfers
from sandboxkit.testing.suite.writes import Writes

World = Literal["blocking", "asyncio"]


class ContractSuite(
    Lifecycle,
    Creation,
    Deadlines,
    Restart,
    Commands,
    Endings,
    Inputs,
    Environment,
    Timeouts,
    Interruption,
    OutputBudget,
    Streaming,
    Terminals,
    Concurrency,
    FileContents,
    Writes,
    FileTree,
    Transfers,
    Sessions,
    SessionKeys,
    Capabilities,
    Secrecy,
    Footprint,
):
    """Every promise of the contract, as tests. Subclass it as ``Test…`` and say which provider is meant.

    ``options`` are connect options; ``create`` what every create is given; ``worlds`` which worlds are run, and
    ``tier="delta"`` leaves only the tests that an image, a user, the isolation or the transport may change.
    ``only`` leaves the tests of the promises whose ids begin with one of these, for a class beside one that has all.
    ``rests_on`` names other providers that this one needs, for ``SANDBOXKIT_REQUIRE``. ``without`` names, with the
    reason, capabilities that the provider has and what stands behind it here, an emulator say, has not; another class
    should try them. A contract test cannot be overridden: what a provider cannot do it does not declare.
    """

    provider: ClassVar[str] = ""
    options: ClassVar[Mapping[str, Any]] = {}
    create: ClassVar[Mapping[str, Any]] = {}
    worlds: ClassVar[tuple[World, ...]] = ("blocking", "asyncio")
    tier: ClassVar[Literal["full", "delta"]] = "full"
    only: ClassVar[tuple[str, ...]] = ()
    rests_on: ClassVar[tuple[str, ...]] = ()
    without: ClassVar[Mapping[str, str]] = {}

    @classmethod
    def unready(cls) -> str:
        """Say what is missing here for the tests to run, ``""`` if nothing; asked once for each class."""
        if "_unready" not in cls.__dict__:
            cls._unready = cls.prerequisite()
        return cls._unready

    _unready: ClassVar[str] = ""

    @classmethod
    def prerequisite(cls) -> str:
        """Say what is missing; a subclass may look for more than the provider's own probe does."""
        answer = plugins.probe(cls.provider)
        return "" if answer.works else f"provider {cls.provider!r} does not work here: {answer.reason}"

    @classmethod
    def remains(cls, tag: str) -> list[str]:
        """Name what the backend still holds of sandboxes labelled ``suite=tag``, beyond what ``list`` shows."""
        return []

    @classmethod
    def check_whole(cls) -> None:
        """Raise ``TypeError`` unless every contract test is there as it was written."""
        if not cls.provider and cls is not ContractSuite:
            raise TypeError(f"{cls.__qualname__} must set provider = '…'")
        for name, original in _TESTS.items():
            if getattr(cls, name, None) is not original:
                raise TypeError(
                    f"{cls.__qualname__}.{name}: a contract test may not be overridden or removed; what a provider "
                    f"cannot do is a capability that it does not declare"
                )

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name in _TESTS.keys() & cls.__dict__.keys():
            raise TypeError(f"{cls.__qualname__}.{name}: a contract test may not be overridden")


_TESTS = {
    name: function
    for name in dir(ContractSuite)
    if name.startswith("test_") and carried_by(function := getattr(ContractSuite, name)) is not None
}


def tests() -> Mapping[str, Collection[str]]:
    """Give the contract tests by name, each with the ids that it holds."""
    return {name: carried.ids for name, function in _TESTS.items() if (carried := carried_by(function)) is not None}
