"""What the daemon says, in sandboxkit's errors."""

from __future__ import annotations

from http.client import RemoteDisconnected

import pytest
from sandboxkit_docker.faults import failure, never_connected, pull_failure, redacted, refused_spec, unreachable
from urllib3.exceptions import ConnectTimeoutError, ProtocolError, ReadTimeoutError, SSLError

from sandboxkit.errors import (
    SandboxError,
)


@pytest.mark.parametrize(
    ("status", "message", "code"),
    [
        (400, "bad parameter", "invalid_spec"),
        (401, "who are you", "authentication_failed"),
        (403, "authorization denied by plugin", "authentication_failed"),
        (429, "slow down", "throttled"),
        (500, "write /var/lib: no space left on device", "no_capacity"),
        (500, "fork/exec: cannot allocate memory", "no_capacity"),
        (500, "disk quota exceeded", "quota_exceeded"),
        (503, "shutting down", "provider_unavailable"),
        (500, "something odd", "provider_error"),
    ],
)
def test_an_answer_has_its_error_with_the_daemons_code_and_words(status: int, message: str, code: str) -> None:
    error = failure(status, message, "doing it")
    assert (error.code, error.provider_code) == (code, str(status))
    assert message in str(error)


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("pull access denied for x, repository does not exist", "image_not_found"),
        ("manifest for x:y not found: manifest unknown", "image_not_found"),
        ("Get https://registry: dial tcp: lookup registry: no such host", "image_not_found"),
        ("unauthorized: incorrect username or password", "authentication_failed"),
        ("toomanyrequests: You have reached your pull rate limit", "throttled"),
        ("write /var/lib/docker: no space left on device", "no_capacity"),
    ],
)
def test_a_failed_pull_has_its_error(message: str, code: str) -> None:
    assert pull_failure("x:y", message).code == code


def test_a_missing_shell_is_named() -> None:
    message = 'OCI runtime create failed: exec: "/bin/sh": stat /bin/sh: no such file or directory: unknown'
    assert "no /bin/sh" in str(refused_spec(400, message, "starting"))


def test_secrets_are_taken_out_of_the_daemons_words() -> None:
    error = redacted(SandboxError("bad value hunter2-secret and hunter2"), ("hunter2", "hunter2-secret", "a"))
    assert str(error) == "bad value [removed] and [removed]"
    assert error.args == ("bad value [removed] and [removed]",)


@pytest.mark.parametrize(
    ("cause", "code", "connected"),
    [
        (ProtocolError("x", PermissionError(13, "no")), "authentication_failed", False),
        (ProtocolError("x", FileNotFoundError(2, "no")), "provider_unavailable", False),
        (ProtocolError("x", ConnectionRefusedError(111, "no")), "provider_unavailable", False),
        (ProtocolError("x", ConnectionResetError(104, "no")), "provider_unavailable", True),
        (ProtocolError("x", RemoteDisconnected("no")), "provider_unavailable", True),
        (ReadTimeoutError(None, "/", "no"), "deadline_exceeded", True),  # type: ignore[arg-type]
        (ConnectTimeoutError("no"), "deadline_exceeded", False),
        (TimeoutError("no"), "deadline_exceeded", True),
        (SSLError("no"), "authentication_failed", False),
    ],
)
def test_a_call_without_an_answer_has_its_error(cause: Exception, code: str, connected: bool) -> None:
    error = unreachable(cause, "unix:///d", "GET /x")
    error.__cause__ = cause
    assert (error.code, never_connected(error)) == (code, not connected)
