"""Looking into a sandbox, with the usual small tools only and nothing taken for granted."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from typing import TypeVar

from sandboxkit.errors import CommandError
from sandboxkit.model import Result
from sandboxkit.process import AsyncProcess
from sandboxkit.sandbox import AsyncSandbox

T = TypeVar("T")

TIMEOUTS = (1.0, 6.0, 30.0)
"""Seconds that a command may have, in turn, to come to its point."""


def needle() -> str:
    """Give a number that no other process has in its arguments: a long sleep's seconds."""
    return str(10**8 + secrets.randbelow(10**8))


async def alive(box: AsyncSandbox, number: str) -> int:
    """Count the sandbox's processes that sleep that long, whatever their parent, group or session."""
    found = await box.exec(
        "cd /proc; n=0; for p in [0-9]*; do s=; IFS= read -r s 2>/dev/null <$p/stat; s=${s##*) }; "
        'case $s in Z*|X*|"") continue;; esac; '
        '[ "$(tr "\\000" " " 2>/dev/null <$p/cmdline)" = "sleep $N " ] && n=$((n+1)); done; echo $n',
        env={"N": number},
    )
    return int(found.text)


def gone(box: AsyncSandbox, number: str) -> Callable[[], Awaitable[bool]]:
    """Make a check that none of them is left."""

    async def check() -> bool:
        return await alive(box, number) == 0

    return check


def present(box: AsyncSandbox, number: str, count: int = 1) -> Callable[[], Awaitable[bool]]:
    """Make a check that at least so many of them live: the control of every test that counts none."""

    async def check() -> bool:
        return await alive(box, number) >= count

    return check


async def writable(box: AsyncSandbox) -> str:
    """Give a new directory that the sandbox's user may write, on whatever image."""
    name = f"contract-{secrets.token_hex(6)}"
    made = await box.exec(
        'for d in "$PWD" "$HOME" /tmp /var/tmp /dev/shm; do case $d in /|"") continue;; esac; '
        'mkdir "$d/$N" 2>/dev/null && { printf %s "$d/$N"; exit 0; }; done; exit 1',
        env={"N": name},
    )
    assert made.exit_code == 0, "no directory of the sandbox can be written"
    return made.text


async def may_write(box: AsyncSandbox, directory: str) -> bool:
    """Tell whether a file can be made there, by making one: busybox's test does not know of read-only mounts."""
    probe = f"contract-{secrets.token_hex(6)}"
    made = await box.exec('mkdir "$D/$N" 2>/dev/null && rmdir "$D/$N"', env={"D": directory, "N": probe})
    return made.exit_code == 0


async def user_id(box: AsyncSandbox) -> int:
    """Give the number of the sandbox's user."""
    return int((await box.exec(["id", "-u"])).text)


async def has(box: AsyncSandbox, program: str) -> bool:
    """Tell whether the image has a program."""
    return (await box.exec(f"command -v {program} >/dev/null")).exit_code == 0


async def outcome(running: Awaitable[Result]) -> Result | CommandError:
    """Give what came of a command that may end in either way."""
    try:
        return await running
    except CommandError as error:
        return error


async def reaching(box: AsyncSandbox, run: Callable[[float, dict[str, str]], Awaitable[T]]) -> T:
    """Run a command with a timeout, and again with a longer one while it does not come to its point in time.

    ``run`` is given the timeout, and the environment of a command that makes the file ``$REACHED`` at its point. A
    busy machine may take all of a short timeout from it; what is to be seen in time is seen for certain then.
    """
    reached = f"{await writable(box)}/reached"
    for timeout in TIMEOUTS:
        ended = await run(timeout, {"REACHED": reached})
        if await box.files.exists(reached):
            return ended
    raise AssertionError(f"the command did not come to its point in {TIMEOUTS[-1]} s")


async def until(process: AsyncProcess, text: bytes) -> bytes:
    """Read a process until a text has come."""
    seen = b""
    async for chunk in process:
        seen += chunk.data
        if text in seen:
            return seen
    raise AssertionError(f"ended after {seen!r}")
