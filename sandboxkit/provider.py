"""What a provider speaks: the protocols between sandboxkit's operations and a backend.

A provider author implements :class:`ProviderBase`: the lifecycle (``create``, ``get``, ``list``, ``delete``) and
one primitive, ``open_channel``, a byte channel to a new process. Commands, files and everything above follow
from these. Every method is ``async def`` and written once: in the *blocking* world nothing it awaits may suspend,
in the *asyncio* world nothing it calls may block. The :class:`World` handed to the provider makes both true:
``await world.call(fn, …)`` runs a blocking SDK function in either, and ``await world.ready(…)`` waits for
descriptors in either.

``until`` is always a point on ``world.now()``'s clock (seconds), never a duration; ``None`` means no limit.
"""

from __future__ import annotations

import abc
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar, runtime_checkable

import attrs

from sandboxkit.model import Capability, Chunk, Command, CreateRequest, FileInfo, Page, SandboxInfo, TerminalSize

if TYPE_CHECKING:
    from sandboxkit.model import Status
    from sandboxkit.warm import Pools

T = TypeVar("T")

API_VERSION = 1
"""The version of the protocols in this module; a plugin states the one that it was written for."""


class World(Protocol):
    """Blocking or asyncio: the clock, the waiting and the locks of the side that the user is on."""

    @property
    def name(self) -> Literal["blocking", "asyncio"]: ...

    def now(self) -> float:
        """Give the monotonic time in seconds."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait that long."""
        ...

    async def call(
        self,
        function: Callable[..., T],
        /,
        *args: Any,
        until: float | None = None,
        undo: Callable[[T], object] | None = None,
        urgent: bool = False,
    ) -> T:
        """Run a short blocking function: here and now, or in a pooled thread under asyncio.

        Cancelled, or at ``until`` (then :class:`~sandboxkit.errors.DeadlineExceeded`), asyncio leaves the call
        to end by itself: give it a timeout of its own. If it then returns after all, ``undo`` gets what it
        returned, in its thread. ``urgent`` calls (kills, clean-up) have threads of their own.
        """
        ...

    async def ready(
        self, *, read: Collection[int] = (), write: Collection[int] = (), until: float | None = None
    ) -> tuple[frozenset[int], frozenset[int]]:
        """Wait until a descriptor can be read or written; both sets are empty at ``until``."""
        ...

    async def breathe(self) -> None:
        """Let others run: what a loop that never has to wait calls once a turn."""
        ...

    async def protect(self, work: Coroutine[Any, Any, T], *, until: float) -> T | None:
        """Finish ``work`` although the caller is being cancelled or interrupted, which it feels afterwards.

        ``None`` if asyncio's is not done by ``until``; blocking work keeps that limit itself, and a second Ctrl-C
        ends it at once.
        """
        ...

    def event(self) -> Event:
        """Make something to wait for."""
        ...

    def later(self, seconds: float, work: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], object]:
        """Have work done in so many seconds, beside all else; give what calls it off.

        In the blocking world that takes a thread: it is for what nobody else would do in time.
        """
        ...


class Event(Protocol):
    """What happens once, and can be waited for."""

    def set(self) -> None:
        """Let it happen; safe to repeat."""
        ...

    async def wait(self, *, until: float | None) -> bool:
        """Wait for it; ``False`` if it has not happened at ``until``."""
        ...


@attrs.frozen
class Exchange:
    """What one turn of a channel brought: bytes ``sent``, ``chunks`` received, and whether it has ``closed``."""

    sent: int = 0
    chunks: tuple[Chunk, ...] = ()
    closed: bool = False


class ByteChannel(Protocol):
    """Bytes to and from a process that the backend just started. Nothing more is asked of a backend.

    The channel may split and join bytes anywhere and may reorder stdout against stderr; within a stream the
    order holds. It need not carry an end of input, an exit status or a kill.
    """

    async def exchange(
        self, outgoing: bytes | memoryview = b"", *, receive: bool = True, until: float | None = None
    ) -> Exchange:
        """Send what can be sent of ``outgoing`` and take what has arrived, whichever is possible first.

        Returns as soon as anything was sent, arrived or closed; an empty exchange at ``until``. With
        ``receive=False`` nothing is taken (another caller is receiving). ``closed`` is set once, when the peer's
        end was seen and all that came before it was given. One that is cancelled has sent and taken nothing, so
        nothing may suspend once it has. Raises :class:`~sandboxkit.errors.ProviderError`
        when the connection broke rather than ended.
        """
        ...

    async def close(self) -> None:
        """Drop the channel; safe to repeat. The process behind sees the end of its input."""
        ...


@attrs.frozen(kw_only=True)
class Report:
    """How a command ended, as the sandbox reports it.

    ``exit_code`` is set when its own process ended. ``timed_out`` says that the watchdog in the sandbox fired,
    ``killed`` then whether nothing of the tree is left. ``failure`` names why it never ran: ``cwd`` (with
    ``errno``), ``arguments`` (the kernel refused their total).
    """

    exit_code: int | None = None
    timed_out: bool = False
    killed: bool | None = None
    failure: Literal["cwd", "arguments", "other"] | None = None
    errno: int = 0
    message: str = ""


class ProcessChannel(Protocol):
    """One command in a sandbox: exact bytes, an exact end.

    The core makes it from a :class:`ByteChannel` (:mod:`sandboxkit.launched`); a provider that can spawn with the
    same promises gives its own.
    """

    @property
    def started(self) -> bool | None:
        """``False``: it certainly did not run; ``True``: the sandbox accepted it; ``None``: unknown."""
        ...

    @property
    def report(self) -> Report | None:
        """How it ended; set only when every byte that the command itself wrote has been given."""
        ...

    async def exchange(
        self, outgoing: bytes | memoryview = b"", *, receive: bool = True, until: float | None = None
    ) -> Exchange:
        """Like :meth:`ByteChannel.exchange`, with the command's own stdin, stdout and stderr.

        ``closed`` with ``report is None`` means that the status will never come.
        """
        ...

    async def close_stdin(self, *, until: float | None = None) -> None:
        """Let the command see the end of its input; safe to repeat."""
        ...

    async def signal(self, number: int, *, until: float | None = None) -> None:
        """Send a signal to the command's own process; nothing happens if it has ended."""
        ...

    async def kill(self, *, until: float) -> bool | None:
        """End the command's whole tree.

        ``True``: nothing of it is left. ``False``: some of it is known to live. ``None``: unknown. Returns by
        ``until`` and raises nothing.
        """
        ...

    async def close(self) -> None:
        """Let go of the channel, without ending the command; safe to repeat."""
        ...


class TerminalChannel(ProcessChannel, Protocol):
    """A command on a terminal: its output is all stdout, its input has no end.

    Whose client has gone is hung up: SIGHUP goes to the command and to the terminal's foreground.
    """

    async def resize(self, size: TerminalSize, *, until: float | None = None) -> None:
        """Give the terminal another size; the foreground gets SIGWINCH. Nothing happens once it has ended."""
        ...


class ByteTerminal(ByteChannel, Protocol):
    """A byte channel to a process on a terminal, for backends that have no more than that.

    :func:`sandboxkit.terminals.launch_terminal` makes a :class:`TerminalChannel` of it.
    """

    async def resize(self, size: TerminalSize, *, until: float | None = None) -> None:
        """Give the terminal another size; nothing happens once its process has ended."""
        ...


class FileReader(Protocol):
    """A file being read: iterate over its bytes, and leave the ``async with`` block to close it."""

    async def __aenter__(self) -> FileReader: ...

    async def __aexit__(self, *exc: object) -> None: ...

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    async def read(self, size: int = -1) -> bytes:
        """Give exactly ``size`` bytes, fewer only at the end of the file; all that is left for -1."""
        ...


class FileWriter(Protocol):
    """A file being written: it appears, whole, when the ``async with`` block ends without an exception."""

    async def __aenter__(self) -> FileWriter: ...

    async def __aexit__(self, *exc: object) -> None: ...

    async def write(self, data: bytes | memoryview) -> None:
        """Send bytes; they are in the file only when the block has ended."""
        ...


class FileOperations(Protocol):
    """The files of one sandbox, with the sandbox's user and its view; paths are checked bytes.

    Errors are :class:`~sandboxkit.errors.FileError` and its subclasses.
    """

    def open_read(self, path: bytes, *, offset: int = 0, length: int | None = None) -> FileReader: ...

    def open_write(
        self, path: bytes, *, mode: int | None = None, atomic: bool = True, append: bool = False
    ) -> FileWriter: ...

    async def read(self, path: bytes, *, offset: int, length: int | None, limit: int) -> bytes: ...

    async def write(
        self, path: bytes, data: bytes | memoryview, *, mode: int | None, atomic: bool, append: bool
    ) -> None: ...

    async def list(self, path: bytes) -> Sequence[FileInfo]: ...

    async def stat(self, path: bytes, *, follow: bool) -> FileInfo: ...

    async def mkdir(self, path: bytes, *, mode: int | None, parents: bool, exist_ok: bool) -> None: ...

    async def remove(self, path: bytes, *, recursive: bool, missing_ok: bool) -> None: ...

    async def move(self, source: bytes, target: bytes, *, overwrite: bool) -> None: ...

    async def copy(self, source: bytes, target: bytes, *, recursive: bool, overwrite: bool) -> None: ...

    async def glob(self, pattern: bytes) -> Sequence[bytes]: ...


@runtime_checkable
class SandboxProvider(Protocol):
    """A backend that makes sandboxes. Write it by subclassing :class:`ProviderBase`.

    Every method raises :class:`~sandboxkit.errors.SandboxNotFound` for an unknown id and a
    :class:`~sandboxkit.errors.ProviderError` where the backend fails, keeps to ``until``, and leaves nothing behind
    when it fails or is cancelled.
    """

    name: str
    api_version: int
    world: World

    @property
    def capabilities(self) -> Mapping[str, Capability]:
        """What it can do here and now; the names are those of ``docs/contract.md``."""
        ...

    async def create(self, request: CreateRequest, *, until: float | None) -> SandboxInfo:
        """Make a sandbox and return when it can run a command (L1), idempotently by ``request.key`` (L2).

        Whatever goes wrong, cancellation included, what this call made is removed first; if that cannot be
        done the error carries ``leftover``.
        """
        ...

    async def get(self, sandbox_id: str, *, until: float | None) -> SandboxInfo:
        """Ask the backend for one sandbox (L3)."""
        ...

    async def list(
        self,
        *,
        labels: Mapping[str, str],
        statuses: Collection[Status],
        cursor: str | None,
        until: float | None,
    ) -> Page:
        """Give one page of sandboxkit's sandboxes, every owner's (L4).

        All ``labels`` must match; an empty ``statuses`` means any. What has expired or is half made is
        listed too: ``gc`` finds it here (L8).
        """
        ...

    async def delete(self, sandbox_id: str, *, until: float | None) -> bool:
        """Remove a sandbox and wait until it is gone (L5); ``False`` if there was nothing to remove."""
        ...

    async def start_process(self, sandbox_id: str, command: Command, *, until: float | None) -> ProcessChannel:
        """Start a checked command (X1-X12). Raises ``SandboxNotRunning`` for one that is not running."""
        ...

    def files(self, sandbox_id: str) -> FileOperations:
        """Give the sandbox's files (F1-F7)."""
        ...

    async def close(self) -> None:
        """Let go of connections and threads; no sandbox is deleted."""
        ...


@runtime_checkable
class Extendable(Protocol):
    """Optional: a provider that declares ``extend``."""

    async def extend(self, sandbox_id: str, *, expires_at: float, until: float | None) -> SandboxInfo:
        """Move the sandbox's deadline (seconds since the epoch)."""
        ...


@runtime_checkable
class Restartable(Protocol):
    """Optional: a provider that declares ``restart``."""

    async def restart(self, sandbox_id: str, *, until: float | None) -> SandboxInfo:
        """End every process of the sandbox and start it again under its id, with its deadline (L6).

        Also one that has stopped before its deadline. Files survive if ``restart_keeps_files`` is declared; a
        ``command`` of the specification begins anew. Returns when it can run a command. Raises ``SandboxNotRunning``
        for one that can no more be started.
        """
        ...


@runtime_checkable
class TerminalProvider(Protocol):
    """Optional: a provider that declares ``pty``."""

    async def start_terminal(
        self, sandbox_id: str, command: Command, size: TerminalSize, *, until: float | None
    ) -> TerminalChannel:
        """Start a checked command, whose stdin is ``raw``, on a new terminal of that size (X13).

        The terminal controls the command's session, and the command is in its foreground. Raises what
        ``start_process`` does.
        """
        ...


@runtime_checkable
class KeepsWarm(Protocol):
    """Optional: a provider that keeps channels to a sandbox open between commands."""

    def keep_warm(self, on: bool) -> None:
        """Say whether it may; called before anything else."""
        ...

    async def cool(self, sandbox_id: str | None = None) -> None:
        """Let go of the channels that are kept to a sandbox, or to all."""
        ...


class ProviderBase(abc.ABC):
    """Commands and files for any backend that has a lifecycle and can open a byte channel.

    Subclasses set ``name`` and implement the abstract methods. ``start_process`` and ``files`` may be overridden
    only where the backend keeps the same promises better. Channels are kept and take one command after another
    (:mod:`sandboxkit.warm`) unless the client was told otherwise.
    """

    name: str = ""
    api_version: int = API_VERSION
    channel_idle_timeout: float | None = None
    """Seconds after which the backend closes a channel on which nothing was said; ``None``: it does not.

    Channels that are kept, and those of a terminal, are looked at more often, by ``exchange``: that must say what
    keeps them, if it is time to.
    """
    _pools: Pools | None = None

    def __init__(self, world: World) -> None:
        self.world = world

    @property
    @abc.abstractmethod
    def capabilities(self) -> Mapping[str, Capability]:
        """See :class:`SandboxProvider`."""

    @abc.abstractmethod
    async def create(self, request: CreateRequest, *, until: float | None) -> SandboxInfo:
        """See :class:`SandboxProvider`."""

    @abc.abstractmethod
    async def get(self, sandbox_id: str, *, until: float | None) -> SandboxInfo:
        """See :class:`SandboxProvider`."""

    @abc.abstractmethod
    async def list(
        self,
        *,
        labels: Mapping[str, str],
        statuses: Collection[Status],
        cursor: str | None,
        until: float | None,
    ) -> Page:
        """See :class:`SandboxProvider`."""

    @abc.abstractmethod
    async def delete(self, sandbox_id: str, *, until: float | None) -> bool:
        """See :class:`SandboxProvider`."""

    @abc.abstractmethod
    async def open_channel(
        self,
        sandbox_id: str,
        argv: tuple[str, ...],
        *,
        user: str | None,
        urgent: bool,
        until: float | None,
    ) -> ByteChannel:
        """Start ``argv`` in the sandbox and give the channel to its stdin, stdout and stderr.

        ``argv`` is short (below 1,000 bytes as JSON) and holds nothing secret. ``user`` is ``None`` for the
        sandbox's own; others come only where ``exec_user`` is declared. ``urgent`` marks a kill: keep room
        for it. Cancelled, the channel is closed and the process behind sees the end of its input.
        """

    async def start_process(self, sandbox_id: str, command: Command, *, until: float | None) -> ProcessChannel:
        """See :class:`SandboxProvider`; here through the launcher, over a channel that is kept where there is one."""
        from sandboxkit.launched import launch

        if self._pools is not None:
            process = await self._pools.start(sandbox_id, command, until=until)
            if process is not None:
                return process
        return await launch(self, sandbox_id, command, until=until)

    def keep_warm(self, on: bool) -> None:
        """See :class:`KeepsWarm`."""
        from sandboxkit.warm import Pools

        self._pools = Pools(self) if on else None

    async def cool(self, sandbox_id: str | None = None) -> None:
        """See :class:`KeepsWarm`."""
        if self._pools is not None:
            await self._pools.cool(sandbox_id)

    def files(self, sandbox_id: str) -> FileOperations:
        """See :class:`SandboxProvider`; here by small shell programs."""
        from sandboxkit.shellfiles import ShellFiles

        return ShellFiles(self, sandbox_id)

    async def close(self) -> None:  # noqa: B027
        """See :class:`SandboxProvider`; nothing to let go of here."""


ProviderFactory = Callable[[World, Mapping[str, Any]], SandboxProvider]
"""What a plugin's hook gives: called with the world and the connect options."""
