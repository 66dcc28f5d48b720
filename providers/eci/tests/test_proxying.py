"""Proxies: those of the options count, then the environment's, and this machine is reached without one."""

from __future__ import annotations

import pytest
from sandboxkit_eci.emulator.testing import emulator
from sandboxkit_eci.proxying import proxy_of
from sandboxkit_eci.settings import ConnectOptions, connect_options

import sandboxkit

GIVEN = {"region_id": "cn-hangzhou", "access_key_id": "a", "access_key_secret": "b"}
NAMES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def options(**more: str) -> ConnectOptions:
    return connect_options({**GIVEN, **more}, {})


def test_the_options_proxy_counts_first(monkeypatch: pytest.MonkeyPatch) -> None:
    assert proxy_of("wss://eci.example/exec/", options()) is None
    monkeypatch.setenv("HTTPS_PROXY", "http://environment:1")
    assert proxy_of("wss://eci.example/exec/", options()) == "http://environment:1"
    assert proxy_of("ws://eci.example/exec/", options()) is None
    given = options(https_proxy="http://given:1", http_proxy="http://plain:1")
    assert proxy_of("wss://eci.example/exec/", given) == "http://given:1"
    assert proxy_of("ws://eci.example/exec/", given) == "http://plain:1"


def test_exceptions_of_the_environment_are_heeded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "environment:1")
    monkeypatch.setenv("NO_PROXY", ".example")
    assert proxy_of("wss://eci.example/exec/", options()) is None
    assert proxy_of("wss://127.0.0.1:8460/exec/", options()) is None
    assert proxy_of("wss://other.test/exec/", options()) == "http://environment:1"


def test_an_emulator_on_this_machine_is_reached_past_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    # Nothing listens there: whoever asked it would fail.
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    with emulator("none") as eci, sandboxkit.connect("eci", **eci.options, image="busybox:1") as client:
        with client.create() as box:
            assert box.info().id == box.id
        with (
            sandboxkit.connect("eci", **eci.options, http_proxy="http://localhost:1") as proxied,
            pytest.raises(sandboxkit.ProviderUnavailable),
        ):
            next(iter(proxied.list()))
