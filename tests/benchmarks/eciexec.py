"""``python -m tests.benchmarks.eciexec``: the output of commands in ``eci``, against the websocket library alone.

A large output comes from an emulator without processes, in a process of its own, in websocket messages of one size.
``spawn`` gives it piece by piece and ``exec`` as one, in both worlds; in turn a client of nothing but the library
that this world uses receives the same. All that ours does counts, the call of the API before the websocket too: no
channel is kept. It fails if a byte was wrong; how long it took is only printed.

``exec`` is also held against a client that joins what it has received: for anything larger than 32 MiB glibc asks the
kernel for new memory each time, and that it is cleared page by page may take as long as all the rest.

``server`` is what a client gets that only empties the socket: near that, the server bounds both sides, and the CPU
times say more than the ratio.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import attrs

import sandboxkit
from sandboxkit import Chunk, Result
from tests.benchmarks import plainwebsocket, report
from tests.benchmarks.meters import MB, Figures, Meter, Pair, Side
from tests.benchmarks.pairs import Case, measure
from tests.support.emulated import emulating
from tests.support.launcherside import STDOUT, written

MESSAGES = (32 * 1024, MB)
"""Bytes of output in one message, by default."""

TOGETHER = 1 << 16
"""Bytes that the server sends in one go, if a message is not larger: small messages cost it little then."""

DOING = ("spawn", "exec", "exec, joined")

EMULATOR = (
    "--backend=none",
    "--responder=tests.support.launcherside:LauncherSide",
    # One address is opened again and again.
    "--quirk=uri-single-use=off",
    "--quirk=uri-seconds=100000",
)

KEEPING = {"MALLOC_TRIM_THRESHOLD_": str(1 << 28), "MALLOC_MMAP_THRESHOLD_": str(1 << 28)}
"""Has the server's glibc keep its memory: giving it back and asking for it anew is most of what sending costs."""


def contents(found: Any) -> bytes:
    """Give what came on stdout, of a result, chunks, messages or joined ones; nothing else may have come."""
    if isinstance(found, Result):
        if found.exit_code or found.stderr or found.stdout_dropped:
            raise AssertionError("the command did something else than write its output")
        return found.stdout
    if isinstance(found, bytes):
        return found
    if any((each.stream if isinstance(each, Chunk) else each[0]) != STDOUT for each in found):
        raise AssertionError("something came that is no output")
    return b"".join(each.data if isinstance(each, Chunk) else each[1:] for each in found)


def expect(wanted: bytes) -> Callable[[Any], None]:
    """Make a check for exactly this output."""
    length, digest = len(wanted), hashlib.sha256(wanted).digest()

    def check(found: Any) -> None:
        came = contents(found)
        if (len(came), hashlib.sha256(came).digest()) != (length, digest):
            raise AssertionError("the output is not what the command wrote")

    return check


def blocking_pairs(server: int, box: sandboxkit.Sandbox, uri: str, words: list[str]) -> list[Pair]:
    """Give the pairs of the blocking world."""

    def collected() -> Result:
        return box.exec(words, max_output=None)

    def spawned() -> list[Chunk]:
        with box.spawn(words) as process:
            return list(process)

    def alone() -> list[bytes]:
        return plainwebsocket.receive(uri)

    def joined() -> bytes:
        return plainwebsocket.joined(plainwebsocket.receive(uri))

    return [
        Pair("blocking", "websocket-client", doing, Meter(server, ours), Meter(server, least))
        for doing, ours, least in zip(DOING, (spawned, collected, collected), (alone, alone, joined), strict=True)
    ]


def asyncio_pairs(
    server: int, runner: asyncio.Runner, box: sandboxkit.AsyncSandbox, uri: str, words: list[str]
) -> list[Pair]:
    """Give the pairs of asyncio's world, in the runner's loop."""

    async def collected() -> Result:
        return await box.exec(words, max_output=None)

    async def spawned() -> list[Chunk]:
        async with box.spawn(words) as process:
            return [chunk async for chunk in process]

    async def alone() -> list[bytes | str]:
        return await plainwebsocket.receive_async(uri)

    async def joined() -> bytes:
        return plainwebsocket.joined(await plainwebsocket.receive_async(uri))

    def metered(function: Callable[[], Coroutine[Any, Any, Any]]) -> Meter:
        # Not Runner.run(), where the setting of a signal handler makes a repr() of all that was received.
        return Meter(server, lambda: runner.get_loop().run_until_complete(function()))

    return [
        Pair("asyncio", "websockets", doing, metered(ours), metered(least))
        for doing, ours, least in zip(DOING, (spawned, collected, collected), (alone, alone, joined), strict=True)
    ]


@contextmanager
def async_sandbox(runner: asyncio.Runner, sandbox: str, options: dict[str, Any]) -> Iterator[sandboxkit.AsyncSandbox]:
    """Give an existing sandbox to the runner's loop."""
    client = sandboxkit.connect_async("eci", warm=False, **options)
    try:
        yield runner.run(client.get(sandbox))
    finally:
        runner.run(client.close())


def output(size: int, message: int, rounds: int) -> tuple[list[Figures], Side]:
    """Measure one message size; give the figures and the server's limit."""
    words = ["output", str(size), str(max(1, TOGETHER // message) * message)]
    with (
        emulating(*EMULATOR, f"--quirk=split={message}", **KEEPING) as (server, options),
        sandboxkit.connect("eci", image="busybox:1", warm=False, **options) as client,
        client.create() as box,
        asyncio.Runner() as runner,
        async_sandbox(runner, box.id, options) as async_box,
    ):
        uri = plainwebsocket.address(options, box.id, words)
        pairs = blocking_pairs(server, box, uri, words) + asyncio_pairs(server, runner, async_box, uri, words)
        check = expect(written(size))
        emptied = Meter(server, lambda: plainwebsocket.empty(uri, size))
        cases = [Case(name=pair.name, ours=pair.ours, least=pair.alone, check=check) for pair in pairs]
        *rows, _ = measure("eci", [*cases, Case(name="server", ours=emptied)], rounds)
        figures = [pair.figures(row, size, message) for pair, row in zip(pairs, rows, strict=True)]
        return figures, emptied.side(size)


def main() -> int:
    """Measure and print JSON."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.eciexec", description=__doc__)
    parser.add_argument("--megabytes", type=int, default=64, help="output of a command (default: %(default)s)")
    parser.add_argument(
        "--message",
        type=int,
        action="append",
        metavar="BYTES",
        help=f"output in one message; may be repeated (default: {' and '.join(map(str, MESSAGES))})",
    )
    parser.add_argument("--rounds", type=int, default=21, help="pairs of each (default: %(default)s)")
    given = parser.parse_args()
    messages = given.message or MESSAGES
    if min(given.megabytes, given.rounds, *messages) < 1:
        parser.error("--megabytes, --message and --rounds must be at least 1")
    found: list[dict[str, Any]] = []
    limits: dict[int, Side] = {}
    for message in messages:
        print(f"measuring messages of {message} bytes", file=sys.stderr)
        figures, limits[message] = output(given.megabytes * MB, message, given.rounds)
        found += [{**attrs.asdict(each), "reached": each.reached} for each in figures]
    said = {
        "megabytes": given.megabytes,
        "rounds": given.rounds,
        "machine": report.machine(),
        "output": found,
        "server": {message: attrs.asdict(side) for message, side in limits.items()},
    }
    print(json.dumps(said, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
