"""Pulling an image, from a daemon that answers as the test says."""

from __future__ import annotations

import contextlib
import logging
import select
import socket
import threading
from pathlib import Path

import pytest
from sandboxkit_docker import DockerOptions, RegistryAuth

import sandboxkit
from sandboxkit.errors import (
    SandboxError,
)


class Registry:
    """A daemon that has no image until it was pulled, and answers a pull with these lines."""

    def __init__(self, path: Path, *lines: bytes, status: int = 200) -> None:
        self.url, self.lines, self.status = f"unix://{path}", lines, status
        self.requests: list[bytes] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(16)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def close(self) -> None:
        self._stopping.set()
        self._thread.join(10)
        self._listener.close()

    def _run(self) -> None:
        while not self._stopping.is_set():
            if not select.select([self._listener], [], [], 0.05)[0]:
                continue
            peer, _ = self._listener.accept()
            with peer, contextlib.suppress(OSError):
                data = peer.recv(65536)
                self.requests.append(data)
                if b"/_ping" in data:
                    self._answer(peer, 200, b"OK")
                elif b"/images/create" in data:
                    self._answer(peer, self.status, b"".join(line + b"\r\n" for line in self.lines))
                else:
                    self._answer(peer, 404, b'{"message":"No such image: x:latest"}')

    @staticmethod
    def _answer(peer: socket.socket, status: int, body: bytes) -> None:
        head = f"HTTP/1.1 {status} X\r\nApi-Version: 1.41\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
        peer.sendall(head.encode() + body)


@pytest.mark.parametrize(
    ("lines", "status", "code"),
    [
        ((b'{"status":"Pulling"}', b'{"error":"manifest unknown"}'), 200, "image_not_found"),
        ((b'{"message":"pull access denied"}',), 404, "image_not_found"),
        ((b'{"message":"Get https://r: no such host"}',), 500, "image_not_found"),
        ((b'{"message":"toomanyrequests"}',), 500, "throttled"),
        ((b'{"message":"unauthorized: authentication required"}',), 500, "authentication_failed"),
        ((b'{"status":"Pull comp',), 200, "provider_unavailable"),
    ],
)
def test_a_pull_that_fails_says_why(
    tmp_path: Path, lines: tuple[bytes, ...], status: int, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sandboxkit.retry.ATTEMPTS", 1)
    monkeypatch.setattr("sandboxkit.retry.TURNS", 1)
    registry = Registry(tmp_path / "d.sock", *lines, status=status)
    try:
        with (
            sandboxkit.connect("docker", image="x", base_url=registry.url) as client,
            pytest.raises(SandboxError) as caught,
        ):
            client.create(ttl=60).__enter__()
        assert caught.value.code == code
    finally:
        registry.close()


def test_a_pull_tells_its_progress_and_sends_credentials_to_no_one_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sandboxkit_docker.pull.PROGRESS_PERIOD", 0.0)
    line = b'{"status":"Downloading","id":"a","progressDetail":{"current":1048576,"total":4194304}}'
    registry = Registry(tmp_path / "d.sock", line, b'{"status":"done"}')
    auth = DockerOptions(auth=RegistryAuth(username="u", password="hunter2-secret"))
    try:
        with (
            caplog.at_level(logging.INFO, logger="sandboxkit"),
            sandboxkit.connect("docker", image="reg.test/x:1", base_url=registry.url) as client,
            pytest.raises(sandboxkit.ImageNotFound) as caught,
        ):
            client.create(ttl=60, options=auth).__enter__()
    finally:
        registry.close()
    assert "pulling image reg.test/x:1: 1 of 4 MiB" in caplog.text
    assert "hunter2-secret" not in caplog.text + str(caught.value) + repr(caught.value)
    sent = [data for data in registry.requests if b"X-Registry-Auth" in data]
    assert len(sent) == 1
    assert b"/images/create?fromImage=reg.test%2Fx%3A1 " in sent[0]
