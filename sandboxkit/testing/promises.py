"""Promises and the tests that hold them: the version, the ids not yet built, and the mark that a test carries."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from sandboxkit.testing.stage import Stage

CONTRACT_VERSION = 1
"""Raised when a provider that passed may no longer pass."""

NOT_YET: tuple[str, ...] = ()
"""The ids of ``docs/contract.md`` that nothing is built for yet."""

NOT_YET_CAPABILITIES = (
    "stop_start",
    "pause",
    "snapshot",
    "logs",
    "stats",
)
"""The capabilities that no provider declares yet, whatever the table says."""

GIVEN = ("box", "client", "stage")
"""The parameters of a contract test that the suite fills in itself; others are pytest fixtures."""

AsyncTest = Callable[..., Coroutine[Any, Any, None]]


@attrs.frozen
class Promise:
    """What a contract test carries: the ids it holds, and what it needs and costs."""

    ids: tuple[str, ...]
    needs: tuple[str, ...] = ()
    delta: bool = False
    heavy: bool = False


def promise(
    *ids: str, needs: str | tuple[str, ...] = (), delta: bool = False, heavy: bool = False
) -> Callable[[AsyncTest], Callable[..., None]]:
    """Make an async function a contract test that holds these promises.

    ``needs`` names capabilities without which it is skipped; ``delta`` marks what an image, a user, the isolation or
    the transport may change; ``heavy`` what runs only with ``--full``. The test may ask for ``box`` (a sandbox
    that its class shares), ``client`` and ``stage``.
    """
    carried = Promise(ids, (needs,) if isinstance(needs, str) else needs, delta, heavy)

    def decorate(test: AsyncTest) -> Callable[..., None]:
        parameters = list(inspect.signature(test).parameters.values())
        asked = tuple(p.name for p in parameters if p.name in GIVEN)

        @functools.wraps(test)
        def run(self: Any, sandboxkit_stage: Stage, **fixtures: Any) -> None:
            sandboxkit_stage.run(carried, asked, functools.partial(test, self, **fixtures))

        # pytest fills in what the signature names: the stage, and the fixtures that the suite does not know.
        mine = inspect.Parameter("sandboxkit_stage", inspect.Parameter.POSITIONAL_OR_KEYWORD)
        others = [p for p in parameters[1:] if p.name not in GIVEN]
        run.__signature__ = inspect.Signature([parameters[0], mine, *others])  # type: ignore[attr-defined]
        run.promise = carried  # type: ignore[attr-defined]
        return run

    return decorate


def carried_by(function: object) -> Promise | None:
    """Give what a test carries, ``None`` if it is no contract test."""
    found = getattr(function, "promise", None)
    return found if isinstance(found, Promise) else None
