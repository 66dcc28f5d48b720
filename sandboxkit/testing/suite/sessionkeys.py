"""What is typed into a session and seen on its screen: T5, and what of T3 needs a terminal."""

from __future__ import annotations

import random

import pytest

import sandboxkit
from sandboxkit import TmuxStatus
from sandboxkit.process import AsyncProcess
from sandboxkit.sandbox import AsyncSandbox
from sandboxkit.session import AsyncSession
from sandboxkit.testing.looking import has, writable
from sandboxkit.testing.promises import promise
from sandboxkit.testing.stage import Stage
from sandboxkit.testing.suite.sessions import COMPLETED, LIMIT, ended


async def _needs_tmux(box: AsyncSandbox) -> None:
    if not await has(box, "tmux"):
        pytest.skip("the image has no tmux")


async def _shown(process: AsyncProcess, text: bytes) -> None:
    seen = b""
    while text not in seen:
        seen += (await process.__anext__()).data


async def _rest(process: AsyncProcess) -> bytes:
    assert await process.wait(timeout=LIMIT) == 0
    return b"".join([chunk.data async for chunk in process])


async def _written(stage: Stage, session: AsyncSession, text: bytes) -> None:
    async def there() -> bool:
        return text in (await session.poll()).output

    assert await stage.eventually(there)


class SessionKeys:
    """Tests of sessions with a terminal."""

    @promise("T3", needs="tmux", delta=True)
    async def test_a_terminals_log_is_raw(self, box: AsyncSandbox) -> None:
        await _needs_tmux(box)
        line = "x" * 1000
        async with ended(
            await box.tmux.start(f"echo {line}; printf 'blanks   '; stty size; echo err >&2")
        ) as session:
            found = await session.wait(LIMIT)
            assert found.output == f"{line}\r\nblanks   50 200\r\nerr\r\n".encode()

    @promise("T5", needs="tmux", delta=True)
    async def test_text_of_any_length_arrives_as_it_is(self, stage: Stage, box: AsyncSandbox) -> None:
        await _needs_tmux(box)
        directory = await writable(box)
        every = bytes(range(256)) + random.Random(7).randbytes(70_000)
        some = ("-t x", "--", "a;", ";", "Enter", "é€ \n two\n", "#{pid} %H $HOME \\;")
        texts: tuple[str | bytes, ...] = (*some, every)
        for number, text in enumerate(texts):
            data = text.encode() if isinstance(text, str) else text
            path = f"{directory}/{number}"
            script = f"stty raw -echo; printf ready; dd bs=1 count={len(data)} of={path} 2>/dev/null"
            async with ended(await box.tmux.start(script, echo=False)) as session:
                await _written(stage, session, b"ready")
                await session.send_keys(text)
                assert (await session.wait(LIMIT)).status is COMPLETED
                assert await box.files.read(path) == data

    @promise("T5", needs="tmux", delta=True)
    async def test_keys_are_named(self, stage: Stage, box: AsyncSandbox) -> None:
        await _needs_tmux(box)
        async with ended(await box.tmux.start("printf ready; cat -v")) as session:
            await _written(stage, session, b"ready")
            await session.send_keys("typed", keys="Enter")
            await _written(stage, session, b"typed\r\ntyped\r\n")
            await session.send_keys(keys=("Up", ";", "M-x", "Enter"))
            await _written(stage, session, b"^[[A;^[x\r\n")
            await session.send_keys(keys="C-c")
            found = await session.wait(LIMIT)
            assert (found.status, found.exit_code) == (COMPLETED, 130)
            with pytest.raises(sandboxkit.SessionEnded):
                await session.send_keys("late")
            for keys in ("Entre", "", "C-", "a b", 5, ("Enter", "nope")):
                with pytest.raises((sandboxkit.InvalidRequest, TypeError)):
                    await session.send_keys(keys=keys)  # type: ignore[arg-type]
        for call in (lambda: session.send_keys("x"), session.capture, session.attach_command):
            with pytest.raises(sandboxkit.SessionNotFound):
                await call()

    @promise("T5", needs="tmux", delta=True)
    async def test_capture_is_the_screen(self, stage: Stage, box: AsyncSandbox) -> None:
        await _needs_tmux(box)
        script = (
            "seq 1 100; printf '\\033[2J\\033[H\\033[31mred\\033[0m gone\\rRE'; "
            "printf '\\033[3;5H\\303\\251|'; exit 1"
        )
        async with ended(await box.tmux.start(script)) as session:
            await session.wait(LIMIT)

            async def drawn() -> bool:
                return "|" in await session.capture()

            # Also when the command has ended.
            assert await stage.eventually(drawn)
            lines = (await session.capture()).split("\n")
            assert [line.rstrip() for line in lines[:3]] == ["REd gone", "", "    é|"]
            assert len(lines) == 51
            assert "\x1b[" not in "".join(lines)
            assert "\x1b[" in await session.capture(escapes=True)
            assert "\n51\n" in await session.capture(history=100)
            for escapes in ("x", 1, None):
                with pytest.raises(sandboxkit.InvalidRequest):
                    await session.capture(escapes=escapes)  # type: ignore[arg-type]

    @promise("T5", "X13", needs=("tmux", "pty"))
    async def test_attaching_is_being_at_the_terminal(self, stage: Stage, box: AsyncSandbox) -> None:
        await _needs_tmux(box)
        async with ended(await box.tmux.start("printf 'on the screen'; cat")) as session:
            await _written(stage, session, b"on the screen")
            async with session.attach(terminal=(30, 100)) as person:
                await _shown(person, b"on the screen")
                await person.write("typed\n")
                await _written(stage, session, b"typed\r\ntyped")
            # Who left is gone, and the session is not.
            assert (await session.poll()).status is TmuxStatus.RUNNING
            async with session.attach() as again:
                # Keys that come before tmux is there are the terminal's, which drops them.
                await _shown(again, b"typed")
                await again.write(b"\x02d")
                assert await again.wait(timeout=10) == 0

    @promise("T5", needs=("tmux", "pty"))
    async def test_who_is_attached_leaves_at_the_end(self, stage: Stage, box: AsyncSandbox) -> None:
        await _needs_tmux(box)
        script = "printf 'on the screen'; read go; seq 300000; printf 'last words'; exit 3"
        async with ended(await box.tmux.start(script)) as session:
            async with session.attach(terminal=(30, 100)) as reader, session.attach() as slow:
                await _shown(reader, b"on the screen")
                await _shown(slow, b"on the screen")
                await reader.write("go\n")
                assert b"last words" in await _rest(reader)
                # Also who has more to read than terminals hold, and begins only now.
                assert b"last words" in await _rest(slow)
            found = await session.wait(LIMIT)
            assert (found.status, found.exit_code) == (COMPLETED, 3)
            assert found.output.endswith(b"\r\n300000\r\nlast words")
            assert "last words" in await session.capture()
            async with session.attach() as late:
                assert b"last words" in await _rest(late)

    @promise("T5", needs="tmux", delta=True)
    async def test_a_person_can_attach(self, stage: Stage, box: AsyncSandbox) -> None:
        await _needs_tmux(box)
        async with ended(await box.tmux.start("printf 'on the screen'; cat")) as session:
            await _written(stage, session, b"on the screen")
            command = ["env", "-u", "TMUX", *await session.attach_command()]
            # The terminal that is attached is another session's.
            async with ended(await box.tmux.start(command)) as person:

                async def seen() -> bool:
                    return "on the screen" in await person.capture()

                assert await stage.eventually(seen)
                await person.send_keys("by hand\n")
                await _written(stage, session, b"by hand\r\nby hand\r\n")
                # Attached or not, its size stays.
                assert len((await session.capture()).split("\n")) == 51
