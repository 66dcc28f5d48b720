"""What goes wrong with the daemon, in sandboxkit's errors; pure."""

from __future__ import annotations

import re

from urllib3.exceptions import (
    ConnectTimeoutError,
    NewConnectionError,
    ProtocolError,
    ReadTimeoutError,
    SSLError,
)

from sandboxkit.errors import (
    AuthenticationFailed,
    DeadlineExceeded,
    ImageNotFound,
    InvalidSpec,
    NoCapacity,
    ProviderError,
    ProviderUnavailable,
    QuotaExceeded,
    SandboxError,
    Throttled,
)

_HINT = "is it running? 'docker info' tells; connect(base_url=...) or DOCKER_HOST names another"

# The daemon has no codes of its own, only HTTP statuses: 500 says nothing, so its words are all there is.
_WORDS: tuple[tuple[str, type[ProviderError]], ...] = (
    ("no space left on device|cannot allocate memory|not enough memory", NoCapacity),
    ("port is already allocated|address already in use|resource temporarily unavailable", NoCapacity),
    ("disk quota exceeded|quota", QuotaExceeded),
    ("toomanyrequests|too many requests|rate limit", Throttled),
)
_BAD_SPEC = re.compile(
    "unable to find user|no matching entries in (passwd|group) file|unknown runtime|invalid .*capabilit|Range of CPUs"
    "|unknown capability|no such file or directory|executable file not found|permission denied|not a directory"
    "|is a directory|mount path must be absolute|invalid mount|duplicate mount point|exec format error",
    re.IGNORECASE,
)


def failure(status: int, message: str, doing: str) -> SandboxError:
    """Give the error for an answer that is none of those that the caller expects."""
    said = f"{doing}: the docker daemon answered {status}: {message.strip() or 'nothing more'}"
    code = str(status)
    if status == 400:
        return InvalidSpec(said, provider_code=code)
    if status in (401, 403):
        return AuthenticationFailed(said, provider_code=code)
    if status == 429:
        return Throttled(said, provider_code=code)
    for words, kind in _WORDS:
        if re.search(words, message, re.IGNORECASE):
            return kind(said, provider_code=code)
    if status in (502, 503, 504):
        return ProviderUnavailable(said, provider_code=code)
    return ProviderError(said, provider_code=code)


def refused_spec(status: int, message: str, doing: str) -> SandboxError:
    """Give the error for a container that could not be created or started."""
    found = failure(status, message, doing)
    if type(found) is ProviderError and _BAD_SPEC.search(message):
        return InvalidSpec(found.message, provider_code=str(status))
    if isinstance(found, InvalidSpec) and "/bin/sh" in message:
        return InvalidSpec(
            f"the image has no /bin/sh, which sandboxkit needs ({message.strip()})", provider_code=str(status)
        )
    return found


def pull_failure(image: str, message: str, *, status: int | None = None) -> ProviderError:
    """Give the error for an image that could not be pulled."""
    code = None if status is None else str(status)
    said = f"image {image!r} is not present and could not be pulled: {message.strip()}"
    if re.search("unauthorized|incorrect username|authentication required", message, re.IGNORECASE):
        return AuthenticationFailed(said, provider_code=code)
    for words, kind in _WORDS:
        if re.search(words, message, re.IGNORECASE):
            return kind(said, provider_code=code)
    return ImageNotFound(said, provider_code=code)


def unreachable(exc: BaseException, address: str, doing: str) -> ProviderError:
    """Give the error for a call without an answer."""
    cause = _cause(exc)
    if isinstance(cause, ReadTimeoutError | ConnectTimeoutError | TimeoutError) and not isinstance(
        cause, NewConnectionError
    ):
        return DeadlineExceeded(f"the docker daemon at {address} did not answer in time ({doing})")
    if isinstance(cause, PermissionError):
        return AuthenticationFailed(
            f"no permission to use the docker daemon at {address}; "
            "a user of the group 'docker' or root may, or a rootless daemon of your own"
        )
    if isinstance(cause, SSLError):
        return AuthenticationFailed(f"no TLS connection to the docker daemon at {address}: {cause}")
    if isinstance(cause, FileNotFoundError | ConnectionRefusedError | NewConnectionError):
        return ProviderUnavailable(f"no docker daemon at {address}; {_HINT}")
    return ProviderUnavailable(
        f"the docker daemon at {address} dropped the connection ({doing}): {type(cause).__name__}"
    )


def never_connected(error: ProviderError) -> bool:
    """Whether the request behind an error from :func:`unreachable` certainly did not reach the daemon."""
    cause = _cause(error.__cause__)
    return isinstance(
        cause,
        PermissionError
        | FileNotFoundError
        | ConnectionRefusedError
        | NewConnectionError
        | ConnectTimeoutError
        | SSLError,
    )


def _cause(exc: BaseException | None) -> BaseException | None:
    """Find what urllib3 wrapped."""
    if isinstance(exc, ProtocolError) and len(exc.args) > 1 and isinstance(exc.args[1], BaseException):
        return exc.args[1]
    return exc


def redacted(error: SandboxError, secrets: tuple[str, ...]) -> SandboxError:
    """Take secrets out of the daemon's words, which may quote what was sent."""
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= 4:
            error.message = error.message.replace(secret, "[removed]")
    error.args = (error.message,)
    return error
