"""What stands behind the emulator's containers: real processes of some sandboxkit provider, or none."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Protocol

import attrs

from sandboxkit_eci.emulator.logs import Written
from sandboxkit_eci.emulator.volumes import ConfigFile


@attrs.frozen(kw_only=True)
class ContainerSpec:
    """One container as CreateContainerGroup describes it. ``memory`` is in GiB; ``env`` is in no repr."""

    group_id: str
    name: str
    image: str
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    working_dir: str | None = None
    cpu: float = 2.0
    memory: float = 4.0
    run_as_user: int | None = None
    read_only_root: bool = False
    directories: tuple[str, ...] = ()
    """Where volumes are mounted that are directories."""
    files: Mapping[str, ConfigFile] = attrs.field(factory=dict)
    """What there is in them, or elsewhere, before the container's own process starts; by path."""


@attrs.frozen(kw_only=True)
class Usage:
    """What a container has used: CPU in nanoseconds, memory in bytes."""

    cpu_nanoseconds: int = 0
    memory_bytes: int = 0


class ImageError(Exception):
    """The image cannot be had; the text is the event's message."""


class NotRunning(Exception):
    """The container's own process has ended, or the container was removed: nothing can be started in it."""


class Stream(Protocol):
    """One exec: a process with an open stdin, which has no end."""

    def __aiter__(self) -> AsyncIterator[tuple[int, bytes]]:
        """Give its output, tagged 1 (stdout) or 2 (stderr), until it has ended."""
        ...

    @property
    def exit_code(self) -> int | None:
        """How it ended; ``None`` while it runs, or if that cannot be told."""
        ...

    async def write(self, data: bytes) -> None:
        """Give it input; nothing happens once it has ended."""
        ...

    async def resize(self, rows: int, columns: int) -> None:
        """Give its terminal another size, if it has one."""
        ...

    async def kill(self) -> None:
        """End its whole tree."""
        ...

    async def close(self, *, end_input: bool = True) -> None:
        """Let go of it; it runs on, and what it still writes is discarded. Safe to repeat.

        It sees the end of its input, and is hung up if it has a terminal; with ``end_input=False`` it sees nothing.
        """
        ...


class Machine(Protocol):
    """One container that runs."""

    async def wait(self) -> int:
        """Wait for the end of the container's own process; give its exit code. May be called again.

        A restart does not end this: it is then the new process that is waited for.
        """
        ...

    async def exec(self, argv: tuple[str, ...], *, tty: bool) -> Stream:
        """Start another process in it. Raises :class:`NotRunning`, or any other error with the reason as its text."""
        ...

    async def restart(self) -> None:
        """End everything and start the container's own process anew."""
        ...

    def log(self) -> Written:
        """Give what the container's own process wrote, the newest MiB of it."""
        ...

    async def usage(self) -> Usage:
        """Tell what it has used so far."""
        ...

    async def commit(self, repository: str, tag: str) -> None:
        """Make an image of its files; raises ``NotImplementedError`` where that cannot be done."""
        ...

    async def remove(self) -> None:
        """End and remove everything, at once; safe to repeat."""
        ...


class Backend(Protocol):
    """Makes containers."""

    async def start(self, spec: ContainerSpec) -> Machine:
        """Start a container. Raises :class:`ImageError`, or any other error with the reason as its text."""
        ...

    async def close(self) -> None:
        """Remove everything that was made."""
        ...
