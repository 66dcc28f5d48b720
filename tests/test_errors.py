"""Errors are what callers of Python's own would catch, and survive a trip between processes."""

from __future__ import annotations

import errno
import pickle

import pytest

from sandboxkit import errors
from sandboxkit.model import Result


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [
        (errors.CommandTimeout, TimeoutError),
        (errors.InvalidCommand, ValueError),
        (errors.Unsupported, NotImplementedError),
        (errors.ProviderUnavailable, ConnectionError),
        (errors.SandboxNotFound, LookupError),
        (errors.FileMissing, FileNotFoundError),
        (errors.IsDirectory, IsADirectoryError),
        (errors.NotDirectory, NotADirectoryError),
        (errors.FilePermission, PermissionError),
        (errors.NoSpaceLeft, OSError),
        (errors.WorkingDirectoryError, OSError),
    ],
)
def test_each_is_also_the_built_in_that_callers_catch(kind: type, builtin: type) -> None:
    assert issubclass(kind, builtin)
    assert issubclass(kind, errors.SandboxError)


@pytest.mark.parametrize(
    "error",
    [
        errors.CommandTimeout("late", stdout=b"o", stderr=b"e", dispatched=True, killed=None),
        errors.CommandFailed("bad", result=Result(exit_code=3, stdout=b"x")),
        errors.FileMissing("gone", path="/x"),
        errors.NoSpaceLeft("full", path="/x"),
        errors.WorkingDirectoryError("no", errno=errno.ENOTDIR),
        errors.Unsupported("no", capability="pty", reason="why"),
        errors.ProviderError("x", provider_code="409", request_id="r", leftover="key"),
        errors.SandboxNotRunning("x", status="paused"),
    ],
)
def test_each_survives_pickling_whole(error: errors.SandboxError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert again.__dict__ == error.__dict__
    assert getattr(again, "errno", None) == getattr(error, "errno", None)


def test_file_errors_carry_their_errno_and_path() -> None:
    error = errors.NoSpaceLeft("no space left", path="/a")
    assert (error.errno, error.path, str(error)) == (errno.ENOSPC, "/a", "no space left")
