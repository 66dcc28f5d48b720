"""tmux sessions: their start, their log, their end, with tmux and without: T1 to T4, T6."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

import sandboxkit
from sandboxkit import TmuxStatus, tmux
from sandboxkit.client import AsyncClient
from sandboxkit.model import TmuxPoll
from sandboxkit.sandbox import AsyncSandbox
from sandboxkit.session import AsyncSession
from sandboxkit.testing import acts
from sandboxkit.testing.looking import alive, gone, has, needle, present, writable
from sandboxkit.testing.promises import promise
from sandboxkit.testing.stage import Stage
from sandboxkit.testing.stepping import at_each_step
from sandboxkit.testing.suite.timeouts import BOUND, MEMBERS, TREE

LIMIT = 30.0
"""Seconds after which a session that should have ended is taken to hang."""

RUNNING, COMPLETED, NOT_FOUND = TmuxStatus.RUNNING, TmuxStatus.COMPLETED, TmuxStatus.NOT_FOUND

REMAINS = (
    'for d in "${TMPDIR-}" /tmp /var/tmp /dev/shm /run "$HOME" "$PWD"; do '
    'ls -d "$d"/.sandboxkit-* 2>/dev/null; done; :'
)


@asynccontextmanager
async def ended(session: AsyncSession) -> AsyncIterator[AsyncSession]:
    """Kill a session on the way out."""
    try:
        yield session
    finally:
        await session.kill()


async def run(box: AsyncSandbox, command: str | list[str | bytes], **options: object) -> TmuxPoll:
    """Run a command in a quiet session to its end."""
    async with ended(await box.tmux.start(command, echo=False, **options)) as session:  # type: ignore[arg-type]
        return await session.wait(LIMIT)


def changed_start(monkeypatch: pytest.MonkeyPatch, old: str, new: str) -> None:
    """Have sessions started by a program that differs in one place."""
    program: str = vars(tmux)["START"]
    assert old in program
    monkeypatch.setattr(tmux, "START", program.replace(old, new))


def without_tmux(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have sessions started as in an image without tmux."""
    changed_start(monkeypatch, "command -v tmux", "false")


class Sessions:
    """Tests of sessions, as far as no terminal is needed."""

    @promise("T1", needs="tmux", delta=True)
    async def test_a_session_starts_and_runs_on(self, stage: Stage, box: AsyncSandbox) -> None:
        number = needle()
        async with ended(await box.tmux.start(f"echo up; sleep {number}")) as session:
            assert await stage.eventually(present(box, number))
            assert session.name in [info.name for info in await box.tmux.list()]
            found = await session.poll()
            assert (found.status, found.exit_code) == (RUNNING, None)

    @promise("T1", needs="tmux", delta=True)
    async def test_a_session_runs_what_exec_would(self, box: AsyncSandbox) -> None:
        directory = await writable(box)
        odd = bytes(range(1, 256))
        found = await run(box, ["printf", "%s|%s", b"-n", odd])
        assert (found.exit_code, found.output) == (0, b"-n|" + odd)
        found = await run(box, 'printf %s "$A|$PWD"; exit 7', env={"A": "it's $HOME\n"}, cwd=directory)
        assert (found.exit_code, found.text) == (7, f"it's $HOME\n|{directory}")
        assert (await run(box, ["no-such-program"])).exit_code == 127
        found = await run(box, "kill -9 $$")
        assert found.exit_code == 137
        if await has(box, "bash"):
            found = await run(box, "[[ a == a ]] && printf bash", shell=("bash", "-c"))
            assert found.output == b"bash"

    @promise("T1", needs="tmux", delta=True)
    async def test_a_command_may_have_any_length(self, box: AsyncSandbox) -> None:
        script = "".join(f": {n} {'x' * 80}\n" for n in range(10_000)) + "printf 'the end'; exit 9"
        assert len(script) > 800_000
        found = await run(box, script)
        assert (found.exit_code, found.output) == (9, b"the end")

    @promise("T1", needs="tmux", delta=True)
    async def test_a_taken_name_is_an_error_and_runs_nothing(self, stage: Stage, box: AsyncSandbox) -> None:
        path = f"{await writable(box)}/ran"
        name = f"taken-{needle()}"

        async def start() -> AsyncSession | None:
            try:
                return await box.tmux.start(f"echo ran >>{path}; sleep 600", name=name)
            except sandboxkit.SessionExists:
                return None

        started = [s for s in await stage.gather(*[start] * 4) if s is not None]
        assert len(started) == 1
        async with ended(started[0]) as session:

            async def ran() -> bool:
                return await box.files.exists(path)

            assert await stage.eventually(ran)
            assert await start() is None
            await session.wait(0.01, kill=True)
            assert (await session.poll()).status is COMPLETED
            # It is taken until it is killed.
            assert await start() is None
            assert await box.files.read(path) == b"ran\n"
        async with ended(await box.tmux.start("printf again", name=name, echo=False)) as session:
            assert (await session.wait(LIMIT)).output == b"again"

    @promise("T1", needs="tmux", delta=True)
    async def test_what_cannot_start_leaves_nothing(self, box: AsyncSandbox) -> None:
        before = await box.tmux.list()
        for directory, number in (("/no/such", 2), ("/proc/version", 20)):
            with pytest.raises(sandboxkit.WorkingDirectoryError) as caught:
                await box.tmux.start("true", cwd=directory)
            assert caught.value.errno == number
        for name in ("", "a.b", "a:b", "-a", "a b", "x" * 65, "a/b", "é", 5):
            with pytest.raises(sandboxkit.InvalidRequest):
                await box.tmux.start("true", name=name)  # type: ignore[arg-type]
        for limit in (0, 2**63):
            with pytest.raises(sandboxkit.InvalidRequest):
                await box.tmux.start("true", log_limit=limit)
        with pytest.raises(sandboxkit.InvalidCommand):
            await box.tmux.start([])
        assert await box.tmux.list() == before

    @promise("T1", needs="tmux")
    async def test_a_start_interrupted_anywhere_leaves_all_or_nothing(self, stage: Stage, box: AsyncSandbox) -> None:
        number, name = needle(), f"cut-{needle()}"

        async def act(client: AsyncClient) -> AsyncSession:
            return await (await client.get(box.id)).tmux.start(f"sleep {number}", name=name)

        async for step in at_each_step(stage, most=12):
            session = await step.interrupt(act)
            if session is None:
                assert await stage.eventually(gone(box, number), within=BOUND), f"interrupted at step {step.number}"
                await _unknown(box, name)
            else:
                await (await box.tmux.get(name)).kill()

    @promise("T1", needs="tmux")
    async def test_a_start_interrupted_once_the_command_runs_ends_it(
        self, stage: Stage, box: AsyncSandbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        number, name = needle(), f"late-{needle()}"
        changed_start(monkeypatch, "__began $__x;", "sleep 30;__began $__x;")
        took = await stage.interrupted(
            lambda: box.tmux.start(f"sleep {number}", name=name), lambda: stage.eventually(present(box, number))
        )
        assert took <= BOUND
        assert await alive(box, number) == 0
        await _unknown(box, name)

    @promise("T2", needs="tmux")
    async def test_a_poll_is_one_round_trip(
        self, stage: Stage, client: AsyncClient, box: AsyncSandbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        provider = stage.core(client).provider
        original, count = provider.start_process, 0

        async def counted(*args: object, **kwargs: object) -> object:
            nonlocal count
            count += 1
            return await original(*args, **kwargs)  # type: ignore[arg-type]

        monkeypatch.setattr(provider, "start_process", counted)
        async with ended(await box.tmux.start("true")) as session:
            assert (await session.wait(LIMIT)).exit_code == 0
            assert count <= 3
            count = 0
            assert (await session.poll()).exit_code == 0
            assert count == 1

    @promise("T2", needs="tmux", delta=True)
    async def test_a_command_that_ends_at_once_loses_nothing(self, stage: Stage, box: AsyncSandbox) -> None:
        async def one(number: int) -> tuple[TmuxStatus, int | None, bytes]:
            found = await run(box, f"printf 'last {number}'; exit {number}")
            return found.status, found.exit_code, found.output

        found = await stage.gather(*[lambda n=n: one(n) for n in range(16)], at_once=4)
        assert found == [(COMPLETED, n, b"last %d" % n) for n in range(16)]

    @promise("T2", needs="tmux", delta=True)
    async def test_completed_is_said_only_with_all_of_the_output(self, stage: Stage, box: AsyncSandbox) -> None:
        # Asked as often as possible, the first answer that says so has everything.
        async with ended(await box.tmux.start("seq 1 20000; printf end; exit 5", echo=False)) as session:
            while (found := await session.poll()).status is RUNNING:
                pass
            assert found.exit_code == 5
            assert found.output == b"".join(b"%d\n" % n for n in range(1, 20001)) + b"end"

    @promise("T2", needs="tmux", delta=True)
    async def test_a_directory_that_is_made_and_removed_meanwhile_loses_nothing(
        self, box: AsyncSandbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # Every session must be where the others are looked for. As if another had made it, and its kill removed it.
        async with ended(await box.tmux.start("true")):
            where = (await box.exec(REMAINS)).stdout
        make = 'until mkdir -m 700 "$1" 2>/dev/null'
        changed_start(monkeypatch, make, f'until [ "$__gone" ]||{{ __gone=1;false;}}&&{make.removeprefix("until ")}')
        async with ended(await box.tmux.start("true")):
            assert (await box.exec(REMAINS)).stdout == where

    @promise("T3", needs="tmux", delta=True)
    async def test_the_log_is_byte_for_byte(self, box: AsyncSandbox) -> None:
        path = f"{await writable(box)}/bytes"
        data = (
            bytes(range(256)) * 3
            + random.Random(5).randbytes(400_000)
            + b"\x1b[6n\x1b[c\x1b]11;?\x07 \xff\r\n\n\tx   \n"  # a terminal would answer some of these
            + b"x" * 5000
            + b"  \n\x1bX"
        )
        await box.files.write(path, data)
        found = await run(box, ["cat", path])
        assert (found.status, found.exit_code, found.truncated) == (COMPLETED, 0, False)
        assert found.output == data
        assert found.offset == len(data)

    @promise("T3", needs="tmux", delta=True)
    async def test_an_offset_asks_for_what_is_new(self, stage: Stage, box: AsyncSandbox) -> None:
        path = f"{await writable(box)}/go"
        script = f"printf one; until [ -e {path} ]; do sleep 0.05; done; printf two"
        async with ended(await box.tmux.start(script, echo=False)) as session:
            assert await stage.eventually(_said(session, b"one"))
            found = await session.poll()
            assert (found.offset, (await session.poll(found.offset)).output) == (3, b"")
            await box.files.write(path, b"")
            found = await session.wait(LIMIT, offset=3)
            assert (found.status, found.output, found.offset, found.truncated) == (COMPLETED, b"two", 6, False)
            assert (await session.poll(6)).status is COMPLETED
            assert (await session.poll(6)).output == b""
            assert (await session.poll(10**9)).output == b""
            assert (await session.poll(2**63 - 1)).output == b""
            for offset in (2**63, 10**5000):
                with pytest.raises(sandboxkit.InvalidRequest):
                    await session.poll(offset)
                with pytest.raises(sandboxkit.InvalidRequest):
                    await session.wait(LIMIT, offset=offset)
            assert (await session.poll(1)).output == b"netwo"
            with pytest.raises(sandboxkit.InvalidRequest):
                await session.poll(-1)

    @promise("T3", needs="tmux", delta=True)
    async def test_a_full_log_keeps_the_newest_and_says_so(self, box: AsyncSandbox) -> None:
        whole = b"".join(b"%d\n" % n for n in range(100_000, 160_000))
        script = "seq 100000 159999"
        async with ended(await box.tmux.start(script, echo=False, log_limit=1 << 16)) as session:
            found = await session.wait(LIMIT)
            assert (found.status, found.exit_code, found.truncated) == (COMPLETED, 0, True)
            assert found.offset == len(whole)
            assert 1 << 15 <= len(found.output) <= 1 << 16
            assert whole.endswith(found.output)
            late = await session.poll(len(whole) - 100)
            assert (late.output, late.truncated) == (whole[-100:], False)
        found = await run(box, script)
        assert (found.output == whole, found.truncated) == (True, False)

    @promise("T4", needs="tmux", delta=True)
    async def test_wait_returns_at_its_limit_and_kills_only_if_asked(self, stage: Stage, box: AsyncSandbox) -> None:
        number = needle()
        script = f"printf so-far; trap '' TERM HUP; while :; do sleep {number}; done"
        async with ended(await box.tmux.start(script, echo=False)) as session:
            assert await stage.eventually(present(box, number))
            assert await stage.eventually(_said(session, b"so-far"))
            assert (await session.wait(0)).status is RUNNING
            with pytest.raises(sandboxkit.InvalidCommand):
                await session.wait(float("nan"))
            found = await session.wait(0.5)
            assert (found.status, found.exit_code, found.output) == (RUNNING, None, b"so-far")
            assert await alive(box, number) == 1
            found = await session.wait(0.1, kill=True)
            assert (found.status, found.exit_code, found.output) == (COMPLETED, 137, b"so-far")
            assert await alive(box, number) == 0
            assert await session.poll() == found

    @promise("T4", needs="tmux", delta=True)
    async def test_kill_ends_the_whole_tree_and_nothing_else(self, stage: Stage, box: AsyncSandbox) -> None:
        await _one_tree_of_two(stage, box)

    @promise("T4", "X5", needs="tmux", delta=True)
    async def test_a_commands_end_is_no_sessions(self, stage: Stage, box: AsyncSandbox) -> None:
        number, timed = needle(), needle()
        # Started while the command runs, and before: neither has to do with it.
        async with ended(await box.tmux.start(f"sleep {number}")) as session:
            assert await stage.eventually(present(box, number))
            with pytest.raises(sandboxkit.CommandTimeout):
                await box.exec(f"sleep {timed}", timeout=0.5)
            assert await alive(box, number) == 1
            assert (await session.poll()).status is RUNNING

    @promise("T4", needs="tmux", delta=True)
    async def test_list_finds_every_session(self, stage: Stage, box: AsyncSandbox) -> None:
        prefix = f"l{needle()}-"
        async with (
            ended(await box.tmux.start("exit 4", name=prefix + "b")) as over,
            ended(await box.tmux.start("sleep 600", name=prefix + "a")),
        ):
            await over.wait(LIMIT)
            found = [info for info in await box.tmux.list() if info.name.startswith(prefix)]
            assert [(info.name, info.status, info.exit_code) for info in found] == [
                (prefix + "a", RUNNING, None),
                (prefix + "b", COMPLETED, 4),
            ]
            assert (await (await box.tmux.get(prefix + "b")).poll()).exit_code == 4
        assert not [info for info in await box.tmux.list() if info.name.startswith(prefix)]
        assert (await over.poll()).status is NOT_FOUND
        assert (await over.wait()).status is NOT_FOUND
        await _unknown(box, prefix + "b")
        await over.kill()

    @promise("T4", needs="tmux", delta=True)
    async def test_a_session_outlives_its_client_and_is_found_again(self, stage: Stage, box: AsyncSandbox) -> None:
        number, name = needle(), f"picked-{needle()}"
        script = f"printf begun; sleep {number}"
        with stage.child(acts.start_session, box.id, script, name) as child:
            assert child.line() == name
            child.kill()
        session = await box.tmux.get(name)
        async with ended(session):
            assert await stage.eventually(present(box, number))
            assert await stage.eventually(_said(session, b"begun"))
            assert (await session.poll()).status is RUNNING
            found = await session.wait(0.1, kill=True)
            assert (found.status, found.exit_code) == (COMPLETED, 137)

    @promise("T4", needs="tmux", delta=True)
    async def test_killed_sessions_leave_nothing_behind(self, stage: Stage) -> None:
        async with stage.create() as box:
            count = "n=0; for p in /proc/[0-9]*/stat; do n=$((n+1)); done; echo $n"
            before = int((await box.exec(count)).text)
            sessions = [await box.tmux.start(command) for command in ("true", "sleep 600", "cat")]
            assert (await box.exec(REMAINS)).text != ""
            for session in sessions:
                await session.kill()
            assert (await box.exec(REMAINS)).text == ""

            async def flat() -> bool:
                return int((await box.exec(count)).text) <= before

            assert await stage.eventually(flat)

    @promise("T4", needs=("tmux", "exec_user"))
    async def test_a_session_is_its_users(self, stage: Stage, box: AsyncSandbox) -> None:
        async with ended(await box.tmux.start("id -u; sleep 600", user="65534", echo=False)) as session:
            assert session.name in [info.name for info in await box.tmux.list(user="65534")]
            await _unknown(box, session.name)
            assert await stage.eventually(_said(session, b"65534\n"))
            assert (await session.wait(0.1, kill=True)).output == b"65534\n"

    @promise("T6", needs="tmux", delta=True)
    async def test_without_tmux_a_session_runs_all_the_same(
        self, stage: Stage, box: AsyncSandbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        without_tmux(monkeypatch)
        data = bytes(range(256)) * 300
        path = f"{await writable(box)}/bytes"
        await box.files.write(path, data)
        script = f"cat; cat {path}; printf err >&2; exit 3"
        async with ended(await box.tmux.start(script)) as session:
            found = await session.wait(LIMIT)
            assert (found.status, found.exit_code, found.output) == (COMPLETED, 3, data + b"err")
            info = next(info for info in await box.tmux.list() if info.name == session.name)
            assert (info.status, info.exit_code, info.terminal) == (COMPLETED, 3, False)
            calls = (lambda: session.send_keys("x"), session.capture, session.attach_command)
            for call in calls:
                with pytest.raises(sandboxkit.TmuxUnavailable):
                    await call()
        # A shell's "&" would have SIGINT and SIGQUIT ignored.
        found = await run(box, ["grep", "SigIgn", "/proc/self/status"])
        assert int(found.text.split()[1], 16) & 0b110 == 0
        long = ": " + "x" * 300_000 + "\nprintf long; exit 6"
        found = await run(box, long)
        assert (found.exit_code, found.output) == (6, b"long")

    @promise("T6", needs="tmux", delta=True)
    async def test_without_tmux_kill_ends_the_whole_tree(
        self, stage: Stage, box: AsyncSandbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        without_tmux(monkeypatch)
        await _one_tree_of_two(stage, box)
        number = needle()
        async with ended(await box.tmux.start(f"printf x; sleep {number}")) as session:
            assert await stage.eventually(present(box, number))
            found = await session.wait(0.2, kill=True)
            assert (found.status, found.exit_code, found.output) == (COMPLETED, 137, b"x")

    @promise("T6", needs="tmux", delta=True)
    async def test_without_tmux_what_is_left_behind_holds_nothing_up(
        self, stage: Stage, box: AsyncSandbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        without_tmux(monkeypatch)
        path = f"{await writable(box)}/late"
        # More than a pipe holds: when it is through, some of it was read by what writes the log.
        script = f"(sleep 1; head -c 300000 /dev/zero; echo lived >{path}) & printf out; exit 2"
        async with ended(await box.tmux.start(script)) as session:
            found = await session.wait(LIMIT)
            assert (found.status, found.exit_code, found.output) == (COMPLETED, 2, b"out")

            async def lived() -> bool:
                return await box.files.exists(path)

            assert await stage.eventually(lived)
            assert await session.poll() == found


def _said(session: AsyncSession, output: bytes) -> Callable[[], Awaitable[bool]]:
    """Make a check that a session has that output: what a program wrote comes to its log a little later."""

    async def check() -> bool:
        return (await session.poll()).output == output

    return check


async def _unknown(box: AsyncSandbox, name: str) -> None:
    with pytest.raises(sandboxkit.SessionNotFound):
        await box.tmux.get(name)


async def _one_tree_of_two(stage: Stage, box: AsyncSandbox) -> None:
    """End one of two families, and see that the other, and what commands left behind, live on."""
    number, other, left = needle(), needle(), needle()
    await box.exec(f"sleep {left} >/dev/null 2>&1 &")
    members = MEMBERS + 2 * await has(box, "setsid")
    async with (
        ended(await box.tmux.start(TREE.replace("N", number))) as session,
        ended(await box.tmux.start(TREE.replace("N", other))) as beside,
    ):
        assert await stage.eventually(present(box, number, members))
        assert await stage.eventually(present(box, other, members))
        await session.kill()
        assert await alive(box, number) == 0
        assert await alive(box, other) >= members
        assert await alive(box, left) == 1
        assert (await beside.poll()).status is RUNNING
        assert (await session.poll()).status is NOT_FOUND
        await session.kill()
    assert await alive(box, other) == 0
    assert await alive(box, left) == 1
