"""The command line where stdin, stdout or stderr is closed, or takes nothing more."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from tests import test_cli
from tests.test_cli import PATIENCE, PYTHON, Cli, sandboxkit

cli = test_cli.cli
reach = test_cli.reach


def shell(redirection: str, *words: str | bytes) -> subprocess.CompletedProcess[bytes]:
    """Run it as a shell does that redirects something of it."""
    script = f'exec "$@" {redirection}'
    command = ["sh", "-c", script, "sh", *PYTHON, "-m", "sandboxkit.cli", *words]
    # Its stdin stays open, unless it is redirected: nothing ends because of that.
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            code = process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.terminate()
            raise
        return subprocess.CompletedProcess(command, code, process.stdout.read(), process.stderr.read())


def parts(done: subprocess.CompletedProcess[bytes]) -> tuple[int, bytes, bytes]:
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def kept(cli: Cli) -> Iterator[str]:
    """A sandbox that exists."""
    cli.run("--keep", "--", "true")
    (found,) = cli.there()
    yield found
    cli.delete(found)


def test_a_closed_stdin_is_empty(cli: Cli, kept: str) -> None:
    where = ("-p", cli.provider, kept)
    assert parts(shell("<&-", "exec", *where, "--", "cat")) == (0, b"", b"")
    assert parts(shell("<&-", "sh", *where, "--", "cat")) == (0, b"", b"")
    # Without input there is nothing to type, which is no error.
    started = sandboxkit("tmux", "start", "-p", cli.provider, "-n", "one", kept, "--", "sleep", "100")
    assert started.returncode == 0
    done = shell("<&-", "tmux", "send", *where, "one", "-")
    assert b"Traceback" not in done.stderr


def test_a_closed_stdout_is_one_whose_reader_went_away(cli: Cli, kept: str) -> None:
    where = ("-p", cli.provider, kept)
    assert parts(shell(">&-", "exec", *where, "--", "echo", "hi")) == (141, b"", b"")
    assert parts(shell(">&-", "exec", *where, "--", "sh", "-c", "echo err >&2; exit 4")) == (4, b"", b"err\n")
    assert parts(shell(">&-", "list", "-p", cli.provider)) == (141, b"", b"")
    started = sandboxkit("tmux", "start", "-p", cli.provider, "-n", "one", "--no-echo", kept, "--", "echo", "hi")
    assert started.returncode == 0
    assert sandboxkit("tmux", "wait", *where, "one").stdout == b"hi\n"
    assert parts(shell(">&-", "tmux", "poll", *where, "one")) == (141, b"", b"")


def test_a_closed_stderr_changes_no_exit_code(cli: Cli, kept: str) -> None:
    script = "echo out; echo err >&2; exit 4"
    assert parts(shell("2>&-", "exec", "-p", cli.provider, kept, "--", "sh", "-c", script)) == (4, b"out\n", b"")
    assert parts(shell("2>&-", "run", "-p", "dokcer", "--", "true")) == (125, b"", b"")
    # Nothing that is meant for stderr comes out at stdout.
    assert parts(shell("2>&-", "delete", "-p", cli.provider, "nosuch", "norsuch")) == (0, b"", b"")
    assert parts(shell("2>/dev/full", "delete", "-p", cli.provider, "nosuch", "norsuch")) == (0, b"", b"")


def test_a_copy_needs_none_of_them(cli: Cli, kept: str) -> None:
    for redirection in ("<&- >&- 2>&-", ">&-", "2>&-"):
        done = shell(redirection, "cp", "-p", cli.provider, __file__, f"{kept}:/tmp/")
        assert parts(done) == (0, b"", b"")


@pytest.mark.parametrize("words", [("--version",), ("--help",), ("run", "--help"), ("providers",), ()])
def test_what_nobody_reads_ends_quietly_with_141(words: tuple[str, ...]) -> None:
    assert parts(shell(">&-", *words)) == (141, b"", b"")
    assert parts(shell(">&- 2>&-", *words)) == (141, b"", b"")
    # The same where there was a reader.
    command = [*PYTHON, "-m", "sandboxkit.cli", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.wait(PATIENCE) == 141
        assert process.stderr.read() == b""


def test_programs_that_are_started_find_all_three_open() -> None:
    script = "import os; from sandboxkit.cli.descriptors import occupy; occupy(); os.execvp('sh', ['sh', '-c', "
    script += "'for n in 0 1 2; do [ -e /proc/self/fd/$n ] || exit 1; done'])"
    done = subprocess.run(["sh", "-c", '"$@" <&- >&- 2>&-', "sh", *PYTHON, "-c", script])
    assert done.returncode == 0


FULL = b"sandboxkit: cannot write: No space left on device\n"


@pytest.mark.parametrize("words", [("--version",), ("--help",), ("run", "--help"), ("providers",), ("tmux",)])
def test_output_that_does_not_fit_is_told_on_one_line(words: tuple[str, ...]) -> None:
    assert parts(shell(">/dev/full", *words)) == (125, b"", FULL)


def test_output_of_a_sandbox_that_does_not_fit_is_told_on_one_line(cli: Cli, kept: str) -> None:
    where = ("-p", cli.provider, kept)
    assert parts(shell(">/dev/full", "exec", *where, "--", "echo", "hi")) == (125, b"", FULL)
    assert parts(shell(">/dev/full", "sh", *where, "--", "echo", "hi")) == (125, b"", FULL)
    assert parts(shell(">/dev/full", "list", "-p", cli.provider)) == (125, b"", FULL)
    command = ("-n", "one", "--no-echo", kept, "--", "echo", "hi")
    assert parts(shell(">/dev/full", "tmux", "start", "-p", cli.provider, *command)) == (125, b"", FULL)
    assert sandboxkit("tmux", "wait", *where, "one").stdout == b"hi\n"
    for subcommand in (("wait", *where, "one"), ("poll", *where, "one"), ("ls", *where)):
        assert parts(shell(">/dev/full", "tmux", *subcommand)) == (125, b"", FULL)
    assert parts(shell("2>/dev/full", "exec", *where, "--", "sh", "-c", "echo err >&2")) == (125, b"", b"")
