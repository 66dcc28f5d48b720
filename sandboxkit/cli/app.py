"""The commands, as click knows them; each imports what it needs when it is called."""

from __future__ import annotations

from typing import Any

import click

from sandboxkit.cli.options import (
    WithCommand,
    command_of,
    command_options,
    connect_options,
    memory,
    pair,
    provider_options,
    sandbox_options,
    surroundings_options,
)
from sandboxkit.cli.sessions import tmux

_OWN = {"allow_interspersed_args": False}  # what follows the first word of the command is the command's own


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="sandboxkit", message="%(prog)s %(version)s")
@click.pass_context
def app(context: click.Context) -> None:
    """Run commands in sandboxes: on this machine, in Docker, or wherever a provider makes them.

    Exit codes: the command's own; 124 at its timeout, 125 when sandboxkit itself failed, 128+n after signal n.
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@app.command(context_settings=_OWN)
@provider_options
@sandbox_options
@command_options
def run(**given: Any) -> int:
    """Make a sandbox, run COMMAND in it and delete it.

    The command's stdout and stderr are passed on as they come, and so is what is piped in. Ctrl-C ends all of it.
    """
    from sandboxkit.cli.running import run

    return run(given)


@app.command("exec", context_settings=_OWN)
@provider_options
@click.argument("sandbox_id", metavar="ID")
@command_options
def exec_(**given: Any) -> int:
    """Run COMMAND in a sandbox that exists; otherwise like 'run'."""
    from sandboxkit.cli.running import exec_

    return exec_(given)


@app.command("sh", cls=WithCommand)
@provider_options
@sandbox_options
@surroundings_options
@click.argument("sandbox_id", metavar="[ID]", required=False)
@click.pass_context
def sh(context: click.Context, /, **given: Any) -> int:
    """Open a shell in a new sandbox, which is deleted afterwards, or in the one with that ID.

    It has the whole terminal: colours, Ctrl-C, window size. Give '-- COMMAND...' for another program than the shell.
    """
    from sandboxkit.cli.shell import shell

    if given["sandbox_id"] is not None:
        for option in ("image", "ttl", "cpu", "memory_gib", "network", "labels", "keep"):
            if given[option] not in (None, (), False):
                raise click.UsageError(
                    f"--{option.removesuffix('s').removesuffix('_gib')} is for a new sandbox", context
                )
    return shell(given, command_of(context))


@app.command()
@provider_options
@click.argument("source", metavar="SRC")
@click.argument("target", metavar="DST")
def cp(**given: Any) -> int:
    """Copy a file or a directory to a sandbox or from one.

    One of SRC and DST is a sandbox's, written ID:PATH, the other local; a local name with a colon is written
    ./NAME. A file gets the name DST, or keeps its own where DST is a directory or ends in a slash. All that a
    directory holds comes into DST, which is made if it is missing. Modes, times and symlinks are kept.
    """
    from sandboxkit.cli.copying import copy

    return copy(given)


@app.command()
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.option("-c", "--capabilities", is_flag=True, help="Say what each can do here.")
def providers(as_json: bool, capabilities: bool) -> None:
    """Show the installed providers: whether each works here, and if not, why."""
    from sandboxkit.cli.showing import show_providers

    show_providers(as_json=as_json, capabilities=capabilities)


@app.command("list")
@provider_options
@click.option("-l", "--label", "labels", multiple=True, type=pair, metavar="KEY=VALUE", help="Only those with it.")
@click.option("-s", "--status", "statuses", multiple=True, help="Only those that are so: running, stopped ...")
@click.option("-q", "--quiet", is_flag=True, help="Only ids.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def list_(
    provider: str | None,
    connect: tuple[tuple[str, str], ...],
    labels: tuple[tuple[str, str], ...],
    statuses: tuple[str, ...],
    quiet: bool,
    as_json: bool,
) -> None:
    """Show the sandboxes of a provider, every owner's."""
    from sandboxkit import Status
    from sandboxkit import connect as open_client
    from sandboxkit.cli.showing import show_sandboxes

    try:
        wanted = [Status(status) for status in statuses]
    except ValueError as exc:
        raise click.BadParameter(f"{exc} (there are: {', '.join(Status)})", param_hint="--status") from None
    with open_client(provider, **connect_options(connect)) as client:
        found = list(client.list(labels=dict(labels), status=wanted))
    show_sandboxes(found, ids_only=quiet, as_json=as_json)


@app.command()
@provider_options
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
def delete(provider: str | None, connect: tuple[tuple[str, str], ...], ids: tuple[str, ...]) -> None:
    """Delete sandboxes, whoever made them, and print their ids."""
    from sandboxkit import connect as open_client
    from sandboxkit.cli.entry import say

    with open_client(provider, **connect_options(connect)) as client:
        for sandbox_id in ids:
            if client.delete(sandbox_id):
                click.echo(sandbox_id)
            else:
                say(f"there is no sandbox {sandbox_id!r} to delete; see: sandboxkit list")


@app.command()
@provider_options
@click.option("-n", "--dry-run", is_flag=True, help="Only say which.")
def gc(provider: str | None, connect: tuple[tuple[str, str], ...], dry_run: bool) -> None:
    """Delete what is expired, failed or half made among your own sandboxes, and print the ids."""
    from sandboxkit import connect as open_client

    with open_client(provider, **connect_options(connect)) as client:
        for info in client.gc(dry_run=dry_run):
            click.echo(info.id)


@app.command("contract", cls=WithCommand)
@provider_options
@click.option("-i", "--image", metavar="IMAGE", help="The sandboxes' image, where the provider has images.")
@click.option("--cpu", type=float, metavar="CORES", help="What every sandbox is given.")
@click.option("-m", "--memory", "memory_gib", type=memory, metavar="SIZE", help="What every sandbox is given.")
@click.option("--world", type=click.Choice(["blocking", "asyncio"]), help="Only that one. Default: both.")
@click.option("--delta", is_flag=True, help="Only what an image, a user, the isolation or the transport may change.")
@click.option("--full", is_flag=True, help="Also what is heavy.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask whether it may cost something.")
@click.argument("name", metavar="[PROVIDER]", required=False)
@click.pass_context
def contract(context: click.Context, /, **given: Any) -> int:
    """Prove that a provider keeps the contract, here and with these options; all that is made is deleted.

    Give '-- ARGUMENTS...' for pytest's own, as -k or -x.
    """
    from sandboxkit.cli.contracting import contract

    return contract(given, command_of(context))


app.add_command(tmux)
