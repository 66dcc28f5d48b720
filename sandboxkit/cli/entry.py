"""From the process to click and back: exit codes, and errors as one line.

A command's own exit code is passed on. 124 is its timeout, 125 is sandboxkit's own failure, wrong usage included
(as with ``timeout`` and ``docker run``), 128+n is the end by signal n. 126 and 127 come from the command.
"""

from __future__ import annotations

import errno
import sys
from typing import TYPE_CHECKING

from sandboxkit.cli.descriptors import give_up_output, occupy

if TYPE_CHECKING:
    import click

TIMED_OUT = 124
FAILED = 125
INTERRUPTED = 130
PIPE_CLOSED = 141

_EXTRA = ("click", "rich")
_UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF)
"""What a file that is written to may answer. Other errors of the system are our mistakes and keep their traceback."""


def main() -> None:
    """Run the command line and exit."""
    try:
        occupy()
        from sandboxkit.cli.app import app

        code = invoke(app)
    except ImportError as exc:
        if exc.name is None or exc.name.partition(".")[0] not in _EXTRA:
            raise
        code = fail(f"the command line needs the package {exc.name!r}; try: pip install 'sandboxkit[cli]'")
    except KeyboardInterrupt:
        code = INTERRUPTED
    sys.exit(code)


def invoke(command: click.Command) -> int:
    """Run a click command and give the exit code; what a user can meet is told in one line, without a traceback."""
    import click

    from sandboxkit.errors import CommandTimeout, ProviderError, SandboxError

    stdout = sys.stdout
    try:
        code = command.main(prog_name="sandboxkit", standalone_mode=False)
        sys.stdout.flush()
    except SystemExit:
        if sys.stdout is stdout:
            raise
        # click's own end where a reader went away: it has put another stdout there, and says 1.
        give_up_output()
        return PIPE_CLOSED
    except click.Abort:
        return INTERRUPTED
    except click.ClickException as exc:
        context = getattr(exc, "ctx", None)
        hint = f" (see: {context.command_path} --help)" if context is not None else ""
        return fail(exc.format_message() + hint)
    except CommandTimeout as exc:
        return fail(str(exc), TIMED_OUT)
    except SandboxError as exc:
        left = exc.leftover if isinstance(exc, ProviderError) else None
        return fail(str(exc) + (f"; something is left behind (key {left}): try: sandboxkit gc" if left else ""))
    except BrokenPipeError:
        give_up_output()
        return PIPE_CLOSED
    except OSError as exc:
        if exc.errno not in _UNWRITABLE:
            raise
        give_up_output()
        return fail(f"cannot write{f' {exc.filename!r}' if exc.filename else ''}: {exc.strerror}")
    return code if isinstance(code, int) else 0


def fail(message: str, code: int = FAILED) -> int:
    """Tell what is wrong, on one line, and give the exit code."""
    say(message)
    return code


def say(message: str) -> None:
    """Write one line to stderr; nobody reading it is no error."""
    if sys.stderr is None:  # print would take stdout
        return
    line = " ".join(f"sandboxkit: {message}".split())
    try:
        print(line, file=sys.stderr, flush=True)
    except OSError:
        sys.stderr = None
