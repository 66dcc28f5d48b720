"""What a planted bug is, and how one is planted: in every process of a test run, before anything else is imported."""

from __future__ import annotations

import importlib
import os
import pkgutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import attrs

VARIABLE = "SANDBOXKIT_MUTATION"
"""The environment variable that names the bug to plant; clients in other processes of a run get it too."""


@attrs.frozen
class Mutation:
    """One bug: which promise it breaks, where that shows most cheaply, and the tests that must see it."""

    name: str
    promise: str
    tests: tuple[str, ...]
    plant: Callable[[], None]
    provider: str
    world: Literal["blocking", "asyncio"]
    warm: bool
    """Whether the run keeps channels between commands, as it does unless told otherwise."""


MUTATIONS: dict[str, Mutation] = {}


def breaks(
    promise: str,
    *tests: str,
    provider: str = "local",
    world: Literal["blocking", "asyncio"] = "asyncio",
    warm: bool = True,
) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """Make a function that patches the code into a planted bug, named like it.

    The blocking mirror keeps the methods that it was derived from, so what patches a method of an async class shows
    in the asyncio world. A test of the contract goes by its name, any other by its file and name. With ``warm=False``
    every command of the run opens a channel of its own: what is wrong with how one is launched shows there.
    """

    def register(plant: Callable[[], None]) -> Callable[[], None]:
        name = plant.__name__
        assert name not in MUTATIONS, f"two mutations are called {name}"
        MUTATIONS[name] = Mutation(name, promise, tests, plant, provider, world, warm)
        return plant

    return register


def replace(owner: Any, name: str, make: Callable[[Any], Any]) -> None:
    """Put ``make(original)`` in the place of something that must be there."""
    setattr(owner, name, make(getattr(owner, name)))


def load() -> dict[str, Mutation]:
    """Give every mutation there is."""
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        # The others are what runs and plants.
        if module.name not in ("__main__", "planted", "planting"):
            importlib.import_module(f"tests.mutations.{module.name}")
    return MUTATIONS


def plant() -> None:
    """Plant the bug that the environment names, if it names one."""
    name = os.environ.get(VARIABLE)
    if name:
        load()[name].plant()
