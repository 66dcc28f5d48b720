"""``tmux attach``: a session's terminal on this one."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

import click

from sandboxkit.cli.interruption import Interruption
from sandboxkit.cli.running import open_client
from sandboxkit.cli.terminal import has_terminal, interact, terminal_size


def attach_to(given: Mapping[str, Any]) -> int:
    """Attach to the session that the options name; without a terminal print what would."""

    async def work(interruption: Interruption) -> int:
        async with open_client(given) as client:
            box = await client.get(given["sandbox_id"])
            session = await box.tmux.get(given["name"], user=given["user"])
            if not has_terminal():
                click.echo(shlex.join(await session.attach_command()))
                return 0
            async with session.attach(terminal_size()) as process:
                return await interact(process, interruption)

    return Interruption().run(work)
