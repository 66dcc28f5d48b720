"""What stands behind the emulator's containers: real processes of some sandboxkit provider, or none."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, Protocol

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
class Interface:
    """What has passed a network interface: bytes, packets, and packets that were lost or broken."""

    name: str
    received: int = 0
    received_packets: int = 0
    received_errors: int = 0
    received_drops: int = 0
    sent: int = 0
    sent_packets: int = 0
    sent_errors: int = 0
    sent_drops: int = 0


@attrs.frozen(kw_only=True)
class Usage:
    """What a container has used: CPU in nanoseconds, memory in bytes, of which ``cache_bytes`` are files'.

    Without ``interfaces``, it has none of its own: it shares its host's. What is read from a disk and written to it,
    and what its own files take there, are in bytes; ``None`` where that cannot be told.
    """

    cpu_nanoseconds: int = 0
    memory_bytes: int = 0
    cache_bytes: int = 0
    interfaces: tuple[Interface, ...] = ()
    read_bytes: int | None = None
    written_bytes: int | None = None
    files_bytes: int | None = None

    def since(self, before: Usage) -> Usage:
        """Give the same, with no count smaller than ``before``: what is counted in processes goes with them."""
        return attrs.evolve(
            self,
            cpu_nanoseconds=max(self.cpu_nanoseconds, before.cpu_nanoseconds),
            read_bytes=_larger(self.read_bytes, before.read_bytes),
            written_bytes=_larger(self.written_bytes, before.written_bytes),
        )


def _larger(one: int | None, other: int | None) -> int | None:
    return other if one is None else max(one, other or 0)


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

    async def exec(self, argv: tuple[str, ...], *, tty: bool, stdin: bool = True) -> Stream:
        """Start another process in it, whose input is at its end from the start without ``stdin``.

        Raises :class:`NotRunning`, or any other error with the reason as its text.
        """
        ...

    async def kill(self) -> None:
        """End its own process, so that it has ended as by SIGKILL; nothing happens if it has ended."""
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

    @property
    def key(self) -> str | None:
        """What :meth:`Backend.resume` finds it by; ``None`` if it cannot."""
        ...

    async def remove(self) -> None:
        """End and remove everything, at once; safe to repeat."""
        ...


class Backend(Protocol):
    """Makes containers."""

    async def start(self, spec: ContainerSpec) -> Machine:
        """Start a container. Raises :class:`ImageError`, or any other error with the reason as its text."""
        ...

    async def resume(self, spec: ContainerSpec, key: str) -> Machine | None:
        """Start a container anew with the files that it had in another life of the emulator; ``None``: it is gone."""
        ...

    def dump(self) -> dict[str, Any]:
        """Give what another life of the emulator needs to know, as JSON can hold it."""
        ...

    def load(self, dumped: Mapping[str, Any]) -> None:
        """Take up what :meth:`dump` gave, before anything is made."""
        ...

    async def close(self, *, keep: bool = False) -> None:
        """Remove everything that was made, or let go of it to ``keep`` it."""
        ...
