"""The least that Docker allows: HTTP/1.1 over the daemon's Unix socket, in blocking calls, with nothing to spare.

What a minimal client leaves out is what sandboxkit's figures are judged by: no timeouts, no budgets, no records, no
tree to end. It does the same operations: whole output split into two streams, the exit code asked for, files that
appear whole.
"""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any, Self

API = "/v1.40"


class RawError(Exception):
    """The daemon answered with something else than expected."""


class RawDocker:
    """One kept-alive connection for calls; each exec's stream has a connection of its own, as it takes it over."""

    def __init__(self, path: str | None = None) -> None:
        self.path = path or os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix("unix://")
        self._socket = self._connect()
        self._buffer = bytearray()

    def _connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(self.path)
        return connection

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._socket.close()

    # -- HTTP -----------------------------------------------------------------------------------------------------

    @staticmethod
    def _request(method: str, path: str, body: Any, extra: str = "") -> bytes:
        data = b"" if body is None else json.dumps(body).encode()
        head = f"{method} {API}{path} HTTP/1.1\r\nHost: docker\r\nContent-Type: application/json\r\n{extra}"
        return f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data

    def _more(self) -> None:
        data = self._socket.recv(1 << 16)
        if not data:
            raise RawError("the daemon closed the connection")
        self._buffer += data

    def _line(self) -> bytes:
        while (end := self._buffer.find(b"\r\n")) < 0:
            self._more()
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        return line

    def _exactly(self, size: int) -> bytes:
        while len(self._buffer) < size:
            self._more()
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return data

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Make a call and give the JSON of its answer, ``None`` for an empty one."""
        self._socket.sendall(self._request(method, path, body))
        status = int(self._line().split()[1])
        headers = {}
        while line := self._line():
            name, _, value = line.decode().partition(":")
            headers[name.lower()] = value.strip()
        if status == 204 or status == 304:
            return None
        if headers.get("transfer-encoding") == "chunked":
            data = b""
            while size := int(self._line(), 16):
                data += self._exactly(size)
                self._line()
            self._line()
        else:
            data = self._exactly(int(headers.get("content-length", 0)))
        if status >= 400:
            raise RawError(f"{method} {path}: {status} {data!r}")
        return json.loads(data) if data else None

    # -- operations -----------------------------------------------------------------------------------------------

    def create(self, body: Any, name: str) -> str:
        """Create and start a container."""
        made: str = self.call("POST", f"/containers/create?name={name}", body)["Id"]
        self.call("POST", f"/containers/{made}/start")
        return made

    def delete(self, container: str) -> None:
        """Remove a container, running or not."""
        self.call("DELETE", f"/containers/{container}?force=1&v=1")

    def _exec(self, container: str, argv: list[str], *, stdin: bool) -> str:
        body = {"Cmd": argv, "AttachStdin": stdin, "AttachStdout": True, "AttachStderr": True}
        made: str = self.call("POST", f"/containers/{container}/exec", body)["Id"]
        return made

    def _start(self, run: str) -> socket.socket:
        stream = self._connect()
        upgrade = "Connection: Upgrade\r\nUpgrade: tcp\r\n"
        stream.sendall(self._request("POST", f"/exec/{run}/start", {"Detach": False, "Tty": False}, upgrade))
        return stream

    @staticmethod
    def _head(stream: socket.socket) -> bytes:
        """Receive the answer's head; give what came after it."""
        head = b""
        while b"\r\n\r\n" not in head:
            piece = stream.recv(1 << 16)
            if not piece:
                raise RawError("the daemon closed the stream")
            head += piece
        return head.partition(b"\r\n\r\n")[2]

    def exec(self, container: str, argv: list[str], data: bytes | None = None) -> tuple[int, bytes, bytes]:
        """Run a command to its end: its exit code, all of its stdout and all of its stderr."""
        run = self._exec(container, argv, stdin=data is not None)
        with self._start(run) as stream:
            received = [self._head(stream)]
            if data is not None:
                stream.sendall(data)
                stream.shutdown(socket.SHUT_WR)
            while piece := stream.recv(1 << 16):
                received.append(piece)
        stdout, stderr = split(b"".join(received))
        return self.call("GET", f"/exec/{run}/json")["ExitCode"], stdout, stderr

    def put_file(self, container: str, local: Path, path: str) -> None:
        """Write a file from one of this machine, in bounded memory."""
        run = self._exec(container, ["sh", "-c", WRITE, "sh", path, str(local.stat().st_size)], stdin=True)
        with self._start(run) as stream, local.open("rb") as file:
            self._head(stream)
            while piece := file.read(1 << 20):
                stream.sendall(piece)
            stream.shutdown(socket.SHUT_WR)
            while stream.recv(1 << 16):
                continue
        if self.call("GET", f"/exec/{run}/json")["ExitCode"]:
            raise RawError(f"write {path}")

    def get_file(self, container: str, path: str, local: Path) -> None:
        """Read a file into one of this machine, which appears whole, in bounded memory."""
        run = self._exec(container, ["cat", path], stdin=False)
        temporary = local.with_name(f"{local.name}.new")
        with self._start(run) as stream, temporary.open("wb", buffering=0) as file:
            held = self._head(stream)
            left = 0
            while True:
                rest = memoryview(held)
                while rest:
                    if not left:
                        if len(rest) < 8:
                            break
                        left, rest = int.from_bytes(rest[4:8], "big"), rest[8:]
                    file.write(rest[:left])
                    taken = min(left, len(rest))
                    left, rest = left - taken, rest[taken:]
                more = stream.recv(1 << 18)
                if not more:
                    break
                held = bytes(rest) + more if rest else more
        if self.call("GET", f"/exec/{run}/json")["ExitCode"]:
            raise RawError(f"read {path}")
        temporary.rename(local)

    def write(self, container: str, path: str, data: bytes) -> None:
        """Write a file so that it appears whole: beside it, of the right length, then renamed."""
        code, _, stderr = self.exec(container, ["sh", "-c", WRITE, "sh", path, str(len(data))], data)
        if code:
            raise RawError(f"write {path}: {stderr!r}")

    def read(self, container: str, path: str) -> bytes:
        """Read a file."""
        code, data, stderr = self.exec(container, ["cat", path])
        if code:
            raise RawError(f"read {path}: {stderr!r}")
        return data


WRITE = 't="$1.$$"; cat >"$t" && [ "$(stat -c %s "$t")" = "$2" ] && mv -f "$t" "$1"'
"""The same promise as ``files.write``: a stream that was cut short never becomes the file."""


def split(frames: bytes) -> tuple[bytes, bytes]:
    """Split Docker's frames (a stream's number, three zeros, a length of four bytes, the data) into two streams."""
    view = memoryview(frames)
    streams: dict[int, list[memoryview]] = {1: [], 2: []}
    at = 0
    while at < len(view):
        size = int.from_bytes(view[at + 4 : at + 8], "big")
        streams[view[at]].append(view[at + 8 : at + 8 + size])
        at += 8 + size
    return b"".join(streams[1]), b"".join(streams[2])
