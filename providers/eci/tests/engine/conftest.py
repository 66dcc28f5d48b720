"""The tests in this folder run the emulator's containers as sandboxes of ``local`` and of ``docker``.

So they are all that needs a Docker engine here, and ``.ci/run`` runs the folder where it may have the engine.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Literal

import pytest
from sandboxkit_eci.emulator.backends import SandboxBackend

from sandboxkit import plugins

Kind = Literal["local", "docker"]

Doing = Callable[[SandboxBackend], Coroutine[Any, Any, None]]


@pytest.fixture(scope="session")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One state directory for all tests, so that ``local``'s side in the sandbox is compiled once."""
    return tmp_path_factory.mktemp("emulated") / "state"


@pytest.fixture(params=["local", "docker"])
def kind(request: pytest.FixtureRequest) -> Kind:
    """The provider behind the containers; where it does not work there is a skip."""
    if sys.platform != "linux":
        pytest.skip("the backends of these tests need Linux")
    found: Kind = request.param
    answer = plugins.probe(found)
    if not answer.works:
        if found in os.environ.get("SANDBOXKIT_REQUIRE", "").split(","):
            pytest.fail(f"SANDBOXKIT_REQUIRE names {found}, but: {answer.reason}", pytrace=False)
        pytest.skip(answer.reason)
    return found


@pytest.fixture
def run(kind: Kind, state: Path) -> Callable[..., None]:
    """Run something with a backend that is closed afterwards, and leaves nothing."""

    def give(doing: Doing, **options: Any) -> None:
        async def body() -> None:
            options.update({"state_dir": str(state)} if kind == "local" else {"pull": "never"})
            backend = SandboxBackend(kind, **options)
            client = backend.client
            try:
                await doing(backend)
                await backend.close()
            finally:
                await backend.close()
            again = SandboxBackend(kind, owner=backend.owner, **options)
            assert [info async for info in again.client.list() if info.owner == backend.owner] == []
            await again.close()
            assert client.owner == backend.owner

        asyncio.run(asyncio.wait_for(body(), 120))

    return give
