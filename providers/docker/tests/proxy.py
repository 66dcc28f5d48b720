"""A Unix-socket server between the provider and the daemon that loses, delays and cuts what passes."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

Fault = Literal["pass", "lose_reply", "refuse", "stall", "stall_reply", "late_reply", "garbage"]
"""What happens to a request: it passes; it reaches the daemon but its reply is lost and the connection drops; the
connection drops before the daemon sees it; it never reaches the daemon and is never answered; it reaches the daemon
and is never answered; its reply comes ``Proxy.delay`` seconds late; it is answered with bytes that are no HTTP."""


class Proxy:
    """Listens at ``path``; ``decide`` is asked about each request by its method and path."""

    def __init__(self, path: Path, upstream: str) -> None:
        self.path, self.upstream = path, upstream
        self.decide: Callable[[str, str], Fault] = lambda method, target: "pass"
        self.delay = 0.5
        self.slice: int | None = None
        """Bytes of a reply that are passed on at once; ``None`` for all."""
        self.seen: list[tuple[str, str]] = []
        self._stopping = threading.Event()
        self._dropping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(128)
        self._start(self._accept)

    @property
    def url(self) -> str:
        return f"unix://{self.path}"

    def drop(self) -> None:
        """Drop every connection that there is; new ones are taken."""
        self._dropping.set()
        for thread in self._threads[1:]:
            thread.join(5)
        self._dropping.clear()

    def close(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(5)
        self._listener.close()

    def requests(self, method: str, part: str) -> int:
        """Count the requests of this method whose path holds ``part``."""
        return sum(1 for seen, target in self.seen if seen == method and part in target)

    def _start(self, run: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=run, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._stopping.is_set():
            if select.select([self._listener], [], [], 0.05)[0]:
                self._start(self._serve, self._listener.accept()[0])

    def _serve(self, client: socket.socket) -> None:
        daemon = socket.socket(socket.AF_UNIX)
        with client, daemon, contextlib.suppress(OSError):
            daemon.connect(self.upstream)
            self._relay(client, daemon)

    def _relay(self, client: socket.socket, daemon: socket.socket) -> None:
        fault: Fault = "pass"
        raw = False
        while not self._stopping.is_set() and not self._dropping.is_set():
            for sock in select.select([client, daemon], [], [], 0.05)[0]:
                data = sock.recv(1 << 16)
                if not data:
                    return
                if sock is client:
                    if not raw:
                        # The provider sends a request in one or two pieces and waits for its answer: no pipelining.
                        method, _, rest = data.decode("latin-1").partition(" ")
                        if method in ("GET", "POST", "DELETE"):
                            target = rest.partition(" ")[0]
                            self.seen.append((method, target))
                            fault = self.decide(method, target)
                            raw = "Upgrade: tcp" in data.decode("latin-1") and fault == "pass"
                    if not self._forward(fault, client, daemon, data):
                        return
                else:
                    if fault in ("lose_reply", "garbage"):
                        if fault == "garbage":
                            client.sendall(b"what?\r\n\r\n")
                        return
                    if fault == "stall_reply":
                        continue
                    if fault == "late_reply":
                        time.sleep(self.delay)
                    step = self.slice or len(data)
                    for start in range(0, len(data), step):
                        client.sendall(data[start : start + step])

    @staticmethod
    def _forward(fault: Fault, client: socket.socket, daemon: socket.socket, data: bytes) -> bool:
        if fault == "refuse":
            return False
        if fault != "stall":
            daemon.sendall(data)
        return True
