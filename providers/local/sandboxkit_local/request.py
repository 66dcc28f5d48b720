"""What the client asks PID 1 to start, as one frame."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sandboxkit.model import MAX_ARGUMENT
from sandboxkit_local.wire import TEXT_FD, frame

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandboxkit.model import Command, TerminalSize

_STUB = b'_sandboxkit_text=$(cat <&%d; echo .); exec %d<&-; eval "unset _sandboxkit_text;${_sandboxkit_text%%.}"' % (
    TEXT_FD,
    TEXT_FD,
)
"""What a shell runs to read a text that is too long for an argument; the text sees its own $$ and stdin."""


def make_request(mark: int, command: Command, size: TerminalSize | None = None) -> tuple[bytes, int | None]:
    """Give the frame that asks PID 1 to start a command, and a descriptor with its text if that is too long."""
    argv, text = list(command.argv or ()), None
    if command.text is not None:
        if len(command.text) <= MAX_ARGUMENT:
            argv = [*command.shell, command.text]
        else:
            argv = [*command.shell, _STUB]
            text = _memory_file(command.text)
    streams = b"" if command.stdin.kind == "none" else b"pipe"
    if size is not None:
        streams = b"terminal %d %d" % (size.rows, size.columns)
    return _request(mark, command.timeout, streams, command.cwd or b"", argv, command.env, text is not None), text


def _request(
    mark: int,
    timeout: float | None,
    streams: bytes,
    cwd: bytes,
    argv: list[bytes],
    env: Mapping[str, bytes],
    has_text: bool,
) -> bytes:
    pairs = [part for name, value in env.items() for part in (name.encode(), value)]
    return frame(
        b"run",
        b"%d" % mark,
        b"" if timeout is None else b"%.6f" % timeout,
        streams,
        cwd,
        b"text" if has_text else b"",
        b"%d" % len(argv),
        *argv,
        *pairs,
    )


def _memory_file(data: bytes) -> int:
    fd = os.memfd_create("sandboxkit", os.MFD_CLOEXEC)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(fd, rest) :]
        os.lseek(fd, 0, os.SEEK_SET)
    except BaseException:
        os.close(fd)
        raise
    return fd
