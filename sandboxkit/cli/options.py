"""Options that several commands share, and what their values mean."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Any

import click

F = Callable[..., Any]

_COMMAND = "sandboxkit.command"

_UNITS = {"": 1.0, "g": 1.0, "gib": 1.0, "m": 1 / 1024, "mib": 1 / 1024}
_MEMORY = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)\Z", re.IGNORECASE)


def pair(value: str) -> tuple[str, str]:
    """Read ``KEY=VALUE``."""
    key, equals, text = value.partition("=")
    if not key or not equals:
        raise click.BadParameter(f"{value!r} is not KEY=VALUE")
    return key, text


def variable(value: str) -> tuple[str, str]:
    """Read ``KEY=VALUE``, or ``KEY`` for the variable of that name here."""
    key, equals, text = value.partition("=")
    if equals:
        return key, text
    if key not in os.environ:
        raise click.BadParameter(f"there is no variable {key!r} to pass on; give {key}=VALUE")
    return key, os.environ[key]


def memory(value: str) -> float:
    """Read a size in GiB, or with a unit: ``512m``, ``2g``."""
    match = _MEMORY.match(value)
    unit = _UNITS.get(match[2].lower()) if match else None
    if match is None or unit is None:
        raise click.BadParameter(f"{value!r} is not a size in GiB, nor one like 512m or 2g")
    return float(match[1]) * unit


def _plain(value: str) -> Any:
    import json

    try:
        return json.loads(value)
    except ValueError:
        return value


def connect_options(pairs: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    """Make connect options: a value that is JSON (``true``, ``3``, ``["a"]``) is that, any other is text."""
    return {key: _plain(value) for key, value in pairs}


def provider_options(command: F) -> F:
    """Add the options that say which provider."""
    for option in (
        click.option(
            "-o",
            "--option",
            "connect",
            multiple=True,
            type=pair,
            metavar="KEY=VALUE",
            help="The provider's own connect options.",
        ),
        click.option(
            "-p", "--provider", metavar="NAME", help="Default: SANDBOXKIT_PROVIDER, else local; see 'providers'."
        ),
    ):
        command = option(command)
    return command


def sandbox_options(command: F) -> F:
    """Add the options that say what sandbox to make."""
    for option in (
        click.option("--keep", is_flag=True, help="Leave the sandbox to its deadline; its id goes to stderr."),
        click.option(
            "-l", "--label", "labels", multiple=True, type=pair, metavar="KEY=VALUE", help="A label to find it by."
        ),
        click.option("--network/--no-network", default=None, help="Default: the provider's, see its README."),
        click.option(
            "-m", "--memory", "memory_gib", type=memory, metavar="SIZE", help="At most that much: GiB, or like 512m."
        ),
        click.option("--cpu", type=float, metavar="CORES", help="At most that many."),
        click.option(
            "--ttl", type=float, metavar="SECONDS", help="The sandbox's deadline, come what may. Default: 3600."
        ),
        click.option("-i", "--image", metavar="IMAGE", help="What to run it in, where the provider has images."),
    ):
        command = option(command)
    return command


def command_options(command: F) -> F:
    """Add the command to run and what limits and feeds it."""
    for option in (
        click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- COMMAND..."),
        click.option("--no-stdin", is_flag=True, help="Do not pass piped input on to the command."),
        click.option("-t", "--timeout", type=float, metavar="SECONDS", help="End it after that long; exit 124."),
        surroundings_options,
    ):
        command = option(command)
    return command


def surroundings_options(command: F) -> F:
    """Add what a command finds around it."""
    for option in (
        click.option("-u", "--user", metavar="USER", help="The user that it runs as."),
        click.option("-w", "--cwd", "--workdir", "cwd", metavar="PATH", help="Its working directory."),
        click.option(
            "-e",
            "--env",
            multiple=True,
            type=variable,
            metavar="KEY[=VALUE]",
            help="A variable for it, KEY alone as it is here.",
        ),
    ):
        command = option(command)
    return command


class WithCommand(click.Command):
    """A command of ours whose own arguments end at ``--``: what follows is a command for the sandbox."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        at = args.index("--") if "--" in args else len(args)
        ctx.meta[_COMMAND] = tuple(args[at + 1 :])
        return super().parse_args(ctx, args[:at])

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return [*super().collect_usage_pieces(ctx), "[-- COMMAND...]"]


def command_of(context: click.Context) -> tuple[str, ...]:
    """Give what followed ``--``."""
    words: tuple[str, ...] = context.meta[_COMMAND]
    return words
