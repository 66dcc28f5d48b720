"""One face for every sandbox: ``connect`` to a provider, ``create`` a sandbox, ``exec`` a command."""

from typing import TYPE_CHECKING

from sandboxkit.connect import connect, connect_async
from sandboxkit.errors import (
    ArgumentsTooLong,
    AuthenticationFailed,
    BadArchive,
    CommandError,
    CommandFailed,
    CommandLost,
    CommandTimeout,
    DeadlineExceeded,
    FileError,
    FileExists,
    FileMissing,
    FilePermission,
    FileTooLarge,
    IdempotencyConflict,
    ImageNotFound,
    InvalidCommand,
    InvalidRequest,
    InvalidSpec,
    IsDirectory,
    NoCapacity,
    NoSpaceLeft,
    NotAtomic,
    NotDirectory,
    ProviderError,
    ProviderNotFound,
    ProviderUnavailable,
    QuotaExceeded,
    SandboxError,
    SandboxNotFound,
    SandboxNotRunning,
    SessionEnded,
    SessionError,
    SessionExists,
    SessionNotFound,
    StatusUnreported,
    Throttled,
    TmuxUnavailable,
    Unsupported,
    WorkingDirectoryError,
)
from sandboxkit.model import (
    Capability,
    Chunk,
    FileInfo,
    Probe,
    Result,
    SandboxInfo,
    SandboxSpec,
    Status,
    TerminalSize,
    TmuxInfo,
    TmuxPoll,
    TmuxStatus,
    TransferProgress,
    TransferResult,
)
from sandboxkit.plugins import hookimpl

if TYPE_CHECKING:
    from sandboxkit.client import AsyncClient
    from sandboxkit.files import AsyncFiles
    from sandboxkit.process import AsyncProcess
    from sandboxkit.sandbox import AsyncSandbox
    from sandboxkit.session import AsyncSession
    from sandboxkit.sync import Client, Files, Process, Sandbox, Session, Tmux
    from sandboxkit.tmux import AsyncTmux
else:
    # Most of the time of "import sandboxkit" otherwise, for classes that users meet through connect().
    _LAZY = {
        "AsyncClient": "client",
        "AsyncFiles": "files",
        "AsyncProcess": "process",
        "AsyncSandbox": "sandbox",
        "AsyncSession": "session",
        "AsyncTmux": "tmux",
        "Client": "sync",
        "Files": "sync",
        "Process": "sync",
        "Sandbox": "sync",
        "Session": "sync",
        "Tmux": "sync",
    }

    def __getattr__(name):
        if name not in _LAZY:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        value = globals()[name] = getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
        return value

    def __dir__():
        return sorted({*globals(), *_LAZY})


__all__ = [
    "ArgumentsTooLong",
    "AsyncClient",
    "AsyncFiles",
    "AsyncProcess",
    "AsyncSandbox",
    "AsyncSession",
    "AsyncTmux",
    "AuthenticationFailed",
    "BadArchive",
    "Capability",
    "Chunk",
    "Client",
    "CommandError",
    "CommandFailed",
    "CommandLost",
    "CommandTimeout",
    "DeadlineExceeded",
    "FileError",
    "FileExists",
    "FileInfo",
    "FileMissing",
    "FilePermission",
    "FileTooLarge",
    "Files",
    "IdempotencyConflict",
    "ImageNotFound",
    "InvalidCommand",
    "InvalidRequest",
    "InvalidSpec",
    "IsDirectory",
    "NoCapacity",
    "NoSpaceLeft",
    "NotAtomic",
    "NotDirectory",
    "Probe",
    "Process",
    "ProviderError",
    "ProviderNotFound",
    "ProviderUnavailable",
    "QuotaExceeded",
    "Result",
    "Sandbox",
    "SandboxError",
    "SandboxInfo",
    "SandboxNotFound",
    "SandboxNotRunning",
    "SandboxSpec",
    "Session",
    "SessionEnded",
    "SessionError",
    "SessionExists",
    "SessionNotFound",
    "Status",
    "StatusUnreported",
    "TerminalSize",
    "Throttled",
    "Tmux",
    "TmuxInfo",
    "TmuxPoll",
    "TmuxStatus",
    "TmuxUnavailable",
    "TransferProgress",
    "TransferResult",
    "Unsupported",
    "WorkingDirectoryError",
    "connect",
    "connect_async",
    "hookimpl",
]
