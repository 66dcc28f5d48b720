"""A command that was cancelled while the service was being asked for it leaves no process that waits for ever."""

from __future__ import annotations

import asyncio

import pytest
from sandboxkit_eci.emulator.testing import emulator

import sandboxkit
from sandboxkit import plugins

WAITING = "n=0;for p in /proc/[0-9]*;do n=$((n+1));done;echo $n"


@pytest.mark.skipif(not plugins.probe("local").works, reason="the emulator's containers are local's")
def test_a_command_that_is_started_for_nobody_sees_the_end_of_its_input() -> None:
    async def main() -> None:
        async with sandboxkit.connect_async("eci", image="any:1", **eci.options) as client, client.create() as box:
            before = (await box.exec(WAITING)).text
            eci.inject("ExecContainerCommand:slow=0.5,nth=1")
            task = asyncio.ensure_future(box.exec("sleep 30"))
            await asyncio.sleep(0.2)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            eci.clear_faults()
            async with asyncio.timeout(20):
                while eci.counts.sessions < 2:  # noqa: ASYNC110 - another thread counts
                    await asyncio.sleep(0.01)
                while (await box.exec(WAITING)).text != before:  # noqa: ASYNC110 - the sandbox is asked
                    await asyncio.sleep(0.05)

    with emulator("local", quirks=["exec-starts=on-call"]) as eci:
        asyncio.run(main())
