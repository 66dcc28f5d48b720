"""Talking to a sandbox's PID 1 over its socket, in either world and without threads."""

from __future__ import annotations

import array
import contextlib
import errno
import os
import socket
from collections.abc import Sequence

from sandboxkit.errors import DeadlineExceeded, ProviderUnavailable, SandboxNotFound, SandboxNotRunning
from sandboxkit.model import Status
from sandboxkit.provider import World
from sandboxkit_local.state import State
from sandboxkit_local.wire import FrameError, FrameReader

_LONGEST_PATH = 107
_RIGHTS = 4 * array.array("i").itemsize


class Connection:
    """One connection to PID 1: one request, and its answers."""

    def __init__(self, world: World, sock: socket.socket) -> None:
        self._world = world
        self._sock = sock
        self._reader = FrameReader()
        self._frames: list[list[bytes]] = []
        self.fd = sock.fileno()
        self.descriptors: list[int] = []
        self.ended = False

    async def send(self, data: bytes, *, descriptors: Sequence[int] = (), until: float | None) -> bool:
        """Send all of it; ``False`` when the time or the sandbox ended first."""
        rest = memoryview(data)
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
        while rest:
            try:
                rest = rest[self._sock.sendmsg([rest], rights, socket.MSG_NOSIGNAL) :]
                rights = []
            except BlockingIOError:
                _, writable = await self._world.ready(write=(self.fd,), until=until)
                if not writable:
                    return False
            except OSError:
                return False
        return True

    def receive(self) -> list[bytes] | None:
        """Give the next answer if it is there; sets ``ended`` at the end."""
        while not self._frames and not self.ended:
            try:
                data, control, _, _ = self._sock.recvmsg(
                    65536, socket.CMSG_SPACE(_RIGHTS), getattr(socket, "MSG_CMSG_CLOEXEC", 0)
                )
            except BlockingIOError:
                return None
            except OSError:
                data, control = b"", []
            for level, kind, payload in control:
                if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                    fds = array.array("i")
                    fds.frombytes(payload[: len(payload) - len(payload) % fds.itemsize])
                    self.descriptors += fds
            try:
                self._frames += self._reader.feed(data)
            except FrameError:
                data = b""
            self.ended = not data
        return self._frames.pop(0) if self._frames else None

    async def answer(self, *, until: float | None) -> list[bytes] | None:
        """Wait for the next answer; ``None`` at ``until`` or at the end."""
        while True:
            found = self.receive()
            if found is not None or self.ended:
                return found
            readable, _ = await self._world.ready(read=(self.fd,), until=until)
            if not readable and until is not None and self._world.now() >= until:
                return self.receive()

    def hang_up(self) -> None:
        """Let both sides see the end, and keep the descriptor."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Hang up; safe to repeat."""
        self._sock.close()
        self.ended = True


async def connect(world: World, state: State, sandbox_id: str, *, until: float | None) -> Connection:
    """Connect to a sandbox's PID 1.

    Raises ``SandboxNotFound`` where there is no such sandbox, ``SandboxNotRunning`` where its PID 1 is dead or not
    there yet, ``DeadlineExceeded`` at ``until``.
    """
    path = f"{state.of(sandbox_id)}/sock"
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        while True:
            code = _connect(sock, path)
            if code == 0:
                return Connection(world, sock)
            if code != errno.EAGAIN:
                raise _refusal(state, sandbox_id, code)
            # So many are connecting that the queue is full; there is nothing to wait on.
            if until is not None and world.now() >= until:
                raise DeadlineExceeded(f"sandbox {sandbox_id} takes no connections: its queue is full")
            await world.sleep(0.005)
    except BaseException:
        sock.close()
        raise


def _connect(sock: socket.socket, path: str) -> int:
    if len(os.fsencode(path)) <= _LONGEST_PATH:
        return sock.connect_ex(path)
    try:
        directory = os.open(path.rpartition("/")[0], os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as exc:
        return exc.errno or errno.ENOENT
    try:
        return sock.connect_ex(f"/proc/self/fd/{directory}/sock")
    finally:
        os.close(directory)


def _refusal(state: State, sandbox_id: str, code: int) -> Exception:
    status = state.info(sandbox_id).status  # SandboxNotFound when there is none
    if code in (errno.ECONNREFUSED, errno.ENOENT):
        # A PID 1 that is dying has let go of its socket a moment before its lock.
        shown = Status.STOPPED if status is Status.RUNNING else status
        return SandboxNotRunning(f"local sandbox {sandbox_id} is {shown}", status=shown)
    if code == errno.ENOTDIR:
        return SandboxNotFound(f"no local sandbox {sandbox_id!r}")
    return ProviderUnavailable(f"cannot reach local sandbox {sandbox_id}: {os.strerror(code)}")
