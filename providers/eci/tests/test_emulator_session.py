"""A session: what a client of the websocket gets, by default and with each quirk."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

import attrs
import pytest
from sandboxkit_eci.emulator.backend import ContainerSpec
from sandboxkit_eci.emulator.backends.nothing import Answer, AnswerStream, NoBackend, NoMachine
from sandboxkit_eci.emulator.session import SessionQuirks, collect
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from .loopclock import LoopClock
from .served import PATIENCE, join, messages, output, read_until, served

Test = Callable[[], Coroutine[Any, Any, None]]

BOX = ContainerSpec(group_id="eci-1", name="main", image="any")


@attrs.define(eq=False)
class Says:
    """Gives its output at once and ends, unless told to go on; then it says its input and ends at ``.``."""

    said: Iterable[tuple[int, bytes]] = ()
    code: int = 0
    goes_on: bool = False
    exit_code: int | None = None
    heard: bytes = b""

    def feed(self, data: bytes) -> Iterable[tuple[int, bytes]]:
        said, self.said = self.said, ()
        self.heard += data
        if not self.goes_on or self.heard.endswith(b"."):
            self.exit_code = self.code
        return [*said, (1, data)]


async def start(answer: Answer, *, tty: bool = False) -> AnswerStream:
    machine: NoMachine = await NoBackend(lambda argv: answer).start(BOX)
    return await machine.exec(("any",), tty=tty)


async def heard(answer: Answer, *, tty: bool = False, **quirks: Any) -> list[bytes | str]:
    async with served(await start(answer, tty=tty), tty=tty, quirks=SessionQuirks(**quirks)) as client:
        return await messages(client)


def test_output_comes_by_channel_and_then_the_socket_closes() -> None:
    async def body() -> None:
        async with served(await start(Says([(1, b"out"), (2, b"err"), (1, b"more")], code=3))) as client:
            assert await messages(client) == [b"\x01out", b"\x02err", b"\x01more"]
            assert client.close_code == 1000

    asyncio.run(body())


def test_on_a_terminal_all_output_is_on_channel_1() -> None:
    assert asyncio.run(heard(Says([(1, b"a"), (2, b"b")]), tty=True)) == [b"\x01a", b"\x01b"]


def test_input_of_either_kind_arrives() -> None:
    async def body() -> None:
        answer = Says(goes_on=True)
        async with served(await start(answer)) as client:
            await client.send(b"\x00one ")
            await client.send(b"")
            await client.send(b"\x00")
            await client.send(b"\x07not for it")
            await client.send("0dHdvIA==")
            await client.send("\x00three.")
            assert await output(client) == {1: b"one two three."}

    asyncio.run(body())


def test_what_is_no_size_is_overheard() -> None:
    async def body() -> None:
        async with served(await start(Says(goes_on=True))) as client:
            await client.send(b"\x04no json")
            await client.send(b'\x04{"Width":80,"Height":24}')
            await client.send(b"\x00.")
            assert await output(client) == {1: b"."}

    asyncio.run(body())


def test_quirks_of_messages() -> None:
    def said(**quirks: Any) -> list[bytes | str]:
        return asyncio.run(heard(Says([(1, b"abc"), (2, b"\xff")], code=3), **quirks))

    assert said(leading_empty_frame=True) == [b"\x01", b"\x01abc", b"\x02\xff"]
    assert said(empty_frames=True) == [b"\x01", b"", b"\x01abc", b"\x02", b"", b"\x02\xff"]
    assert said(unknown_channel=True) == [b"\x09unknown", b"\x01abc", b"\x09unknown", b"\x02\xff"]
    assert said(split=1) == [b"\x01a", b"\x01b", b"\x01c", b"\x02\xff"]
    assert said(split=2, split_first=2) == [b"\x01ab", b"\x01c", b"\x02\xff"]
    assert said(encoding="text") == ["\x01abc", b"\x02\xff"]
    assert said(encoding="base64") == ["1YWJj", "2/w=="]
    assert said(error_text_on_nonzero=True)[2:] == [b"\x03command terminated with non-zero exit code: exit status 3"]
    assert b'"ExitCode"' in bytes(said(error_status=True)[2])


def test_a_quirk_that_cannot_be_is_refused() -> None:
    for split in (0, -1, True):
        with pytest.raises(ValueError, match="split is"):
            SessionQuirks(split=split)


def test_random_splitting_loses_nothing() -> None:
    data = bytes(range(256)) * 100
    found = asyncio.run(heard(Says([(1, data)]), split="random"))
    assert join(found) == {1: data}
    assert len(found) > 1


def test_tiny_messages_leave_others_their_turn() -> None:
    async def body() -> None:
        stream = await start(Says([(1, bytes(100_000))]))
        turns = 0

        async def others() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        counting = asyncio.create_task(others())
        async with served(stream, quirks=SessionQuirks(split=1)) as client:
            first = await client.recv()
            before = turns
            assert len(await messages(client)) == 99_999
        counting.cancel()
        assert len(first) == 2
        assert turns - before > 150

    asyncio.run(body())


@pytest.mark.parametrize("code", [1000, 1001, 1006])
def test_the_server_closes_as_it_is_told_after_the_last_byte(code: int) -> None:
    async def body() -> None:
        data = bytes(1 << 20)
        stream = await start(Says([(1, data)]))
        async with served(stream, quirks=SessionQuirks(close_code=code)) as client:  # type: ignore[arg-type]
            assert await output(client) == {1: data}
            assert client.close_code == code
            # A close that says 1006 would be answered as an error.
            assert (client.protocol.close_sent is None) == (code == 1006)

    asyncio.run(body())


@pytest.mark.parametrize("after", [0, 10])
def test_a_connection_drops_after_so_many_bytes(after: int) -> None:
    async def body() -> None:
        stream = await start(Says([(1, b"abcdefg" * 3)], goes_on=True))
        async with served(stream, quirks=SessionQuirks(drop_after=after)) as client:
            assert b"".join((await output(client)).values()) == (b"abcdefg" * 3)[:after]
            assert client.close_code == 1006

    asyncio.run(body())


@pytest.mark.parametrize("after", [0, 10])
def test_a_connection_stalls_after_so_many_bytes(after: int) -> None:
    async def body() -> None:
        answer = Says([(1, b"abcdefg" * 3)], goes_on=True)
        quirks = SessionQuirks(stall_after=after, idle_close=0.05)
        async with served(await start(answer), quirks=quirks) as client:
            if after:
                assert await read_until(client, b"abcdefgabc") == b"abcdefgabc"
            await client.send(b"\x00ignored.")
            pong = await client.ping()
            # More than the time of the idle close: neither that nor a pong comes, nor the output.
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asyncio.gather(client.recv(), pong), 0.3)
        assert b"ignored" not in answer.heard

    asyncio.run(body())


def test_a_silent_socket_is_closed_and_pings_keep_it_open() -> None:
    async def body() -> None:
        quirks = SessionQuirks(idle_close=1000.0)
        async with served(await start(Says(goes_on=True)), quirks=quirks) as client:
            clock = LoopClock(asyncio.get_running_loop())
            for _ in range(4):
                clock.forward(700.0)
                await (await client.ping())
            await client.send(b"\x00still here ")
            assert await read_until(client, b"still here ") == b"still here "
            clock.forward(1001.0)
            with pytest.raises(ConnectionClosed):
                await asyncio.wait_for(client.recv(), PATIENCE)
            assert client.close_code == 1000

    asyncio.run(body())


def test_a_slow_reader_loses_nothing_and_is_waited_for() -> None:
    @attrs.define(eq=False)
    class Counts:
        """Gives a piece whenever it is asked, so that a test sees how far ahead it is."""

        pieces: int
        exit_code: int | None = None
        given: int = 0

        def __aiter__(self) -> Counts:
            return self

        async def __anext__(self) -> tuple[int, bytes]:
            await asyncio.sleep(0)
            if self.given == self.pieces:
                self.exit_code = 0
                raise StopAsyncIteration
            self.given += 1
            return 1, self.given.to_bytes(4, "big") * 16384

        async def write(self, data: bytes) -> None: ...
        async def resize(self, rows: int, columns: int) -> None: ...
        async def kill(self) -> None: ...
        async def close(self, *, end_input: bool = True) -> None: ...

    async def body() -> None:
        stream = Counts(2000)
        async with served(stream) as client:
            first = await client.recv()
            before = -1
            while before != stream.given:
                before = stream.given
                await asyncio.sleep(0.2)
            # What the kernel and the client's library hold, and no more.
            assert stream.given < 1500
            rest = (await output(client))[1]
        assert first[1:] + rest == b"".join(n.to_bytes(4, "big") * 16384 for n in range(1, 2001))

    asyncio.run(body())


@pytest.mark.parametrize("kills", [None, True, False])
def test_who_goes_leaves_the_process_as_the_quirk_says(kills: bool | None) -> None:
    @attrs.define(eq=False)
    class Watched(AnswerStream):
        calls: list[str] = attrs.field(factory=list)

        async def kill(self) -> None:
            self.calls.append("kill")
            await super().kill()

        async def close(self, *, end_input: bool = True) -> None:
            self.calls.append("close" if end_input else "keep")

    async def body() -> None:
        stream = Watched(Says(goes_on=True), lambda stream: None)
        async with served(stream, quirks=SessionQuirks(kill_on_close=kills)) as client:
            await client.send(b"\x00here")
            await read_until(client, b"here")
        assert stream.calls == {None: ["close"], True: ["kill", "close"], False: ["keep"]}[kills]

    asyncio.run(body())


def test_a_client_that_vanishes_during_output_ends_the_session() -> None:
    async def body() -> None:
        stream = await start(Says([(1, bytes(1 << 16))] * 800, goes_on=True))
        async with served(stream) as client:
            assert isinstance(client, ClientConnection)
            await client.recv()
            client.transport.abort()

    asyncio.run(body())


def test_sync_output_is_merged_and_bounded() -> None:
    async def body() -> None:
        assert await collect(await start(Says([(1, b"out "), (2, b"err"), (1, b"\xff")]))) == "out err\ufffd"
        assert await collect(await start(Says([(1, b"abc"), (2, b"def")])), limit=4) == "abcd"
        with pytest.raises(TimeoutError):
            await collect(await start(Says(goes_on=True)), timeout=0.01)

    asyncio.run(body())
