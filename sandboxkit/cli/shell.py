"""``sh``: a shell in a sandbox, on this terminal."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from sandboxkit.cli.entry import say
from sandboxkit.cli.interruption import Interruption
from sandboxkit.cli.running import create, open_client
from sandboxkit.cli.streaming import follow, has_input
from sandboxkit.cli.terminal import has_terminal, interact, terminal_size
from sandboxkit.sandbox import AsyncSandbox

BEST_SHELL = "command -v bash >/dev/null 2>&1&&exec bash;exec sh"
"""What finds the best shell there is; of its own it leaves nothing in the shell."""


def shell(given: Mapping[str, Any], command: Sequence[str]) -> int:
    """Make a sandbox for a shell and delete it afterwards, or enter one that exists."""

    async def work(interruption: Interruption) -> int:
        async with open_client(given) as client:
            if given["sandbox_id"] is not None:
                surroundings = {name: given[name] for name in ("cwd", "user")}
                box = await client.get(given["sandbox_id"])
                return await _enter(box, command, interruption, surroundings, dict(given["env"]))
            async with create(client, given) as box:
                if given["keep"]:
                    box.owned = False
                    say(f"keeping sandbox {box.id}")
                return await _enter(box, command, interruption, {}, {})

    return Interruption().run(work)


async def _enter(
    box: AsyncSandbox,
    command: Sequence[str],
    interruption: Interruption,
    surroundings: Mapping[str, Any],
    env: Mapping[str, str],
) -> int:
    what = [os.fsencode(word) for word in command] if command else BEST_SHELL
    if has_terminal():
        here = {name: os.environ[name] for name in ("TERM", "COLORTERM") if os.environ.get(name)}
        spawned = box.spawn(what, terminal=terminal_size(), env={**here, **env}, max_output=None, **surroundings)
        async with spawned as process:
            return await interact(process, interruption)
    stdin = has_input()
    async with box.spawn(what, stdin=stdin, env=env, max_output=None, **surroundings) as process:
        return await follow(process, interruption, stdin=stdin)
