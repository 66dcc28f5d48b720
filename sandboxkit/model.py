"""The values that cross sandboxkit's boundaries: all frozen, none with behaviour that does I/O."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import attrs

from sandboxkit.errors import InvalidSpec

DEFAULT_TTL = 3600.0
"""Seconds that a sandbox lives unless told otherwise; never infinite."""

DEFAULT_MAX_OUTPUT = 8 * 1024 * 1024
"""Bytes kept of each output stream unless told otherwise."""

DEFAULT_READ_LIMIT = 64 * 1024 * 1024
"""Bytes that ``files.read`` returns at most unless told otherwise."""

DEFAULT_LOG_LIMIT = 16 * 1024 * 1024
"""Bytes kept of what a tmux session wrote unless told otherwise."""

MAX_COUNT = (1 << 63) - 1
"""What a shell and the kernel count bytes up to."""

MAX_ARGUMENT = 131_071
"""Bytes of the longest argument or ``name=value`` that Linux passes on (MAX_ARG_STRLEN less the NUL)."""

STDOUT: Literal[1] = 1
STDERR: Literal[2] = 2

Stream = Literal[1, 2]
"""Which output a chunk belongs to; the numbers are the file descriptors'."""


class Status(enum.StrEnum):
    """What a sandbox is doing."""

    CREATING = "creating"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"
    DELETING = "deleting"
    FAILED = "failed"


def _command(value: Iterable[str] | None) -> tuple[str, ...] | None:
    if value is None:
        return None
    # A text is iterable too, letter by letter.
    words = None if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable) else tuple(value)
    if words is not None and not any(words[:1]):
        raise InvalidSpec("command is empty; leave it out for a sandbox that only waits")
    if words is None or not all(isinstance(word, str) and "\0" not in word for word in words):
        raise InvalidSpec(
            "command is a list of words, such as ['sleep', '600']; ['sh', '-c', text] runs a shell's text"
        )
    return words


def _ports(value: Iterable[int]) -> tuple[int, ...]:
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise InvalidSpec(f"ports is a list of numbers, not {type(value).__name__}")
    return tuple(value)


def _mapping(value: Mapping[str, str] | None) -> dict[str, str]:
    if value is not None and not isinstance(value, Mapping):
        raise InvalidSpec(f"env and labels are mappings, such as {{'NAME': 'value'}}, not {type(value).__name__}")
    return dict(value or {})


@attrs.frozen(kw_only=True)
class SandboxSpec:
    """What a sandbox should be. ``None`` leaves a thing to the provider.

    ``cpu`` is in cores, ``memory_gib`` in GiB, ``ttl`` in seconds. ``env`` values never appear in a repr.
    ``network`` is ``True``, ``False`` or ``None`` (off in ``local``, bridge in ``docker``). ``ports`` are the
    sandbox's TCP ports to reach from outside; the backend picks the outer ones. ``options`` is the provider's
    own attrs class for what only it has.
    """

    image: str | None = None
    command: tuple[str, ...] | None = attrs.field(default=None, converter=_command, repr=False)
    cpu: float | None = None
    memory_gib: float | None = None
    env: Mapping[str, str] = attrs.field(factory=dict, converter=_mapping, repr=False)
    labels: Mapping[str, str] = attrs.field(factory=dict, converter=_mapping)
    ttl: float = DEFAULT_TTL
    cwd: str | None = None
    user: str | None = None
    ports: tuple[int, ...] = attrs.field(default=(), converter=_ports)
    network: bool | None = None
    options: Any = attrs.field(default=None, repr=False)


@attrs.frozen(kw_only=True)
class CreateRequest:
    """A create as the provider receives it: the specification made whole by the client.

    ``key`` is the idempotency key (made by the client where the user gave none; ``key_given`` tells), ``owner``
    what ``gc`` goes by, ``expires_at`` the absolute deadline (seconds since the epoch), ``fingerprint`` a digest
    of the specification by which the same key with another specification is noticed. ``wait=False`` may return
    before the sandbox can run a command.
    """

    spec: SandboxSpec
    owner: str
    key: str
    key_given: bool
    fingerprint: str
    expires_at: float
    wait: bool = True


@attrs.frozen(kw_only=True)
class SandboxInfo:
    """One sandbox as its backend describes it. Times are seconds since the epoch.

    ``ports`` maps the sandbox's TCP ports to ``host:port`` where they are reached. ``details`` holds the
    backend's own words (an image digest, a reason) and never environment values.
    """

    id: str
    provider: str
    status: Status
    owner: str = ""
    image: str | None = None
    labels: Mapping[str, str] = attrs.field(factory=dict, converter=_mapping)
    created_at: float | None = None
    expires_at: float | None = None
    cpu: float | None = None
    memory_gib: float | None = None
    ports: Mapping[int, str] = attrs.field(factory=dict)
    details: Mapping[str, str] = attrs.field(factory=dict, converter=_mapping)


@attrs.frozen(kw_only=True)
class Page:
    """One page of a listing; ``cursor`` is ``None`` on the last one."""

    items: tuple[SandboxInfo, ...]
    cursor: str | None = None


@attrs.frozen(kw_only=True)
class Stdin:
    """How a command's standard input will come.

    ``none``: at end of file from the start. ``known``: exactly ``length`` bytes, then end of file; ``data`` may hold
    them already: who takes them with the command takes them again, unused, when they come. ``stream``: until
    ``close_stdin``. ``raw``: the bytes as they are, with no promise of an end, only for a program that knows how much
    to read; if it is ``exact``, it has read all of them and no more when it exits with 0.
    """

    kind: Literal["none", "known", "stream", "raw"] = "none"
    length: int = 0
    exact: bool = False
    data: bytes = attrs.field(default=b"", repr=False)


@attrs.frozen(kw_only=True)
class Command:
    """A command that has been checked: what to run, and in what surroundings.

    Either ``argv`` (run without a shell) or ``text`` (run by ``shell``, whose last word takes a script, like
    ``("/bin/sh", "-c")``) is set; all of it as bytes. ``timeout`` is in seconds. ``is_program`` says that ``argv``
    begins with ``/bin/sh -c`` and a script of the library's, which comes again and again; it may then have a
    ``content``, which stands for its stdin: who can hand it over as the last argument, in the form of ``printf %b``,
    without its becoming a process argument, takes the stdin again, unused. Nothing of it is in a repr.
    """

    argv: tuple[bytes, ...] | None = attrs.field(default=None, repr=False)
    text: bytes | None = attrs.field(default=None, repr=False)
    shell: tuple[bytes, ...] = attrs.field(default=(b"/bin/sh", b"-c"), repr=False)
    env: Mapping[str, bytes] = attrs.field(factory=dict, repr=False)
    cwd: bytes | None = attrs.field(default=None, repr=False)
    user: str | None = None
    timeout: float | None = None
    stdin: Stdin = attrs.field(factory=Stdin)
    is_program: bool = False
    content: bytes | None = attrs.field(default=None, repr=False)


@attrs.frozen
class TerminalSize:
    """How large a terminal is, in characters."""

    rows: int = 24
    columns: int = 80


@attrs.frozen
class Chunk:
    """A piece of output as it arrived: ``stream`` is 1 (stdout) or 2 (stderr)."""

    stream: Stream
    data: bytes


@attrs.frozen(kw_only=True)
class Result:
    """How a command ended and what it wrote.

    ``stdout`` and ``stderr`` hold at most the budget: head and tail joined, with no marker between them.
    ``stdout_dropped`` and ``stderr_dropped`` count the bytes left out. ``exit_code`` is 128+n for a death by
    signal n.
    """

    exit_code: int
    stdout: bytes = attrs.field(default=b"", repr=lambda b: f"<{len(b)} bytes>")
    stderr: bytes = attrs.field(default=b"", repr=lambda b: f"<{len(b)} bytes>")
    stdout_dropped: int = 0
    stderr_dropped: int = 0

    @property
    def truncated(self) -> bool:
        """Whether anything was left out of either stream."""
        return bool(self.stdout_dropped or self.stderr_dropped)

    @property
    def text(self) -> str:
        """Stdout as UTF-8, decoded whole, with U+FFFD for what is not UTF-8."""
        return self.stdout.decode("utf-8", "replace")

    @property
    def stderr_text(self) -> str:
        """Stderr as UTF-8, decoded whole, with U+FFFD for what is not UTF-8."""
        return self.stderr.decode("utf-8", "replace")


class TmuxStatus(enum.StrEnum):
    """How a tmux session is."""

    RUNNING = "running"
    COMPLETED = "completed"
    NOT_FOUND = "not_found"


@attrs.frozen(kw_only=True)
class TmuxPoll:
    """How a tmux session is, and what its command wrote from an offset on.

    ``exit_code`` is set when it has completed, and ``None`` all the same if what was to report it was killed.
    ``offset`` counts every byte that the command wrote up to the end of ``output``: ask for what comes next with it.
    ``truncated`` says that bytes between the offset asked for and that end are not in ``output``, since the log keeps
    the newest only.
    """

    status: TmuxStatus
    exit_code: int | None = None
    output: bytes = attrs.field(default=b"", repr=lambda b: f"<{len(b)} bytes>")
    offset: int = 0
    truncated: bool = False

    @property
    def text(self) -> str:
        """The output as UTF-8, decoded whole, with U+FFFD for what is not UTF-8."""
        return self.output.decode("utf-8", "replace")


@attrs.frozen(kw_only=True)
class TmuxInfo:
    """One session in a listing; ``terminal`` says whether it has one, or is run without tmux."""

    name: str
    status: TmuxStatus
    exit_code: int | None = None
    terminal: bool = True


@attrs.frozen
class Capability:
    """One thing that a provider can do here and now.

    ``value`` is ``True``, ``False`` or a word ("enforced", "cooperative"); ``reason`` says why not, or on what it
    rests.
    """

    value: bool | str
    reason: str = ""

    def __bool__(self) -> bool:
        return bool(self.value)


@attrs.frozen
class Probe:
    """Whether a provider works here, and if not, why and what would help."""

    works: bool
    reason: str = ""


FileType = Literal["file", "directory", "symlink", "fifo", "socket", "block", "character", "unknown"]


@attrs.frozen(kw_only=True)
class FileInfo:
    """A file's metadata: ``size`` in bytes, ``mode`` the permission bits, ``mtime`` seconds since the epoch.

    ``path`` is what was asked for, joined with the name in a listing; bytes that are not UTF-8 are kept as
    surrogate escapes. ``target`` is a symlink's text.
    """

    path: str
    type: FileType
    size: int
    mode: int
    uid: int
    gid: int
    mtime: float
    target: str | None = None

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rstrip("/").rsplit("/", 1)[-1]


@attrs.frozen(kw_only=True)
class TransferProgress:
    """How far an upload or a download is.

    ``bytes`` of files' contents have been passed on, the last ones of ``path``. ``total`` is how many there will be,
    for one file as far as it is known; ``None`` for a directory.
    """

    bytes: int
    path: str
    total: int | None = None


@attrs.frozen(kw_only=True)
class TransferResult:
    """What an upload or a download has brought over.

    ``directories`` are those within the one that was asked for, ``bytes`` those of files' contents. ``skipped`` names
    what is neither file, directory nor symlink, and ``changed`` what was written to or removed while it was read, so
    that it may be mixed of old and new; both relative to the directory that was asked for.
    """

    files: int = 0
    directories: int = 0
    symlinks: int = 0
    bytes: int = 0
    skipped: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
