"""One exec session: a websocket on one side, a process on the other."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from typing import Any, Literal

import attrs
from aiohttp import WSMsgType, web
from aiohttp.abc import AbstractStreamWriter

from sandboxkit_eci.emulator import frames
from sandboxkit_eci.emulator.backend import Stream
from sandboxkit_eci.emulator.quirks import quirk

CLOSE_LIMIT = 10.0
"""Seconds that a client has to answer the server's close."""

BATCH = 512
"""Messages that are sent before others have their turn."""

SYNC_LIMIT = 1 << 20
"""Bytes of output that ``Sync=true`` gives at most; Alibaba documents none."""

SYNC_TIMEOUT = 30.0
"""Seconds that ``Sync=true`` waits for the command's end; Alibaba documents none."""


@attrs.frozen(kw_only=True)
class SessionQuirks:
    """What may be otherwise about a session. Byte counts are those of output, without channel bytes.

    The defaults are what clients of the real service rely on, or the best guess where they rely on nothing. Whose
    socket closes, a process sees the end of its input, or is hung up if it has a terminal, unless ``kill_on_close``
    says that it is killed (``True``) or notices nothing (``False``).
    """

    leading_empty_frame: bool = quirk(False, "begin with an empty message on channel 1")
    empty_frames: bool = quirk(False, "send an empty message, and one without even a channel, before each message")
    unknown_channel: bool = quirk(False, "send something on a channel without a meaning before each message")
    error_text_on_nonzero: bool = quirk(False, "say on channel 3 in words how a failed command ended")
    error_status: bool = quirk(False, "say on channel 3 how any command ended, as the JSON of the v4 protocol")
    encoding: Literal["binary", "text", "base64"] = quirk("binary", "text sends UTF-8 as text, base64 everything")
    split: int | Literal["random"] | None = quirk(None, "the most bytes of a message, or random")
    split_first: int | None = quirk(None, "split only that many bytes of a session, for the sake of speed")
    idle_close: float | None = quirk(60.0, "seconds without a message or ping after which the server closes")
    session_limit: float | None = quirk(None, "seconds after which the server closes, whatever goes on")
    subprotocols: Literal["ignored", "agreed"] = quirk(
        "ignored", "whether a client that asks for one of Kubernetes' subprotocols gets it, v4 with a status"
    )
    close_code: Literal[1000, 1001, 1006] = quirk(1000, "how the server closes; 1006 only drops the connection")
    kill_on_close: bool | None = quirk(None, "whether a process whose socket closes is killed; off: notices nothing")
    answer_pings: bool = quirk(True, "whether pings are answered")
    drop_after: int | None = quirk(None, "drop the connection after so many bytes; 0 at once")
    stall_after: int | None = quirk(None, "go silent after so many bytes, with the connection open")

    def __attrs_post_init__(self) -> None:
        if isinstance(self.split, int) and (self.split < 1 or isinstance(self.split, bool)):
            raise ValueError(f"split is a positive number of bytes or 'random', not {self.split!r}")


SUBPROTOCOLS = ("v4.channel.k8s.io", "v4.base64.channel.k8s.io", "channel.k8s.io", "base64.channel.k8s.io")
"""What Kubernetes' remotecommand may agree on."""


def agreed(quirks: SessionQuirks, subprotocol: str | None) -> SessionQuirks:
    """Give a session's quirks as the subprotocol that was agreed on has them, if one was."""
    if subprotocol is None:
        return quirks
    return attrs.evolve(
        quirks,
        encoding="base64" if "base64" in subprotocol else "binary",
        error_status=subprotocol.startswith("v4."),
        error_text_on_nonzero=not subprotocol.startswith("v4."),
        leading_empty_frame=True,
    )


class ExecWebSocket(web.WebSocketResponse):
    """The server's side of a session's websocket: no compression, no limit, and pings are seen."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        given = {"autoping": False, "compress": False, "max_msg_size": 0, "timeout": CLOSE_LIMIT, **kwargs}
        super().__init__(*args, **given)
        self._transport: asyncio.Transport | None = None
        self._output: AbstractStreamWriter | None = None

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter:
        self._transport = request.transport
        self._output = await super().prepare(request)
        return self._output

    async def send_messages(self, messages: Iterable[frames.Message]) -> None:
        """Send messages in one write, which costs little even if they are tiny; wait while the client is slow."""
        if self._transport is None or self._output is None or self.closed or self._transport.is_closing():
            raise ConnectionResetError("the client has gone")
        self._transport.write(b"".join(map(frames.wrap, messages)))
        await self._output.drain()

    def drop(self) -> None:
        """End the connection without a closing message, behind all that was sent."""
        if self._transport is not None:
            self._transport.close()

    async def end(self, code: int) -> None:
        """Close it with a code; 1006, which is for what no message closed, drops it."""
        if code == 1006:
            self.drop()
        else:
            await self.close(code=code)


class _Dropped(Exception):
    """A quirk ended the connection."""


@attrs.define(eq=False)
class _Session:
    websocket: ExecWebSocket
    stream: Stream
    tty: bool
    stdin: bool
    quirks: SessionQuirks
    splitter: frames.Splitter
    given: int = 0
    """Bytes of output that were sent."""
    active: float = 0.0
    """When the last message came or went."""
    writing: bool = False
    """Whether the process is slow to take its input: what the client sends meanwhile cannot be seen."""
    stalled: bool = False

    def touch(self) -> None:
        self.active = asyncio.get_running_loop().time()

    # -- output ---------------------------------------------------------------------------------------------------

    async def outgoing(self) -> None:
        """Send all that the process writes, and how it ended."""
        if self.quirks.drop_after == 0:
            raise _Dropped
        if self.quirks.stall_after == 0:
            await self.stall()
        if self.quirks.leading_empty_frame:
            await self.send(frames.STDOUT, b"")
        async for channel, data in self.stream:
            await self.give(frames.STDOUT if self.tty else channel, data)
        code = self.stream.exit_code
        if self.quirks.error_status:
            await self.send(frames.ERROR, frames.exit_status(code))
        elif self.quirks.error_text_on_nonzero and code:
            await self.send(frames.ERROR, frames.exit_text(code))

    async def give(self, channel: int, data: bytes) -> None:
        """Send output, or so much of it as the quirks let pass."""
        bounds = [bound for bound in (self.quirks.drop_after, self.quirks.stall_after) if bound is not None]
        data = data[: min((bound - self.given for bound in bounds), default=len(data))]
        batch: list[frames.Message] = []
        for piece in self.splitter.cut(data):
            batch += self.messages(channel, piece)
            if len(batch) >= BATCH:
                await self.websocket.send_messages(batch)
                self.touch()
                batch = []
                await asyncio.sleep(0)  # for whoever else is served
        await self.websocket.send_messages(batch)
        self.touch()
        self.given += len(data)
        if self.given == self.quirks.drop_after:
            raise _Dropped
        if self.given == self.quirks.stall_after:
            await self.stall()

    def messages(self, channel: int, piece: memoryview) -> Iterator[frames.Message]:
        """Give what is sent for one piece of output."""
        encoding = self.quirks.encoding
        if self.quirks.empty_frames:
            yield frames.encode(channel, b"", encoding)
            yield b""
        if self.quirks.unknown_channel:
            yield frames.encode(frames.UNKNOWN, b"unknown", encoding)
        yield frames.encode(channel, piece, encoding)

    async def send(self, channel: int, data: bytes) -> None:
        """Send one message that is no output."""
        await self.websocket.send_messages([frames.encode(channel, data, self.quirks.encoding)])
        self.touch()

    async def stall(self) -> None:
        self.stalled = True
        await asyncio.Event().wait()

    # -- input ----------------------------------------------------------------------------------------------------

    async def incoming(self) -> None:
        """Pass on what the client sends until it has gone."""
        while True:
            message = await self.websocket.receive()
            self.touch()
            if message.type in (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR):
                return
            if self.stalled:
                continue
            if message.type is WSMsgType.PING and self.quirks.answer_pings:
                await self.websocket.pong(message.data)
            elif message.type in (WSMsgType.BINARY, WSMsgType.TEXT):
                await self.take(message.data)

    async def take(self, message: frames.Message) -> None:
        channel, data = frames.decode(message) or (frames.UNKNOWN, b"")
        if channel == frames.STDIN and data and self.stdin:
            self.writing = True
            await self.stream.write(data)
            self.writing = False
            self.touch()
        elif channel == frames.RESIZE and (size := frames.decode_size(data)) is not None:
            await self.stream.resize(size.rows, size.columns)

    # -- its end --------------------------------------------------------------------------------------------------

    async def idle(self, limit: float) -> None:
        """Wait until nothing has come or gone for that long."""
        loop = asyncio.get_running_loop()
        left = limit
        while left > 0:
            await asyncio.sleep(left)
            left = limit if self.stalled or self.writing else self.active + limit - loop.time()

    async def run(self) -> None:
        """Serve until the process has ended, the client has gone, or a quirk ends it."""
        self.touch()
        outgoing = asyncio.create_task(self.outgoing())
        tasks = {outgoing, asyncio.create_task(self.incoming())}
        if self.quirks.idle_close is not None:
            tasks.add(asyncio.create_task(self.idle(self.quirks.idle_close)))
        if self.quirks.session_limit is not None:
            tasks.add(asyncio.create_task(asyncio.sleep(self.quirks.session_limit)))
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
            if not outgoing.done() or outgoing.cancelled() or outgoing.exception() is not None:
                await self.let_go()
        errors = [end for end in ends if isinstance(end, Exception)]
        if any(isinstance(error, _Dropped) for error in errors):
            self.websocket.drop()
            return
        await self.websocket.end(self.quirks.close_code)
        for error in errors:
            # A client that goes while it is sent something is like one that goes.
            if not isinstance(error, ConnectionError):
                raise error

    async def let_go(self) -> None:
        """Leave a process that has not ended, as the quirks say."""
        if self.quirks.kill_on_close:
            await self.stream.kill()
        if self.quirks.kill_on_close is False:
            await self.stream.close(end_input=False)
        else:
            await self.stream.close()


async def serve(
    websocket: ExecWebSocket, stream: Stream, *, tty: bool, stdin: bool = True, quirks: SessionQuirks | None = None
) -> None:
    """Join a process to a prepared websocket until one of them ends; then both are closed.

    Output is taken from the process only as fast as the client takes it, and nothing of it is lost at its end. Input
    goes the same way: while the process does not take it nothing is read, and so no ping is answered and no close is
    seen, as in Kubernetes' own server. With ``tty`` all output is on channel 1; without ``stdin`` input is ignored.
    """
    quirks = quirks or SessionQuirks()
    splitter = frames.Splitter(quirks.split, quirks.split_first)
    await _Session(websocket, stream, tty, stdin, quirks, splitter).run()


async def collect(stream: Stream, *, limit: int = SYNC_LIMIT, timeout: float = SYNC_TIMEOUT) -> str:
    """Run a process to its end for ``Sync=true``; give the first ``limit`` bytes of what it wrote, streams merged.

    Raises ``TimeoutError``; the process then runs on.
    """
    kept = bytearray()
    try:
        async with asyncio.timeout(timeout):
            async for _, data in stream:
                kept += data[: limit - len(kept)]
    finally:
        await stream.close()
    return kept.decode("utf-8", "replace")
