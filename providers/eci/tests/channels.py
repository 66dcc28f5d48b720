"""Channels to exec endpoints, in both worlds."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from sandboxkit_eci.streams import connect

from sandboxkit.model import STDERR, STDOUT
from sandboxkit.provider import ByteChannel, World

from .endpoints import PATIENCE, SECRET

T = TypeVar("T")
Scenario = Callable[[World], Awaitable[T]]
Go = Callable[[Scenario[Any]], Any]


async def follow(
    world: World, channel: ByteChannel, data: bytes = b"", seconds: float = PATIENCE
) -> tuple[bytes, bytes]:
    """Send all of ``data`` and receive until the end; give stdout and stderr."""
    rest, out = memoryview(data), {STDOUT: bytearray(), STDERR: bytearray()}
    until = world.now() + seconds
    while True:
        turn = await channel.exchange(rest, until=until)
        rest = rest[turn.sent :]
        for chunk in turn.chunks:
            out[chunk.stream] += chunk.data
        if turn.closed:
            return bytes(out[STDOUT]), bytes(out[STDERR])
        assert world.now() < until, "the stream did not end"


@contextlib.asynccontextmanager
async def opened(world: World, uri: str, **options: Any) -> Any:
    channel = await connect(world, uri, until=world.now() + PATIENCE, **options)
    try:
        yield channel
    finally:
        await channel.close()


async def open_and_close(world: World, uri: str, **options: Any) -> None:
    options.setdefault("until", world.now() + PATIENCE)
    channel = await connect(world, uri, **options)
    await channel.close()


def holds_secret(error: BaseException | None, secret: str = SECRET) -> bool:
    """Look through everything an error can show."""
    if error is None:
        return False
    shown = f"{error!r} {error} {error.args} {vars(error)}"
    return secret in shown or holds_secret(error.__cause__, secret) or holds_secret(error.__context__, secret)
