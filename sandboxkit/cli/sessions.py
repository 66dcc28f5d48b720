"""``sandboxkit tmux …``: sessions of a sandbox from the command line."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from sandboxkit.cli.options import connect_options, provider_options, variable

if TYPE_CHECKING:
    from sandboxkit.model import TmuxPoll
    from sandboxkit.sync import Tmux

F = Callable[..., Any]


@click.group(invoke_without_command=True)
@click.pass_context
def tmux(context: click.Context) -> None:
    """Run commands in tmux sessions of a sandbox, and come back to them later."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def _of_a_user(command: F) -> F:
    return click.option("-u", "--user", metavar="USER", help="Whose session it is. Default: the sandbox's user.")(
        command
    )


def _named(command: F) -> F:
    """Add what says which session of which sandbox."""
    for option in (
        click.argument("name"),
        click.argument("sandbox_id", metavar="ID"),
        _of_a_user,
        provider_options,
    ):
        command = option(command)
    return command


@contextmanager
def _sessions(given: dict[str, Any]) -> Iterator[Tmux]:
    from sandboxkit import connect

    with connect(given["provider"], **connect_options(given["connect"])) as client:
        yield client.get(given["sandbox_id"]).tmux


@tmux.command(context_settings={"allow_interspersed_args": False})
@provider_options
@click.option("-n", "--name", help="What to call it. Default: made up.")
@click.option("-e", "--env", multiple=True, type=variable, metavar="KEY[=VALUE]", help="A variable for it.")
@click.option("-w", "--cwd", "--workdir", "cwd", metavar="PATH", help="Its working directory.")
@click.option("--echo/--no-echo", default=True, help="--no-echo keeps its output byte for byte.")
@_of_a_user
@click.argument("sandbox_id", metavar="ID")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- COMMAND...")
def start(**given: Any) -> None:
    """Start COMMAND in a session of its own and print the session's name."""
    words = given["command"][given["command"][0] == "--" :]
    command = [os.fsencode(word) for word in words]
    options = {key: given[key] for key in ("name", "cwd", "user", "echo")}
    with _sessions(given) as sessions:
        click.echo(sessions.start(command, env=dict(given["env"]), **options).name)


@tmux.command()
@_named
@click.option("--offset", type=int, default=0, help="Only what it wrote from this byte on.")
@click.option("--json", "as_json", is_flag=True, help="For programs: with status, exit_code, offset and truncated.")
def poll(as_json: bool, offset: int, **given: Any) -> int:
    """Print what a session has written so far; say on stderr how it is."""
    with _sessions(given) as sessions:
        found = sessions.get(given["name"], user=given["user"]).poll(offset)
    return _show(found, as_json=as_json)


@tmux.command()
@_named
@click.option("-t", "--timeout", type=float, metavar="SECONDS", help="Wait at most that long; then exit 124.")
@click.option("--kill", is_flag=True, help="End its command then.")
@click.option("--offset", type=int, default=0, help="Only what it wrote from this byte on.")
@click.option("--json", "as_json", is_flag=True, help="For programs: with status, exit_code, offset and truncated.")
def wait(timeout: float | None, kill: bool, offset: int, as_json: bool, **given: Any) -> int:
    """Wait for a session's end, print what it wrote, and exit with its exit code."""
    from sandboxkit.cli.entry import FAILED, TIMED_OUT
    from sandboxkit.model import TmuxStatus

    with _sessions(given) as sessions:
        found = sessions.get(given["name"], user=given["user"]).wait(timeout, offset=offset, kill=kill)
    _show(found, as_json=as_json)
    if found.status is TmuxStatus.RUNNING:
        return TIMED_OUT
    return FAILED if found.exit_code is None else found.exit_code


@tmux.command()
@provider_options
@_of_a_user
@click.argument("sandbox_id", metavar="ID")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
def kill(names: tuple[str, ...], **given: Any) -> None:
    """End sessions, all of their processes, and forget them."""
    with _sessions(given) as sessions:
        for name in names:
            sessions.get(name, user=given["user"]).kill()


@tmux.command("ls")
@provider_options
@_of_a_user
@click.argument("sandbox_id", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def list_(as_json: bool, **given: Any) -> None:
    """Show the sessions, those that have ended too."""
    from sandboxkit.cli.showing import show_sessions

    with _sessions(given) as sessions:
        found = sessions.list(user=given["user"])
    show_sessions(found, as_json=as_json)


@tmux.command()
@_named
@click.argument("text", required=False)
@click.option("-k", "--key", "keys", multiple=True, metavar="KEY", help="After the text: Enter, C-c, Up, F1 ...")
def send(text: str | None, keys: tuple[str, ...], **given: Any) -> None:
    """Type TEXT as it is ('-': what is on stdin), then keys."""
    data = sys.stdin.buffer.read() if text == "-" else os.fsencode(text or "")
    with _sessions(given) as sessions:
        sessions.get(given["name"], user=given["user"]).send_keys(data, keys=keys)


@tmux.command()
@_named
@click.option("--history", type=int, default=0, metavar="LINES", help="And that many lines from above the screen.")
@click.option("--escapes", is_flag=True, help="With colours and the like.")
def capture(history: int, escapes: bool, **given: Any) -> None:
    """Print a session's screen."""
    with _sessions(given) as sessions:
        click.echo(
            sessions.get(given["name"], user=given["user"]).capture(history=history, escapes=escapes), nl=False
        )


@tmux.command()
@_named
def attach(**given: Any) -> int:
    """Be at a session's terminal, until its command ends or you detach (Ctrl-b d).

    Where this is no terminal: print the command that attaches from within the sandbox.
    """
    from sandboxkit.cli.attaching import attach_to

    return attach_to(given)


def _show(found: TmuxPoll, *, as_json: bool) -> int:
    from sandboxkit.cli.entry import say
    from sandboxkit.cli.showing import show_poll

    if as_json:
        show_poll(found)
        return 0
    sys.stdout.buffer.write(found.output)
    sys.stdout.flush()  # how it is says nothing to someone who gets no output
    code = "" if found.exit_code is None else f", exit code {found.exit_code}"
    cut = ", the log was cut" if found.truncated else ""
    say(f"{found.status}{code}, offset {found.offset}{cut}")
    return 0
