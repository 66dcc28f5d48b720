"""What the tests of the eci provider share."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from typing import Any

import pytest
from sandboxkit_eci.emulator.backend import Backend
from sandboxkit_eci.emulator.testing import Emulator, emulator

from sandboxkit.aio import AsyncioWorld
from sandboxkit.driver import run
from sandboxkit.worlds import BlockingWorld

from .channels import Go, Scenario
from .endpoints import make_certificate


@pytest.fixture(params=["blocking", "asyncio"])
def go(request: pytest.FixtureRequest) -> Go:
    """Run a scenario in one world, and see that nothing of it is left."""

    def in_blocking(scenario: Scenario[Any]) -> Any:
        async def whole() -> Any:
            return await scenario(BlockingWorld())

        return run(whole())

    def in_asyncio(scenario: Scenario[Any]) -> Any:
        async def whole() -> Any:
            world = AsyncioWorld()
            try:
                return await scenario(world)
            finally:
                await world.close()
                assert {asyncio.current_task()} == asyncio.all_tasks()

        return asyncio.run(whole())

    return in_blocking if request.param == "blocking" else in_asyncio


@pytest.fixture
def backend() -> Backend | str:
    """What is behind the emulator: no processes, unless a module has a backend of its own."""
    return "none"


@pytest.fixture
def quirks() -> dict[str, Any]:
    """What the emulator does otherwise, unless a test says."""
    return {}


@pytest.fixture
def eci(backend: Backend | str, quirks: dict[str, Any]) -> Iterator[Emulator]:
    """An emulator."""
    with emulator(backend, quirks=quirks) as running:
        yield running


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def dead_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy of the environment's, which is never to be asked."""
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
