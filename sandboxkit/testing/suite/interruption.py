"""Cancelling, interrupting and crashing clients: X7."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from sandboxkit.client import AsyncClient
from sandboxkit.sandbox import AsyncSandbox
from sandboxkit.testing import acts
from sandboxkit.testing.looking import alive, gone, needle, present, writable
from sandboxkit.testing.promises import promise
from sandboxkit.testing.stage import Stage
from sandboxkit.testing.stepping import at_each_step
from sandboxkit.testing.suite.timeouts import BOUND, MEMBERS, TREE


class Interruption:
    """Tests of operations that are broken off from the client's side."""

    @promise("X7", delta=True)
    async def test_interrupting_a_command_ends_its_tree(self, stage: Stage, box: AsyncSandbox) -> None:
        number = needle()
        took = await stage.interrupted(
            lambda: box.exec(TREE.replace("N", number)),
            lambda: stage.eventually(present(box, number, MEMBERS)),
        )
        assert took <= BOUND
        assert await alive(box, number) == 0
        assert (await box.exec("echo usable")).text == "usable\n"

    @promise("X7")
    async def test_interrupting_a_command_with_a_timeout_ends_it_too(self, stage: Stage, box: AsyncSandbox) -> None:
        number = needle()
        took = await stage.interrupted(
            lambda: box.exec(f"sleep {number}", timeout=300.0), lambda: stage.eventually(present(box, number))
        )
        assert took <= BOUND
        assert await alive(box, number) == 0

    @promise("X7")
    async def test_interrupting_a_command_that_is_fed_ends_it(self, stage: Stage, box: AsyncSandbox) -> None:
        number = needle()
        took = await stage.interrupted(
            lambda: box.exec(f"sleep {number}", input=b"x" * (8 << 20)),
            lambda: stage.eventually(present(box, number)),
        )
        assert took <= BOUND
        assert await alive(box, number) == 0

    @promise("X7")
    async def test_interrupting_who_follows_a_process_ends_it(self, stage: Stage, box: AsyncSandbox) -> None:
        number = needle()

        async def follow() -> None:
            async with box.spawn(f"echo out; sleep {number}") as process:
                async for _ in process:
                    pass

        took = await stage.interrupted(follow, lambda: stage.eventually(present(box, number)))
        assert took <= BOUND
        assert await alive(box, number) == 0

    @promise("X7")
    async def test_an_exec_cancelled_anywhere_leaves_no_process(self, stage: Stage, box: AsyncSandbox) -> None:
        number = needle()

        async def run(client: AsyncClient) -> None:
            same = await client.get(box.id)
            # It ends by itself, so that the last step is past its end.
            await same.exec(f"sleep {number} & echo out; sleep 0; kill $!", timeout=30.0)

        async for step in at_each_step(stage, most=14):
            await step.interrupt(run)
            assert await stage.eventually(gone(box, number), within=BOUND), f"interrupted at step {step.number}"
        assert (await box.exec("echo usable")).text == "usable\n"

    @promise("X7")
    async def test_files_cancelled_anywhere_are_whole(self, stage: Stage, box: AsyncSandbox) -> None:
        directory = await writable(box)
        path = f"{directory}/file"
        old, new = b"old" * 1000, b"new" * 50_000
        await box.files.write(path, old)
        operations: list[Callable[[AsyncSandbox], Awaitable[object]]] = [
            lambda same: same.files.write(path, new),
            lambda same: same.files.read(path),
            lambda same: same.files.list(directory),
        ]
        for operation in operations:

            async def act(client: AsyncClient, operation: Callable[..., Awaitable[object]] = operation) -> None:
                await operation(await client.get(box.id))

            async for step in at_each_step(stage, most=8):
                await step.interrupt(act)
                assert await box.files.read(path) in (old, new), f"interrupted at step {step.number}"

        names: list[str] = []

        async def tidy() -> bool:
            names[:] = [info.name for info in await box.files.list(directory)]
            return names == ["file"]

        assert await stage.eventually(tidy, within=BOUND), names

    @promise("X7")
    async def test_other_operations_cancelled_anywhere_can_be_done_again(
        self, stage: Stage, box: AsyncSandbox
    ) -> None:
        async def look(client: AsyncClient) -> None:
            assert (await client.info(box.id)).id == box.id
            assert box.id in {info.id async for info in client.list(labels=stage.labels)}

        async def follow(client: AsyncClient) -> None:
            same = await client.get(box.id)
            async with same.spawn(f"echo out; sleep {number}") as process:
                await process.__anext__()

        number = needle()
        for operation in (look, follow):
            async for step in at_each_step(stage, most=6):
                await step.interrupt(operation)
                await operation(stage.client)
                assert await stage.eventually(gone(box, number), within=BOUND), f"interrupted at step {step.number}"
        async for step in at_each_step(stage, most=6):
            doomed = (await stage.create()).id

            async def delete(client: AsyncClient, doomed: str = doomed) -> bool:
                return await client.delete(doomed)

            await step.interrupt(delete)
            await stage.client.delete(doomed)
            assert doomed not in await stage.listed(), f"interrupted at step {step.number}"

    @promise("X7")
    async def test_a_command_without_a_timeout_outlives_its_client(self, stage: Stage, box: AsyncSandbox) -> None:
        number = needle()
        with stage.child(acts.execute, box.id, f"sleep {number}", {}) as child:
            assert child.line() == "executing"
            assert await stage.eventually(present(box, number))
            child.kill()
        await stage.pause(1.0)
        assert await alive(box, number) == 1

    @promise("X7")
    async def test_many_interrupted_at_once_are_all_ended(self, stage: Stage, box: AsyncSandbox) -> None:
        number = needle()

        async def one() -> None:
            # Threads of the caller's own get no Ctrl-C: there, one that follows three processes is interrupted.
            if stage.world == "asyncio":
                await stage.gather(*[lambda: box.exec(f"sleep {number}; :")] * 10)
            else:
                await follow(3)

        async def follow(count: int) -> None:
            async with box.spawn(f"sleep {number}; :") as process:
                if count > 1:
                    await follow(count - 1)
                await process.wait()

        took = await stage.interrupted(one, lambda: stage.eventually(present(box, number, 3)))
        assert took <= BOUND
        assert await alive(box, number) == 0
