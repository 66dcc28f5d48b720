"""Hosts whose channels are kept, in three shells and two worlds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.warmside import (
    CutHost,
    Stage,
    make_host,
    stage,
)

PLACES = ("dash-blocking", "dash-asyncio", "bash-asyncio", "busybox-blocking")
SHELLS = ("dash-blocking", "bash-blocking", "busybox-blocking")


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    name, world = request.param.split("-")
    with stage(make_host(name, world, tmp_path_factory)) as made:
        yield made


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    name, world = request.param.split("-")
    with stage(make_host(name, world, tmp_path_factory)) as made:
        yield made


@pytest.fixture(params=["blocking", "asyncio"])
def dash(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with stage(make_host("dash", request.param, tmp_path_factory)) as made:
        yield made


@pytest.fixture(scope="module")
def cold(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A host of which no channel is kept."""
    with stage(make_host("dash", "blocking", tmp_path_factory), warm=False) as made:
        yield made


@pytest.fixture
def loop_stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with stage(make_host("dash", "asyncio", tmp_path_factory)) as made:
        yield made


@pytest.fixture(params=["blocking", "asyncio"])
def cut(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with stage(make_host("dash", request.param, tmp_path_factory, CutHost)) as made:
        yield made
