"""Getting, listing and deleting sandboxes, and what a block does on its way out: L3, L4, L5, L9, L10, X11."""

from __future__ import annotations

import socket
import time

import pytest

import sandboxkit
from sandboxkit import Status
from sandboxkit.client import AsyncClient
from sandboxkit.sandbox import AsyncSandbox
from sandboxkit.testing import acts
from sandboxkit.testing.looking import needle
from sandboxkit.testing.promises import promise
from sandboxkit.testing.stage import Stage

FAST = 10.0
"""Seconds within which a call against what is not there must have failed."""

# Whatever can listen: python3 or a netcat.
LISTEN = """\
command -v python3 >/dev/null && exec python3 -c "
import socket
connection, _ = socket.create_server(('', 8080)).accept()
connection.sendall(b'hello')"
echo hello | exec nc -l -p 8080
"""


class Lifecycle:
    """Tests of a sandbox's life, beginning aside."""

    @promise("L3")
    async def test_another_process_finds_a_sandbox_by_its_id(self, stage: Stage, box: AsyncSandbox) -> None:
        with stage.child(acts.run_in, box.id, ["sh", "-c", "echo $$ >/dev/null; echo here; exit 3"]) as child:
            assert child.line() == f"{box.id} 3 here"
            child.finish()

    @promise("L3")
    async def test_an_unknown_id_is_not_found(self, client: AsyncClient) -> None:
        for unknown in ("sk-000000000000", "no/such id", "..", "-x", "0" * 64, ""):
            with pytest.raises(sandboxkit.SandboxNotFound):
                await client.get(unknown)
            with pytest.raises(LookupError):
                await client.info(unknown)

    @promise("L3")
    async def test_one_that_was_got_is_the_same_sandbox(self, client: AsyncClient, box: AsyncSandbox) -> None:
        same = await client.get(box.id)
        assert same.id == box.id
        assert (await same.info()).status is Status.RUNNING
        assert (await same.exec("echo same")).text == "same\n"

    @promise("L4")
    async def test_list_filters_by_every_label_and_any_status(self, stage: Stage, client: AsyncClient) -> None:
        async with (
            stage.create(labels={"kind": "a", "round": "1"}) as first,
            stage.create(labels={"kind": "a", "round": "2"}) as second,
            stage.create(labels={"kind": "b", "round": "1"}) as third,
        ):
            assert await stage.listed() >= {first.id, second.id, third.id}
            assert await stage.listed(kind="a") == {first.id, second.id}
            assert await stage.listed(kind="a", round="2") == {second.id}
            assert await stage.listed(kind="b", round="2") == set()
            assert await stage.listed(kind="") == set()
            running = {info.id async for info in client.list(labels=stage.labels, status=Status.RUNNING)}
            assert running >= {first.id, second.id, third.id}
            stopped = client.list(labels=stage.labels, status=[Status.STOPPED, Status.PAUSED])
            assert {info.id async for info in stopped} == set()

    @promise("L4")
    async def test_list_describes_what_was_made(self, stage: Stage, client: AsyncClient) -> None:
        began = time.time()
        async with stage.create(labels={"odd": "a b/ü=…"}, ttl=100.0) as box:
            (info,) = [info async for info in client.list(labels={**stage.labels, "odd": "a b/ü=…"})]
            assert info == await client.info(box.id)
            assert (info.id, info.provider, info.status) == (box.id, stage.suite.provider, Status.RUNNING)
            assert dict(info.labels) == {**stage.labels, "odd": "a b/ü=…"}
            assert info.created_at is not None
            assert began - 60 <= info.created_at <= time.time() + 60

    @promise("L4")
    async def test_what_was_deleted_is_not_listed(self, stage: Stage) -> None:
        async with stage.create() as kept, stage.create() as gone:
            assert await stage.listed() >= {kept.id, gone.id}
            assert await gone.delete()
            listed = await stage.listed()
            assert gone.id not in listed
            assert kept.id in listed

    @promise("L4")
    async def test_every_owner_is_listed(self, stage: Stage) -> None:
        async with stage.connect(owner=f"{stage.owner}-2") as other, stage.create(other) as box:
            assert box.id in await stage.listed()

    @promise("L4")
    async def test_list_takes_page_after_page_as_they_are_asked_for(self, stage: Stage, client: AsyncClient) -> None:
        async with stage.create() as first, stage.create() as second:
            listing = client.list(labels=stage.labels)
            seen = {(await listing.__anext__()).id}
            seen |= {info.id async for info in listing}
            assert seen >= {first.id, second.id}
            with pytest.raises(StopAsyncIteration):
                await listing.__anext__()

    @promise("L5")
    async def test_delete_says_whether_it_removed_something(self, stage: Stage, client: AsyncClient) -> None:
        box = await stage.create()
        number = needle()
        assert (await box.exec(["sh", "-c", f"sleep {number} >/dev/null 2>&1 & echo ok"])).text == "ok\n"
        assert await box.delete() is True
        assert await box.delete() is False
        assert await client.delete(box.id) is False
        assert await client.delete("sk-000000000000") is False
        with pytest.raises(sandboxkit.SandboxNotFound):
            await client.info(box.id)

    @promise("L5")
    async def test_two_deletes_at_once_agree(self, stage: Stage, client: AsyncClient) -> None:
        box = await stage.create()
        said = await stage.gather(*[lambda: client.delete(box.id)] * 4)
        assert True in said
        with pytest.raises(sandboxkit.SandboxNotFound):
            await client.info(box.id)

    @promise("L5")
    async def test_a_full_of_processes_sandbox_is_deleted(self, stage: Stage) -> None:
        box = await stage.create()
        script = "trap '' TERM HUP; n=0; while [ $n -lt 20 ]; do (while :; do sleep 1; done) & n=$((n+1)); done"
        await box.exec(f"({script}) </dev/null >/dev/null 2>&1; echo started")
        assert await box.delete() is True

    @promise("L5", needs="command")
    async def test_a_first_process_that_ignores_sigterm_does_not_slow_delete(self, stage: Stage) -> None:
        deaf = ["sh", "-c", "trap '' TERM; while :; do sleep 1; done"]
        box = await stage.create(command=deaf)
        await box.exec("true")
        began = time.monotonic()
        assert await box.delete() is True
        # The grace that engines give SIGTERM is 10 s.
        assert time.monotonic() - began < FAST

    @promise("X11")
    async def test_a_deleted_sandbox_is_a_typed_error_at_once(self, stage: Stage, client: AsyncClient) -> None:
        box = await stage.create()
        same = await client.get(box.id)
        assert (await same.exec("true")).exit_code == 0
        await box.delete()
        began = time.monotonic()
        for gone in (box, same):
            with pytest.raises(sandboxkit.SandboxNotFound):
                await gone.exec(["true"])
            with pytest.raises(sandboxkit.SandboxNotFound):
                await gone.exec("cat", input=b"x" * 100_000, timeout=30)
            with pytest.raises(sandboxkit.SandboxNotFound):
                await gone.spawn(["true"])
            with pytest.raises(sandboxkit.SandboxNotFound):
                await gone.files.read("/etc/passwd")
            with pytest.raises(sandboxkit.SandboxNotFound):
                await gone.files.write("x", b"x")
            with pytest.raises(sandboxkit.SandboxNotFound):
                await gone.info()
        assert time.monotonic() - began < FAST

    @promise("L9")
    async def test_a_block_deletes_what_it_created(self, stage: Stage, client: AsyncClient) -> None:
        async with stage.create() as box:
            assert (await box.exec("true")).exit_code == 0
        with pytest.raises(sandboxkit.SandboxNotFound):
            await client.info(box.id)
        with pytest.raises(ZeroDivisionError):
            async with stage.create() as box:
                _ = 1 // 0
        with pytest.raises(sandboxkit.SandboxNotFound):
            await client.info(box.id)

    @promise("L9")
    async def test_a_block_of_one_that_was_got_deletes_nothing(self, client: AsyncClient, box: AsyncSandbox) -> None:
        async with await client.get(box.id) as same:
            assert (await same.exec("true")).exit_code == 0
        assert (await client.info(box.id)).status is Status.RUNNING

    @promise("L9")
    async def test_an_interrupted_block_deletes_what_it_created(self, stage: Stage, client: AsyncClient) -> None:
        ids: list[str] = []

        async def block() -> None:
            async with stage.create() as box:
                ids.append(box.id)
                await box.exec(["sleep", "600"])

        async def running() -> bool:
            return bool(ids)

        async def when() -> None:
            assert await stage.eventually(running)
            await stage.pause(0.3)

        await stage.interrupted(block, when)
        with pytest.raises(sandboxkit.SandboxNotFound):
            await client.info(ids[0])

    @promise("L9")
    async def test_leaving_the_clients_block_deletes_nothing(self, stage: Stage, client: AsyncClient) -> None:
        async with stage.connect() as other:
            box = await stage.create(other)
        assert (await client.info(box.id)).status is Status.RUNNING
        assert await client.delete(box.id)

    @promise("L10")
    async def test_twenty_at_once_do_not_clash(self, stage: Stage) -> None:
        async def one(number: int) -> tuple[str, str]:
            box = await stage.create()
            result = await box.exec(["sh", "-c", f"echo {number}"], timeout=60)
            return box.id, result.text

        made = await stage.gather(*[lambda n=n: one(n) for n in range(20)])
        ids = {found for found, _ in made}
        assert [text for _, text in made] == [f"{number}\n" for number in range(20)]
        assert len(ids) == 20
        assert await stage.listed() >= ids
        assert await stage.gather(*[lambda i=i: stage.client.delete(i) for i in ids]) == [True] * 20

    @promise("L10", needs="ports")
    async def test_the_same_port_is_reached_at_different_addresses(self, stage: Stage) -> None:
        async with stage.create(ports=[8080]) as first, stage.create(ports=[8080]) as second:
            places = [(await box.info()).ports[8080] for box in (first, second)]
            assert places[0] != places[1]
            for box, place in zip((first, second), places, strict=True):
                async with box.spawn(LISTEN):
                    host, _, port = place.rpartition(":")

                    async def answers(host: str = host, port: str = port) -> bool:
                        try:
                            with socket.create_connection((host, int(port)), timeout=5) as connection:
                                return connection.recv(5) == b"hello"
                        except OSError:
                            return False

                    assert await stage.eventually(answers)

    @promise("L10", delta=True)
    async def test_the_first_process_reaps_zombies(self, stage: Stage, box: AsyncSandbox) -> None:
        count = (
            "cd /proc; n=0; for p in [0-9]*; do s=; read -r s 2>/dev/null <$p/stat; case ${s##*) } in "
            "Z*) n=$((n+1));; esac; done; echo $n"
        )
        # The control: the second sh is replaced by a sleep, which never waits for the child that it inherited.
        unreaped = (
            "sh -c 'sh -c \"exit 0\" & exec sleep 600' >/dev/null & h=$!; "
            f"until [ ${{n:-0}} -gt 0 ]; do {count} >/dev/null; done; kill $h; echo $n"
        )
        assert int((await box.exec(unreaped, timeout=60)).text) >= 1
        await box.exec("n=0; while [ $n -lt 10 ]; do (sh -c 'sleep 0' & ) ; n=$((n+1)); done")

        async def none() -> bool:
            return (await box.exec(count)).text == "0\n"

        assert await stage.eventually(none, within=20)
