"""Connect options: what is known, what is refused, and that connecting itself asks for nothing."""

from __future__ import annotations

from typing import Any

import pytest
from sandboxkit_docker.options import ConnectOptions, connect_options

import sandboxkit
from sandboxkit import plugins
from sandboxkit.errors import (
    InvalidSpec,
    ProviderUnavailable,
)

from .conftest import USUAL


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"base_ulr": "x"}, "no connect option 'base_ulr'.*base_url"),
        ({"timeout": 0}, "positive"),
        ({"timeout": "60"}, "positive"),
        ({"timeout": 10**400}, "positive"),
        ({"timeout": 1e300}, "positive"),
        ({"base_url": 5}, "must be text"),
        ({"tls_ca": "x"}, "need base_url"),
        ({"base_url": "tcp://x:1", "tls_cert": "x"}, "belong together"),
        ({"base_url": "ssh://host"}, "ssh -L"),
        ({"base_url": "gopher://x"}, "do not work"),
        ({"base_url": "tcp://h:port"}, "do not work"),
        ({"base_url": "tcp://[::1"}, "do not work"),
        ({"base_url": "tcp://h:99999"}, "do not work"),
        ({"base_url": "tcp://x:1", "tls_cert": "/nonexistent", "tls_key": "/nonexistent"}, "do not work"),
    ],
)
def test_a_wrong_connect_option_is_named(options: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidSpec, match=says):
        sandboxkit.connect("docker", **options)


def test_the_environment_names_the_daemon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent/env.sock")
    with (
        sandboxkit.connect("docker", image=USUAL) as client,
        pytest.raises(ProviderUnavailable, match=r"no docker daemon at .*/nonexistent/env\.sock"),
    ):
        client.get("x")
    answer = plugins.probe("docker")
    assert not answer.works
    assert "/nonexistent/env.sock" in answer.reason


def test_an_address_of_the_environment_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for address in ("tcp://[::1", "tcp://h:port"):
        monkeypatch.setenv("DOCKER_HOST", address)
        with pytest.raises(InvalidSpec, match="do not work"):
            sandboxkit.connect("docker")


def test_connecting_asks_the_daemon_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    sandboxkit.connect("docker", base_url="tcp://192.0.2.1:1").close()


def test_known_options_are_those_of_the_class() -> None:
    assert connect_options({"timeout": 5}) == ConnectOptions(timeout=5)
