"""What the tests of the docker provider share."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sandboxkit_docker.daemon import Daemon
from sandboxkit_docker.options import ConnectOptions

import sandboxkit
from sandboxkit import plugins
from sandboxkit.sync import Client, Sandbox

from .proxy import Proxy

USUAL = "sandboxkit-test:usual"
BUSYBOX = "sandboxkit-test:busybox"

PATIENCE = 20.0
"""Seconds after which what should happen at once is taken to never happen."""


@pytest.fixture(scope="session")
def daemon() -> Iterator[Daemon]:
    """The daemon itself, for looking and arranging; without it and the test images there is a skip."""
    answer = plugins.probe("docker")
    why = "" if answer.works else answer.reason
    made = Daemon(ConnectOptions())
    try:
        for image in (USUAL, BUSYBOX):
            if not why and made.request("GET", f"/images/{image}/json", until=None).status != 200:
                why = f"the image {image} is missing; .ci/images makes it"
        if why and "docker" in os.environ.get("SANDBOXKIT_REQUIRE", "").split(","):
            pytest.fail(f"SANDBOXKIT_REQUIRE names docker, but: {why}", pytrace=False)
        if why:
            pytest.skip(why)
        yield made
    finally:
        made.close()


@pytest.fixture(scope="session")
def owner() -> str:
    """What everything that these tests make belongs to."""
    return f"docker-tests-{secrets.token_hex(4)}"


def containers(daemon: Daemon, owner: str) -> list[dict[str, Any]]:
    """Give all containers of an owner, in any state, as the daemon lists them."""
    query = {"all": 1, "filters": f'{{"label":["sandboxkit.owner={owner}"]}}'}
    answer = daemon.request("GET", "/containers/json", until=None, query=query)
    assert answer.status == 200
    return list(answer.body)


@pytest.fixture(scope="session")
def client(daemon: Daemon, owner: str) -> Iterator[Client]:
    with sandboxkit.connect("docker", image=USUAL, owner=owner) as made:
        yield made
        for info in made.list():
            if info.owner == owner:
                made.delete(info.id)


@pytest.fixture(scope="module")
def shared(client: Client) -> Iterator[Sandbox]:
    """A sandbox for tests that leave nothing in it."""
    with client.create(ttl=600) as made:
        yield made


@pytest.fixture
def box(client: Client) -> Iterator[Sandbox]:
    """A sandbox of the test's own."""
    with client.create(ttl=300) as made:
        yield made


@pytest.fixture
def remains(daemon: Daemon) -> Iterator[Callable[[], list[str]]]:
    """An owner's containers that a fault test must not leave; the fixture's owner is the test's own."""
    owner = f"docker-faults-{secrets.token_hex(4)}"

    def give() -> list[str]:
        return [entry["State"] for entry in containers(daemon, owner)]

    give.owner = owner  # type: ignore[attr-defined]
    yield give
    for entry in containers(daemon, owner):
        daemon.request("DELETE", f"/containers/{entry['Id']}", until=None, query={"force": 1, "v": 1})


@pytest.fixture
def proxy(daemon: Daemon, tmp_path: Path) -> Iterator[Proxy]:
    if not daemon.address.removeprefix("http+").startswith("unix://"):
        pytest.skip("the daemon is not reached over a Unix socket")
    made = Proxy(tmp_path / "proxy.sock", daemon.address.removeprefix("http+").removeprefix("unix://"))
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def through(proxy: Proxy, remains: Any) -> Iterator[Client]:
    """A client that reaches the daemon through the proxy."""
    with sandboxkit.connect("docker", image=USUAL, owner=remains.owner, base_url=proxy.url) as made:
        yield made


def eventually(true: Callable[[], object], what: str, *, within: float = PATIENCE) -> None:
    """Wait until something is so."""
    until = time.monotonic() + within
    while not true():
        assert time.monotonic() < until, f"never: {what}"
        time.sleep(0.02)
