"""A running exec's stdin, stdout and stderr over one connection to the daemon."""

from __future__ import annotations

import re
from typing import Protocol

import attrs

from sandboxkit.connection import TryLater
from sandboxkit.errors import (
    InvalidSpec,
    NoCapacity,
    ProviderError,
    ProviderUnavailable,
    SandboxError,
    SandboxNotRunning,
)
from sandboxkit.model import STDERR, STDOUT, Chunk
from sandboxkit.provider import Exchange, World
from sandboxkit_docker.connection import DaemonConnection
from sandboxkit_docker.frames import BadFrame, FrameParser

DAEMON = 3

PAUSE = 0.01
"""Seconds between looks where no descriptor can be waited for."""

# After the upgrade the daemon has no other way to say that nothing was started than to write it on stdout.
_REFUSAL = re.compile(
    rb"(OCI runtime exec failed|unable to find user|unable to find group|no matching entries in"
    rb"|cannot exec in a|container [0-9a-f]+ is not running|failed to|Error response)[^\n]*\r\n\Z"
)


class Parser(Protocol):
    """What makes ``(stream, bytes)`` of the bytes that arrive."""

    @property
    def between_frames(self) -> bool: ...

    def feed(self, data: bytes) -> list[tuple[int, bytes]]: ...


@attrs.define(eq=False)
class DockerChannel:
    """See :class:`sandboxkit.provider.ByteChannel`. One task may send while another receives."""

    _world: World
    _connection: DaemonConnection
    _sandbox_id: str
    _parser: Parser = attrs.field(factory=FrameParser, repr=False)
    _held: bytes = attrs.field(default=b"", init=False, repr=False)
    _fresh: bool = attrs.field(default=True, init=False)
    _ended: bool = attrs.field(default=False, init=False)
    _deaf: bool = attrs.field(default=False, init=False)

    async def exchange(
        self, outgoing: bytes | memoryview = b"", *, receive: bool = True, until: float | None = None
    ) -> Exchange:
        with self._connection.use():
            return await self._exchange(outgoing, receive, until)

    async def _exchange(self, outgoing: bytes | memoryview, receive: bool, until: float | None) -> Exchange:
        await self._world.breathe()
        while True:
            if self._connection.closing:
                raise ProviderUnavailable("the channel was closed")
            sent, later = self._send(outgoing)
            chunks: tuple[Chunk, ...] = ()
            closed = False
            if receive:
                chunks, closed, again = self._receive()
                later = later or again
            elif self._ended:
                # There was an end, which the one who receives was told.
                closed = True
            if sent or chunks or closed:
                return Exchange(sent, chunks, closed)
            if until is not None and self._world.now() >= until:
                return Exchange()
            await self._wait(bool(outgoing) and not self._deaf, receive, later, until)

    async def _wait(self, send: bool, receive: bool, later: bool, until: float | None) -> None:
        if later or not (send or receive):
            # TLS wants the other direction first, which another task may be waiting for; or nobody takes the
            # input any more, and the one who receives will see why.
            pause = PAUSE if until is None else min(PAUSE, max(0.0, until - self._world.now()))
            await self._world.sleep(pause)
            return
        fd = {self._connection.descriptor}
        await self._world.ready(read=fd if receive else (), write=fd if send else (), until=until)

    def _send(self, outgoing: bytes | memoryview) -> tuple[int, bool]:
        if not outgoing or self._deaf:
            return 0, False
        try:
            return self._connection.send(outgoing), False
        except TryLater:
            return 0, True
        except OSError:
            # What the process wrote may still be on its way: only receiving tells how it ended.
            self._deaf = True
            return 0, False

    def _receive(self) -> tuple[tuple[Chunk, ...], bool, bool]:
        if self._ended:
            return (), True, False
        try:
            data = self._connection.receive()
        except TryLater:
            return (), False, True
        except OSError as exc:
            raise ProviderUnavailable(f"the connection to the docker daemon broke: {type(exc).__name__}") from exc
        if data is None:
            return (), False, False
        if not data:
            return self._end()
        try:
            frames = self._parser.feed(data)
        except BadFrame as exc:
            raise ProviderError(f"the docker daemon's stream cannot be read: {exc}") from exc
        return self._pass_on(frames), False, False

    def _pass_on(self, frames: list[tuple[int, bytes]]) -> tuple[Chunk, ...]:
        if any(stream == DAEMON for stream, _ in frames):
            said = b"".join(data for stream, data in frames if stream == DAEMON)
            raise ProviderError(
                f"the docker daemon failed during the command: {said.decode('utf-8', 'replace').strip()}"
            )
        if self._held:
            frames = [(STDOUT, self._held), *frames]
            self._held = b""
        elif self._fresh and len(frames) == 1 and frames[0][0] == STDOUT and _REFUSAL.match(frames[0][1]):
            # Perhaps the command's own words: they are given when anything follows them.
            self._held = frames[0][1]
            frames = []
        if frames:
            self._fresh = False
        return tuple(Chunk(STDERR if stream == STDERR else STDOUT, data) for stream, data in frames)

    def _end(self) -> tuple[tuple[Chunk, ...], bool, bool]:
        if self._connection.closing:
            # An end that was made here looks like the daemon's.
            raise ProviderUnavailable("the channel was closed")
        self._ended = True
        if self._held:
            raise refusal(self._sandbox_id, self._held.decode("utf-8", "replace").strip())
        if not self._parser.between_frames:
            raise ProviderUnavailable("the docker daemon dropped the connection in the middle of the output")
        return (), True, False

    async def close(self) -> None:
        self._connection.close()


def refusal(sandbox_id: str, message: str) -> SandboxError:
    """Give the error for an exec that the daemon accepted and could not start."""
    if re.search("is not running|stopped (state|container)", message):
        return SandboxNotRunning(f"sandbox {sandbox_id} is not running", status="stopped")
    if re.search("unable to find (user|group)|no matching entries", message):
        return InvalidSpec(f"sandbox {sandbox_id} has no such user: {message}")
    if re.search("resource temporarily unavailable|cannot allocate memory|no space left|connection reset", message):
        return NoCapacity(f"sandbox {sandbox_id} has no room for another process: {message}")
    return ProviderError(f"the docker daemon could not start a process in sandbox {sandbox_id}: {message}")
