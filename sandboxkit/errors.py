"""Every error that sandboxkit raises, as one small tree.

::

    SandboxError
    ├── InvalidRequest (ValueError)          refused before anything was sent
    │   ├── InvalidSpec
    │   ├── InvalidCommand
    │   ├── ArgumentsTooLong
    │   └── IdempotencyConflict
    ├── Unsupported (NotImplementedError)    an undeclared capability
    ├── ProviderNotFound (LookupError)       no such plugin, or a broken one
    ├── ProviderError                        the provider failed, not the command
    │   ├── ProviderUnavailable (ConnectionError)
    │   ├── DeadlineExceeded (TimeoutError)
    │   ├── AuthenticationFailed
    │   ├── Throttled
    │   ├── QuotaExceeded
    │   ├── NoCapacity
    │   └── ImageNotFound
    ├── SandboxNotFound (LookupError)
    ├── SandboxNotRunning
    ├── CommandError                         one command, not the sandbox
    │   ├── CommandTimeout (TimeoutError)
    │   ├── CommandFailed                    non-zero exit, only with check=True
    │   ├── CommandLost (ConnectionError)    no exit code will ever be known
    │   │   └── StatusUnreported             the command killed what was to report it
    │   └── WorkingDirectoryError (OSError)
    ├── SessionError                         a tmux session
    │   ├── SessionExists                    the name is taken; nothing ran
    │   ├── SessionNotFound (LookupError)
    │   ├── SessionEnded                     what needs a running terminal came too late
    │   └── TmuxUnavailable                  no tmux in the sandbox, or none that works
    └── FileError (OSError)
        ├── FileMissing (FileNotFoundError)
        ├── FileExists (FileExistsError)
        ├── IsDirectory (IsADirectoryError)
        ├── NotDirectory (NotADirectoryError)
        ├── FilePermission (PermissionError)
        ├── NoSpaceLeft
        ├── FileTooLarge
        ├── NotAtomic
        └── BadArchive

Each class has a stable ``code``. Messages never hold credentials, environment values or command texts.
"""

from __future__ import annotations

import errno as _errno
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from sandboxkit.model import Result


class SandboxError(Exception):
    """The root of the tree.

    ``code`` is stable and meant for programs; ``provider_code`` and ``request_id`` are the backend's own,
    where it gave any.
    """

    code: ClassVar[str] = "sandbox_error"

    def __init__(self, message: str, *, provider_code: str | None = None, request_id: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.provider_code = provider_code
        self.request_id = request_id

    def __str__(self) -> str:
        # OSError would format errno and filename itself; the message already names them.
        return self.message

    def __reduce__(self) -> tuple[Any, ...]:
        # Exceptions rebuild themselves from args, which keyword-only attributes would break across processes.
        return (_rebuild, (type(self), self.message, self.__dict__.copy()))


def _rebuild(kind: type[SandboxError], message: str, state: dict[str, Any]) -> SandboxError:
    error = kind.__new__(kind, message)
    error.args = (message,)
    error.__dict__.update(state)
    if isinstance(error, OSError):
        error.errno = state.get("_errno")
    return error


class InvalidRequest(SandboxError, ValueError):
    """What was asked for cannot be right; nothing was sent."""

    code = "invalid_request"


class InvalidSpec(InvalidRequest):
    """A sandbox specification or a connect option is wrong."""

    code = "invalid_spec"


class InvalidCommand(InvalidRequest):
    """A command, its environment, directory or shell is wrong."""

    code = "invalid_command"


class ArgumentsTooLong(InvalidRequest):
    """One argument is over 131,071 bytes, or the kernel refused the total."""

    code = "arguments_too_long"


class IdempotencyConflict(InvalidRequest):
    """The idempotency key was already used with another specification."""

    code = "idempotency_conflict"


class Unsupported(SandboxError, NotImplementedError):
    """The provider does not declare ``capability``; ``reason`` says why. Nothing was sent."""

    code = "unsupported"

    def __init__(self, message: str, *, capability: str, reason: str = "") -> None:
        super().__init__(message)
        self.capability = capability
        self.reason = reason


class ProviderNotFound(SandboxError, LookupError):
    """No plugin of that name is installed, or it could not be imported."""

    code = "provider_not_found"


class ProviderError(SandboxError):
    """The provider failed; this is never about the exit of a command.

    ``retryable`` says that the same call may succeed later, ``retry_after`` (seconds) when the provider said
    so. ``leftover`` is the idempotency key of a create whose remains could not be removed: the deadline and
    ``gc`` take them.
    """

    code = "provider_error"
    retryable: bool = False

    def __init__(
        self,
        message: str,
        *,
        provider_code: str | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
        leftover: str | None = None,
    ) -> None:
        super().__init__(message, provider_code=provider_code, request_id=request_id)
        self.retry_after = retry_after
        self.leftover = leftover


class ProviderUnavailable(ProviderError, ConnectionError):
    """The backend cannot be reached, or answered with a passing fault."""

    code = "provider_unavailable"
    retryable = True


class DeadlineExceeded(ProviderError, TimeoutError):
    """The backend did not answer within the operation's deadline."""

    code = "deadline_exceeded"


class AuthenticationFailed(ProviderError):
    """The backend refused the credentials."""

    code = "authentication_failed"


class Throttled(ProviderError):
    """The backend asked to slow down."""

    code = "throttled"
    retryable = True


class QuotaExceeded(ProviderError):
    """The account or host has no quota left for this."""

    code = "quota_exceeded"


class NoCapacity(ProviderError):
    """The backend has no room (stock, memory, disk) for this now."""

    code = "no_capacity"


class ImageNotFound(ProviderError):
    """The image is neither present nor can it be pulled."""

    code = "image_not_found"


class SandboxNotFound(SandboxError, LookupError):
    """No sandbox has this id; it never existed or was deleted."""

    code = "sandbox_not_found"


class SandboxNotRunning(SandboxError):
    """The sandbox exists but cannot run a command now; ``status`` says what it is."""

    code = "sandbox_not_running"

    def __init__(self, message: str, *, status: str) -> None:
        super().__init__(message)
        self.status = status


class CommandError(SandboxError):
    """One command went wrong while the sandbox itself may be fine.

    ``stdout`` and ``stderr`` are what had arrived (bytes, within the output budget). ``dispatched`` is ``False``
    if the command certainly did not run, ``True`` if the sandbox accepted it, ``None`` if that is unknown.
    """

    code = "command_error"

    def __init__(
        self, message: str, *, stdout: bytes = b"", stderr: bytes = b"", dispatched: bool | None = None
    ) -> None:
        super().__init__(message)
        self.stdout = stdout
        self.stderr = stderr
        self.dispatched = dispatched


class CommandTimeout(CommandError, TimeoutError):
    """The command's time was up.

    ``killed`` is ``True`` when its whole tree is confirmed dead, ``False`` when some of it is known to live,
    ``None`` when that could not be confirmed.
    """

    code = "command_timeout"

    def __init__(
        self,
        message: str,
        *,
        stdout: bytes = b"",
        stderr: bytes = b"",
        dispatched: bool | None = None,
        killed: bool | None = None,
    ) -> None:
        super().__init__(message, stdout=stdout, stderr=stderr, dispatched=dispatched)
        self.killed = killed


class CommandFailed(CommandError):
    """``check=True`` was asked for and the exit code was not 0; ``result`` is the whole result."""

    code = "command_failed"

    def __init__(self, message: str, *, result: Result) -> None:
        super().__init__(message, stdout=result.stdout, stderr=result.stderr, dispatched=True)
        self.result = result


class CommandLost(CommandError, ConnectionError):
    """The channel dropped before the exit status arrived; see ``dispatched``."""

    code = "command_lost"


class StatusUnreported(CommandLost):
    """The channel ended in order but without a status: the command killed what was to report it."""

    code = "status_unreported"


class WorkingDirectoryError(CommandError, OSError):
    """The command's working directory is missing or cannot be entered; ``errno`` says which."""

    code = "working_directory"

    def __init__(self, message: str, *, errno: int = _errno.ENOENT) -> None:
        super().__init__(message, dispatched=False)
        self.errno = self._errno = errno


class SessionError(SandboxError):
    """A tmux session could not be started or ended; nothing else is affected."""

    code = "session_error"


class SessionExists(SessionError):
    """The session's name is taken, by one that runs or by one that has ended and was not killed; nothing ran."""

    code = "session_exists"


class SessionNotFound(SessionError, LookupError):
    """The sandbox's user has no session of this name."""

    code = "session_not_found"


class SessionEnded(SessionError):
    """The session's command has ended, or its terminal is gone."""

    code = "session_ended"


class TmuxUnavailable(SessionError):
    """The session has no terminal: the sandbox has no tmux, or none that works."""

    code = "tmux_unavailable"


class FileError(SandboxError, OSError):
    """A file operation failed in the sandbox; ``errno`` and ``path`` say how and where."""

    code = "file_error"
    default_errno: ClassVar[int] = _errno.EIO

    def __init__(self, message: str, *, path: str = "", errno: int | None = None) -> None:
        super().__init__(message)
        self.path = path
        self.errno = self._errno = self.default_errno if errno is None else errno


class FileMissing(FileError, FileNotFoundError):
    """No such file or directory in the sandbox."""

    code = "file_missing"
    default_errno = _errno.ENOENT


class FileExists(FileError, FileExistsError):
    """The target exists already."""

    code = "file_exists"
    default_errno = _errno.EEXIST


class IsDirectory(FileError, IsADirectoryError):
    """A directory stands where a file is needed."""

    code = "is_directory"
    default_errno = _errno.EISDIR


class NotDirectory(FileError, NotADirectoryError):
    """A part of the path is not a directory."""

    code = "not_directory"
    default_errno = _errno.ENOTDIR


class FilePermission(FileError, PermissionError):
    """The sandbox's user may not do this, or the file system is read-only."""

    code = "file_permission"
    default_errno = _errno.EACCES


class NoSpaceLeft(FileError):
    """The sandbox's disk or quota is full; the old content is untouched."""

    code = "no_space_left"
    default_errno = _errno.ENOSPC


class FileTooLarge(FileError):
    """The file is larger than the read's ``limit``."""

    code = "file_too_large"
    default_errno = _errno.EFBIG


class NotAtomic(FileError):
    """An atomic write is not possible here (mount point, special file); ``atomic=False`` writes in place."""

    code = "not_atomic"
    default_errno = _errno.EXDEV


class BadArchive(FileError):
    """What the sandbox sent of a directory is no archive, or one that points outside; nothing was changed."""

    code = "bad_archive"
