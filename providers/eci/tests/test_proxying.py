"""Proxies: those of the options count, then the environment's, and this machine is reached without one."""

from __future__ import annotations

import base64
import contextlib
import logging
import re
import select
import socket
import socketserver
import threading

import pytest
from sandboxkit_eci.emulator.testing import emulator
from sandboxkit_eci.proxying import proxy_of
from sandboxkit_eci.settings import ConnectOptions, connect_options

import sandboxkit
from sandboxkit import plugins

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


class Relay(socketserver.ThreadingTCPServer):
    """A proxy that leads every name to the emulator, and notes what it was asked for."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", 0), RelayedConnection)
        self.target = port
        self.asked: list[str] = []
        self.known: set[str] = set()


class RelayedConnection(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        relay = self.server
        assert isinstance(relay, Relay)
        head = b""
        while b"\r\n\r\n" not in head:
            if not (got := self.request.recv(65536)):
                return
            head += got
        line, *fields = head.split(b"\r\n\r\n")[0].decode().split("\r\n")
        relay.asked.append(" ".join(line.split()[:2]).partition("?")[0])
        relay.known |= {field.partition(": ")[2] for field in fields if field.lower().startswith("proxy-auth")}
        with socket.create_connection(("127.0.0.1", relay.target)) as upstream:
            if line.startswith("CONNECT"):
                self.request.sendall(b"HTTP/1.1 200 Established\r\n\r\n")
            else:
                upstream.sendall(self.plain(head))
            self.pump(upstream)

    def plain(self, data: bytes) -> bytes:
        """Take the endpoint out of the request's line, as a proxy does."""
        return re.sub(rb"POST http://[^/]*/", b"POST /", data)

    def pump(self, upstream: socket.socket) -> None:
        other = {self.request: upstream, upstream: self.request}
        while True:
            for ready in select.select(list(other), [], [])[0]:
                with contextlib.suppress(ConnectionError):
                    if got := ready.recv(65536):
                        other[ready].sendall(self.plain(got) if ready is self.request else got)
                        continue
                return


@pytest.mark.skipif(not plugins.probe("local").works, reason="the emulator's containers are local's")
def test_the_api_and_the_websockets_go_through_the_proxy_and_its_password_nowhere_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    with emulator("local") as eci, Relay(int(eci.endpoint.rpartition(":")[2])) as relay:
        thread = threading.Thread(target=relay.serve_forever)
        thread.start()
        try:
            endpoint = f"http://eci.invalid:{relay.target}"
            proxy = f"http://user:hunter2-hunter2@127.0.0.1:{relay.server_address[1]}"
            given = {**eci.options, "endpoint": endpoint, "http_proxy": proxy, "image": "busybox:1"}
            with sandboxkit.connect("eci", **given) as client, client.create() as box:
                assert box.exec("echo through", timeout=30).text == "through\n"
            asked = set(relay.asked)
        finally:
            relay.shutdown()
            thread.join()
    assert asked == {f"POST {endpoint}/", f"CONNECT eci.invalid:{relay.target}"}
    assert relay.known == {"Basic " + base64.b64encode(b"user:hunter2-hunter2").decode()}
    assert "hunter2" not in caplog.text
