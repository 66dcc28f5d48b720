"""No needless call: what each operation asks of the service, counted at the emulator, in both worlds."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

import pytest
from sandboxkit_eci.emulator.testing import Emulator, emulator

import sandboxkit
from sandboxkit import TmuxStatus
from sandboxkit.client import AsyncClient
from sandboxkit.driver import run
from sandboxkit.sandbox import AsyncSandbox

from .gated import gate, most_looks

T = TypeVar("T")

Body = Callable[[AsyncClient], Awaitable[T]]

CREATE, DELETE, EXEC = "CreateContainerGroup", "DeleteContainerGroup", "ExecContainerCommand"
GROUPS, STATUS = "DescribeContainerGroups", "DescribeContainerGroupStatus"

MANY = 20
"""Sandboxes that are made at once."""

PATIENCE = 60.0
"""Seconds after which what should happen at once is taken to never happen."""


class World:
    """One of the two worlds: runs what is written once, for asyncio, as the blocking client does or in a loop."""

    def __init__(self, name: str) -> None:
        self.name = name

    def run(self, eci: Emulator, body: Body[T], *, warm: bool = False) -> T:
        """Run something with a client."""
        options: dict[str, Any] = {**eci.options, "image": "busybox:1", "warm": warm}
        if self.name == "blocking":
            with sandboxkit.connect("eci", **options) as client:
                return run(body(client._async))  # type: ignore[arg-type]

        async def connected() -> T:
            async with sandboxkit.connect_async("eci", **options) as client:
                return await body(client)

        return asyncio.run(connected())

    async def at_once(self, works: list[Callable[[], Awaitable[T]]]) -> list[T]:
        """Do all of it at once: in tasks, or in threads."""
        if self.name == "asyncio":
            return list(await asyncio.gather(*[work() for work in works]))
        with ThreadPoolExecutor(len(works)) as threads:
            return list(threads.map(lambda work: run(work()), works))


@pytest.fixture(params=["blocking", "asyncio"])
def world(request: pytest.FixtureRequest) -> World:
    return World(request.param)


@pytest.fixture(scope="module")
def real() -> Iterator[Emulator]:
    """One whose containers run commands."""
    with emulator("local") as running:
        yield running


@contextmanager
def counted(eci: Emulator) -> Iterator[Counter[str]]:
    """Count each action that is asked for while the block lasts."""
    before, spent = Counter(eci.requests), Counter[str]()
    yield spent
    spent.update(Counter(eci.requests) - before)


def with_sandbox(
    world: World, eci: Emulator, body: Callable[[AsyncSandbox], Awaitable[None]], *, warm: bool = False
) -> None:
    """Run something with a sandbox, to which channels are kept if it is to be ``warm``."""

    async def whole(client: AsyncClient) -> None:
        async with client.create() as box:
            await body(box)

    world.run(eci, whole, warm=warm)


# -- commands ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "options", "output"),
    [
        (["true"], {}, b""),
        ("echo $A; pwd; cat", {"env": {"A": "1"}, "cwd": "/", "input": b"x" * 100_000}, b"1\n/\n" + b"x" * 100_000),
        (["head", "-c", "3000000", "/dev/zero"], {"timeout": 60}, bytes(3_000_000)),
        (": " + "x" * 150_000 + "\necho long", {}, b"long\n"),
    ],
    ids=["true", "surroundings", "output", "long"],
)
def test_a_command_is_one_call(
    world: World, real: Emulator, command: Any, options: dict[str, Any], output: bytes
) -> None:
    async def body(box: AsyncSandbox) -> None:
        for _ in range(2):
            with counted(real) as spent:
                result = await box.exec(command, **options)
            assert (result.exit_code, result.stdout) == (0, output)
            assert spent == {EXEC: 1}

    with_sandbox(world, real, body)


def test_a_command_that_is_written_to_and_read_from_is_one_call(world: World, real: Emulator) -> None:
    async def body(box: AsyncSandbox) -> None:
        with counted(real) as spent:
            process = await box.spawn(["cat"], stdin=True)
            for line in (b"one\n", b"two\n"):
                await process.write(line)
                assert (await process.__anext__()).data == line
            await process.close_stdin()
            assert await process.wait() == 0
        assert spent == {EXEC: 1}

    with_sandbox(world, real, body)


def test_a_sandbox_that_another_made_is_asked_about_once(world: World, real: Emulator) -> None:
    async def body(box: AsyncSandbox) -> None:
        made = box.id

        async def another(client: AsyncClient) -> None:
            with counted(real) as spent:
                found = await client.get(made)
            assert spent == {GROUPS: 1}
            with counted(real) as spent:
                for _ in range(3):
                    await found.exec(["true"])
            assert spent == {EXEC: 3}

        # A client of another process: it remembers nothing of the first one's.
        if world.name == "blocking":
            world.run(real, another)
        else:
            await asyncio.to_thread(world.run, real, another)

    with_sandbox(world, real, body)


# -- tmux ----------------------------------------------------------------------------------------------------------


def test_a_poll_of_a_session_is_one_call_and_so_is_its_start(world: World, real: Emulator) -> None:
    async def body(box: AsyncSandbox) -> None:
        with counted(real) as spent:
            session = await box.tmux.start("echo hello; sleep 3600", echo=False)
        assert spent == {EXEC: 1}
        for _ in range(3):
            with counted(real) as spent:
                assert (await session.poll()).status is TmuxStatus.RUNNING
            assert spent == {EXEC: 1}
        with counted(real) as spent:
            await session.kill()
        assert spent == {EXEC: 1}

    with_sandbox(world, real, body)


def test_a_session_is_waited_for_in_few_calls(world: World, real: Emulator) -> None:
    async def body(box: AsyncSandbox) -> None:
        with counted(real) as spent:
            session = await box.tmux.start("sleep 0.5; echo done", echo=False)
            found = await session.wait(timeout=120)
        assert (found.status, found.output) == (TmuxStatus.COMPLETED, b"done\n")
        # The sandbox itself waits, some seconds in each call.
        assert spent[EXEC] <= 4
        assert set(spent) == {EXEC}

    with_sandbox(world, real, body)


# -- files ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1_000, 5_000_000])
def test_a_file_is_written_and_read_in_one_call_each(world: World, real: Emulator, size: int) -> None:
    content = (b"0123456789abcdef" * (size // 16 + 1))[:size]

    async def body(box: AsyncSandbox) -> None:
        with counted(real) as spent:
            await box.files.write("file", content)
        assert spent == {EXEC: 1}
        with counted(real) as spent:
            assert await box.files.read("file") == content
        assert spent == {EXEC: 1}

    with_sandbox(world, real, body)


# -- channels that are kept ----------------------------------------------------------------------------------------


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep every channel that may be kept, however long a busy machine takes to say so."""
    monkeypatch.setattr("sandboxkit.pool.READY_LIMIT", PATIENCE)


@pytest.mark.usefixtures("patient")
def test_over_a_channel_that_is_kept_nothing_is_asked_of_the_service(world: World, real: Emulator) -> None:
    content = b"0123456789abcdef" * 100_000

    async def body(box: AsyncSandbox) -> None:
        with counted(real) as spent:
            assert (await box.exec(["true"])).exit_code == 0
        assert spent == {EXEC: 1}
        with counted(real) as spent:
            assert (await box.exec("cat; exit 3", input=b"x" * 100_000, timeout=60)).exit_code == 3
            await box.files.write("file", content)
            assert await box.files.read("file") == content
            session = await box.tmux.start("echo hello; sleep 3600", echo=False)
            for _ in range(3):
                assert (await session.poll()).status is TmuxStatus.RUNNING
            await session.kill()
        assert spent == {}

    with_sandbox(world, real, body, warm=True)


@pytest.mark.usefixtures("patient")
def test_commands_at_once_open_no_more_channels_than_there_are_of_them(world: World, real: Emulator) -> None:
    # Each makes a file and ends once there are four, so that all of them run at the same time.
    together = 'mkdir -p "$D"; : >"$D/$$"; until set -- "$D"/*; [ $# -eq 4 ]; do sleep 0.02; done; echo one'

    async def body(box: AsyncSandbox) -> None:
        async def one(directory: str) -> None:
            assert (await box.exec(together, env={"D": directory}, timeout=PATIENCE)).text == "one\n"

        with counted(real) as spent:
            await world.at_once([lambda: one("first")] * 4)
        assert spent == {EXEC: 4}
        with counted(real) as spent:
            await world.at_once([lambda: one("second")] * 4)
        assert spent == {}

    with_sandbox(world, real, body, warm=True)


# -- lifecycle -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [0, 20, 21, 45])
def test_sandboxes_are_listed_by_the_twenty(world: World, eci: Emulator, number: int) -> None:
    async def body(client: AsyncClient) -> None:
        made = {(await client.create(wait=False)).id for _ in range(number)}
        with counted(eci) as spent:
            assert {info.id async for info in client.list()} == made
        assert spent == {GROUPS: max(1, math.ceil(number / 20))}

    world.run(eci, body)


def test_one_create_and_one_delete_are_one_call_each_and_a_look(world: World, eci: Emulator) -> None:
    async def body(client: AsyncClient) -> None:
        with counted(eci) as spent:
            box = await client.create()
        assert (spent[CREATE], spent[DELETE], spent[EXEC]) == (1, 0, 0)
        assert sum(spent.values()) <= 3
        with counted(eci) as spent:
            assert await box.delete()
        assert spent[DELETE] == 1
        assert set(spent) == {DELETE, GROUPS}
        assert sum(spent.values()) <= 3

    world.run(eci, body)


def test_what_is_made_and_deleted_at_once_shares_its_looks(world: World, eci: Emulator) -> None:
    async def body(client: AsyncClient) -> None:
        waiting = client.provider.waiting  # type: ignore[attr-defined]
        groups = eci.service.groups
        gate(waiting._briefly, MANY, lambda: {group.status for group in groups.all()} == {"Running"})
        gate(waiting._wholly, MANY, lambda: not len(groups))

        async def create() -> AsyncSandbox:
            return await client.create()

        with counted(eci) as spent:
            boxes = await world.at_once([create] * MANY)
        assert len({box.id for box in boxes}) == MANY
        assert (spent[CREATE], spent[DELETE], spent[EXEC]) == (MANY, 0, 0)
        assert set(spent) == {CREATE, STATUS}
        assert spent[STATUS] <= most_looks(MANY)
        with counted(eci) as spent:
            assert all(await world.at_once([box.delete for box in boxes]))
        assert spent[DELETE] == MANY
        assert set(spent) == {DELETE, GROUPS}
        assert spent[GROUPS] <= most_looks(MANY)

    world.run(eci, body)
