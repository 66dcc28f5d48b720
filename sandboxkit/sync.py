"""The blocking faces, derived from the async classes: the same names, arguments, errors and promises.

Adding an operation is one method in the async class and one line here.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar

from sandboxkit.client import AsyncClient, AsyncListing
from sandboxkit.driver import blocking, blocking_as, run, wrapping
from sandboxkit.files import AsyncFiles, AsyncReader, AsyncWriter
from sandboxkit.model import Capability, Chunk, SandboxInfo
from sandboxkit.process import AsyncProcess
from sandboxkit.sandbox import AsyncSandbox
from sandboxkit.session import AsyncSession
from sandboxkit.tmux import AsyncTmux

T = TypeVar("T")


def _next(step: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Take the next item of an async iterator that never suspends."""
    try:
        return run(step())
    except StopAsyncIteration:
        raise StopIteration from None


class Reader:
    """A file being read; see :class:`~sandboxkit.files.AsyncReader`."""

    def __init__(self, reader: AsyncReader) -> None:
        self._async = reader

    read = blocking(AsyncReader.read)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        return _next(self._async.__anext__)

    def __enter__(self) -> Self:
        self._async = run(self._async.__aenter__())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        run(self._async.__aexit__(kind, exc, trace))


class Writer:
    """A file being written; see :class:`~sandboxkit.files.AsyncWriter`."""

    def __init__(self, writer: AsyncWriter) -> None:
        self._async = writer

    write = blocking(AsyncWriter.write)

    def __enter__(self) -> Self:
        self._async = run(self._async.__aenter__())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        run(self._async.__aexit__(kind, exc, trace))


class Files:
    """The files of a sandbox; see :class:`~sandboxkit.files.AsyncFiles`."""

    def __init__(self, files: AsyncFiles) -> None:
        self._async = files

    read = blocking(AsyncFiles.read)
    read_text = blocking(AsyncFiles.read_text)
    write = blocking(AsyncFiles.write)
    append = blocking(AsyncFiles.append)
    list = blocking(AsyncFiles.list)
    stat = blocking(AsyncFiles.stat)
    exists = blocking(AsyncFiles.exists)
    mkdir = blocking(AsyncFiles.mkdir)
    remove = blocking(AsyncFiles.remove)
    move = blocking(AsyncFiles.move)
    copy = blocking(AsyncFiles.copy)
    glob = blocking(AsyncFiles.glob)
    upload = blocking(AsyncFiles.upload)
    download = blocking(AsyncFiles.download)
    open_read = wrapping(Reader, AsyncFiles.open_read)
    open_write = wrapping(Writer, AsyncFiles.open_write)


class Process:
    """A running command; see :class:`~sandboxkit.process.AsyncProcess`."""

    def __init__(self, process: AsyncProcess) -> None:
        self._async = process

    write = blocking(AsyncProcess.write)
    close_stdin = blocking(AsyncProcess.close_stdin)
    resize = blocking(AsyncProcess.resize)
    signal = blocking(AsyncProcess.signal)
    kill = blocking(AsyncProcess.kill)
    wait = blocking(AsyncProcess.wait)
    close = blocking(AsyncProcess.close)

    @property
    def sandbox_id(self) -> str:
        """The sandbox that it runs in."""
        return self._async.sandbox_id

    @property
    def exit_code(self) -> int | None:
        """The exit code once it has ended and all of its output was received, else ``None``."""
        return self._async.exit_code

    @property
    def dropped(self) -> int:
        """Bytes of output that were set aside beyond ``max_output`` and are lost."""
        return self._async.dropped

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Chunk:
        return _next(self._async.__anext__)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Session:
    """A tmux session; see :class:`~sandboxkit.session.AsyncSession`."""

    def __init__(self, session: AsyncSession) -> None:
        self._async = session

    poll = blocking(AsyncSession.poll)
    wait = blocking(AsyncSession.wait)
    kill = blocking(AsyncSession.kill)
    send_keys = blocking(AsyncSession.send_keys)
    capture = blocking(AsyncSession.capture)
    attach = blocking_as(Process, AsyncSession.attach)
    attach_command = blocking(AsyncSession.attach_command)

    @property
    def sandbox_id(self) -> str:
        """The sandbox that it runs in."""
        return self._async.sandbox_id

    @property
    def name(self) -> str:
        """What it is known by."""
        return self._async.name

    @property
    def user(self) -> str | None:
        """The user whose session it is; ``None`` for the sandbox's own."""
        return self._async.user

    def __repr__(self) -> str:
        return repr(self._async).replace("AsyncSession", "Session", 1)


class Tmux:
    """The tmux sessions of a sandbox; see :class:`~sandboxkit.tmux.AsyncTmux`."""

    def __init__(self, tmux: AsyncTmux) -> None:
        self._async = tmux

    start = blocking_as(Session, AsyncTmux.start)
    get = blocking_as(Session, AsyncTmux.get)
    list = blocking(AsyncTmux.list)


class Sandbox:
    """A sandbox; see :class:`~sandboxkit.sandbox.AsyncSandbox`."""

    def __init__(self, sandbox: AsyncSandbox) -> None:
        self._async = sandbox

    @property
    def files(self) -> Files:
        """Its files; see :class:`~sandboxkit.files.AsyncFiles`."""
        return Files(self._async.files)

    @property
    def tmux(self) -> Tmux:
        """Its tmux sessions; see :class:`~sandboxkit.tmux.AsyncTmux`."""
        return Tmux(self._async.tmux)

    exec = blocking(AsyncSandbox.exec)
    spawn = blocking_as(Process, AsyncSandbox.spawn)
    info = blocking(AsyncSandbox.info)
    extend = blocking(AsyncSandbox.extend)
    restart = blocking(AsyncSandbox.restart)
    delete = blocking(AsyncSandbox.delete)

    @property
    def id(self) -> str:
        """The provider's id; it survives the client."""
        return self._async.id

    @property
    def owned(self) -> bool:
        """Whether leaving this object's block deletes the sandbox."""
        return self._async.owned

    def __repr__(self) -> str:
        return f"Sandbox(id={self.id!r}, owned={self.owned!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        run(self._async.__aexit__(kind, exc, trace))


class Listing:
    """Sandboxes as the backend lists them, page by page."""

    def __init__(self, listing: AsyncListing) -> None:
        self._async = listing

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> SandboxInfo:
        return _next(self._async.__anext__)


class Client:
    """The sandboxes of one provider, for threads to share; see :class:`~sandboxkit.client.AsyncClient`."""

    def __init__(self, client: AsyncClient) -> None:
        self._async = client

    def __repr__(self) -> str:
        return f"Client(provider={self.provider!r}, owner={self.owner!r})"

    create = blocking_as(Sandbox, AsyncClient.create)
    get = blocking_as(Sandbox, AsyncClient.get)
    info = blocking(AsyncClient.info)
    list = wrapping(Listing, AsyncClient.list)
    delete = blocking(AsyncClient.delete)
    gc = blocking(AsyncClient.gc)
    cool = blocking(AsyncClient.cool)
    close = blocking(AsyncClient.close)

    @property
    def provider(self) -> str:
        """The provider's name."""
        return self._async.provider.name

    @property
    def owner(self) -> str:
        """What this client's sandboxes are labelled with; all that ``gc`` touches."""
        return self._async.owner

    @property
    def capabilities(self) -> Mapping[str, Capability]:
        """What the provider can do here and now, by name, each with a value and a reason."""
        return self._async.capabilities

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
