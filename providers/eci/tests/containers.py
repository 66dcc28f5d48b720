"""Containers of the emulator's backends, and what is said in them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from sandboxkit_eci.emulator.backend import ContainerSpec
from sandboxkit_eci.emulator.backends.machines import SandboxMachine
from sandboxkit_eci.emulator.session import SessionQuirks, collect

from .served import PATIENCE, served

BUSYBOX = "sandboxkit-test:busybox"


def container(*words: str, **more: Any) -> ContainerSpec:
    """Describe a container that runs a script, by default one that waits for its removal."""
    words = words or ("trap 'exit 143' TERM; while :; do sleep 1000 & wait $!; done",)
    given = {"command": ("/bin/sh", "-c"), "args": words, "image": BUSYBOX, **more}
    return ContainerSpec(group_id="eci-1", name="main", **given)


def sh(script: str) -> tuple[str, ...]:
    return ("/bin/sh", "-c", script)


async def said(machine: SandboxMachine, script: str) -> str:
    return await collect(await machine.exec(sh(script), tty=False))


@asynccontextmanager
async def session(machine: SandboxMachine, script: str, *, tty: bool = False, **quirks: Any) -> AsyncIterator[Any]:
    stream = await machine.exec(sh(script), tty=tty)
    async with served(stream, tty=tty, quirks=SessionQuirks(**quirks)) as client:
        yield client


async def becomes(machine: SandboxMachine, script: str) -> None:
    """Wait until a script in the container says ``yes``."""
    async with asyncio.timeout(PATIENCE):
        while (await said(machine, script)).strip() != "yes":
            pass
