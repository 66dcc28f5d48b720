"""What a client in another process does; each act says what it has come to, line by line."""

from __future__ import annotations

import resource
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sandboxkit.client import AsyncClient
from sandboxkit.testing.child import say


async def run_in(client: AsyncClient, sandbox_id: str, command: list[str]) -> None:
    """Find a sandbox and run a command in it; says its id, the exit code and what it wrote."""
    box = await client.get(sandbox_id)
    result = await box.exec(command)
    say(f"{box.id} {result.exit_code} {result.text.strip()}")


async def create(client: AsyncClient, spec: Mapping[str, Any]) -> None:
    """Make a sandbox and leave it; says when it begins, and the id."""
    # The first call of all loads what a client loads lazily: then "creating" is close to the create itself.
    async for _ in client.list(labels={"suite": "none"}):
        pass
    say("creating")
    box = await client.create(**spec)
    say(box.id)


async def execute(client: AsyncClient, sandbox_id: str, command: Any, arguments: Mapping[str, Any]) -> None:
    """Run a command; says when it begins and how it ended."""
    box = await client.get(sandbox_id)
    say("executing")
    result = await box.exec(command, **arguments)
    say(f"{result.exit_code} {result.text.strip()}")


async def follow_terminal(client: AsyncClient, sandbox_id: str, command: str) -> None:
    """Follow a command on a terminal; says when it begins."""
    box = await client.get(sandbox_id)
    async with box.spawn(command, terminal=(24, 80)) as process:
        say("following")
        async for _ in process:
            pass


async def write_endlessly(client: AsyncClient, sandbox_id: str, path: str, pattern: bytes) -> None:
    """Begin to replace a file, and never come to the end of it; says how far it is."""
    box = await client.get(sandbox_id)
    async with box.files.open_write(path) as writer:
        while True:
            await writer.write(pattern * 4096)
            say("writing")


async def write_over_and_over(client: AsyncClient, sandbox_id: str, path: str, contents: list[bytes]) -> None:
    """Replace a file again and again; says after each time."""
    box = await client.get(sandbox_id)
    while True:
        for data in contents:
            await box.files.write(path, data)
            say("written")


def _peak() -> int:
    """Give the most memory that this program has had, in KiB."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Not ru_maxrss: on Linux that begins with what the process had before exec, the whole of the test run's.
    return int(status.partition("VmHWM:")[2].split()[0])


async def measure(client: AsyncClient, sandbox_id: str, command: str, budget: int) -> None:
    """Run a command that writes much; says how many KiB its client's memory grew, and what the result holds."""
    box = await client.get(sandbox_id)
    await box.exec("true")
    before = _peak()
    result = await box.exec(command, max_output=budget)
    grown = _peak() - before
    say(f"{grown} {result.exit_code} {len(result.stdout)} {result.stdout_dropped}")


async def stream_files(client: AsyncClient, sandbox_id: str, path: str, size: int) -> None:
    """Write a large file and read it again, in pieces; says how many KiB its client's memory grew."""
    box = await client.get(sandbox_id)
    await box.exec("true")
    before = _peak()
    piece = bytes(range(256)) * 1024
    async with box.files.open_write(path) as writer:
        for _ in range(size // len(piece)):
            await writer.write(piece)
    read = 0
    async with box.files.open_read(path) as reader:
        async for data in reader:
            read += len(data)
    grown = _peak() - before
    say(f"{grown} {read}")


async def upload(client: AsyncClient, sandbox_id: str, source: str, target: str) -> None:
    """Upload a directory; says so as it goes."""
    box = await client.get(sandbox_id)
    await box.files.upload(source, target, progress=lambda progress: say("uploading"))


async def transfer(client: AsyncClient, sandbox_id: str, source: str, target: str, back: str) -> None:
    """Upload a directory and download it again; says by how many KiB its client's memory grew, and the bytes."""
    box = await client.get(sandbox_id)
    await box.exec("true")
    before = _peak()
    await box.files.upload(source, target)
    received = await box.files.download(target, back)
    say(f"{_peak() - before} {received.bytes}")


async def start_session(client: AsyncClient, sandbox_id: str, command: str, name: str) -> None:
    """Start a quiet session and follow it without an end; says its name."""
    box = await client.get(sandbox_id)
    session = await box.tmux.start(command, name=name, echo=False)
    say(session.name)
    await session.wait()
