"""The blocking mirror runs coroutines to their end without suspending, and says so when one suspends."""

from __future__ import annotations

import asyncio
import inspect

import pytest

from sandboxkit import sync
from sandboxkit.client import AsyncClient
from sandboxkit.driver import run
from sandboxkit.files import AsyncFiles
from sandboxkit.process import AsyncProcess
from sandboxkit.sandbox import AsyncSandbox


async def add(a: int, b: int) -> int:
    return a + b


async def suspend() -> None:
    await asyncio.sleep(0)


def test_a_result_comes_back() -> None:
    assert run(add(1, 2)) == 3


def test_an_exception_comes_back() -> None:
    async def fail() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        run(fail())


def test_a_suspension_is_an_error_that_names_the_function() -> None:
    with pytest.raises(RuntimeError, match=r"suspend suspended in the blocking world"):
        run(suspend())


def test_it_works_inside_a_running_loop() -> None:
    async def main() -> int:
        return run(add(3, 4))

    assert asyncio.run(main()) == 7


INTERNAL = {"advance", "take", "check", "require", "error", "ended"}


@pytest.mark.parametrize(
    ("mirror", "original"),
    [
        (sync.Client, AsyncClient),
        (sync.Sandbox, AsyncSandbox),
        (sync.Process, AsyncProcess),
        (sync.Files, AsyncFiles),
    ],
)
def test_every_operation_has_both_forms_with_the_same_arguments(mirror: type, original: type) -> None:
    public = {name for name in vars(original) if not name.startswith("_")} - INTERNAL
    missing = public - set(vars(mirror)) - {"image"}
    assert missing == set()
    for name in public & set(vars(mirror)):
        theirs, ours = getattr(original, name), getattr(mirror, name)
        if callable(theirs) and callable(ours):
            assert inspect.signature(ours).parameters.keys() == inspect.signature(theirs).parameters.keys(), name
