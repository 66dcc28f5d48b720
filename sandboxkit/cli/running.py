"""``run`` and ``exec``: one command in a sandbox, followed to its end."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from typing import Any

from sandboxkit import connect_async
from sandboxkit.cli.entry import fail, say
from sandboxkit.cli.interruption import Interruption
from sandboxkit.cli.options import connect_options
from sandboxkit.cli.streaming import follow, has_input
from sandboxkit.client import AsyncClient
from sandboxkit.sandbox import AsyncSandbox


def run(given: Mapping[str, Any]) -> int:
    """Make a sandbox for one command and delete it afterwards, whatever happens."""

    async def work(interruption: Interruption) -> int:
        async with open_client(given) as client, create(client, given) as box:
            if given["keep"]:
                box.owned = False
                say(f"keeping sandbox {box.id}")
            return await _follow(box, given, interruption, {})

    return Interruption().run(work)


def exec_(given: Mapping[str, Any]) -> int:
    """Run one command in a sandbox that exists."""
    if given["command"][0] == "--":  # click leaves it there, after the id
        given = {**given, "command": given["command"][1:]}
    if not given["command"]:
        return fail("there is no command after '--' (see: sandboxkit exec --help)")

    async def work(interruption: Interruption) -> int:
        surroundings = {name: given[name] for name in ("cwd", "user")} | {"env": dict(given["env"])}
        async with open_client(given) as client:
            return await _follow(await client.get(given["sandbox_id"]), given, interruption, surroundings)

    return Interruption().run(work)


def open_client(given: Mapping[str, Any]) -> AsyncClient:
    """Connect as the options say."""
    return connect_async(given["provider"], **connect_options(given["connect"]))


def create(client: AsyncClient, given: Mapping[str, Any]) -> contextlib.AbstractAsyncContextManager[AsyncSandbox]:
    """Make the sandbox that the options describe, to be deleted where its block ends."""
    # The sandbox's own, so that they hold also for what is run in it later, with --keep.
    names = ("image", "cpu", "memory_gib", "ttl", "cwd", "user", "network")
    return client.create(
        **{name: given[name] for name in names}, env=dict(given["env"]), labels=dict(given["labels"])
    )


async def _follow(
    box: AsyncSandbox, given: Mapping[str, Any], interruption: Interruption, surroundings: Mapping[str, Any]
) -> int:
    stdin = not given["no_stdin"] and has_input()
    # As bytes: an argument that is not UTF-8 arrives as it is.
    command = [os.fsencode(word) for word in given["command"]]
    # What the feeder takes aside waits here for the writer and must not be dropped.
    process = box.spawn(command, timeout=given["timeout"], stdin=stdin, max_output=None, **surroundings)
    async with process as running:
        return await follow(running, interruption, stdin=stdin)
