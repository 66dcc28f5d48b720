"""How a command ends, whatever it does to itself and to what started it: X2, X3, X10."""

from __future__ import annotations

import secrets

import pytest

import sandboxkit
from sandboxkit.sandbox import AsyncSandbox
from sandboxkit.testing.looking import gone, needle, outcome, present, reaching, writable
from sandboxkit.testing.promises import promise
from sandboxkit.testing.stage import Stage


class Endings:
    """Tests of exit codes that are hard to come by, and of what lives on."""

    @promise("X2", delta=True)
    async def test_a_command_that_kills_its_parent_gets_no_false_status(self, box: AsyncSandbox) -> None:
        # Where its parent may be killed the status is lost, and said to be; elsewhere it is the command's own.
        for script in ("echo out; kill -9 $PPID; exit 7", "echo out; kill -9 0; exit 7"):
            ended = await outcome(box.exec(script, timeout=20))
            if isinstance(ended, sandboxkit.CommandError):
                assert isinstance(ended, sandboxkit.StatusUnreported)
                assert ended.dispatched is True
                assert ended.stdout.startswith(b"out\n")
            else:
                assert ended.exit_code == (7 if "PPID" in script else 137)
                assert ended.text == "out\n"
            assert (await box.exec("echo usable")).text == "usable\n"

    @promise("X2", delta=True)
    async def test_milder_signals_to_its_group_or_parent_change_nothing(self, box: AsyncSandbox) -> None:
        for signal in ("HUP", "INT", "QUIT", "TERM", "USR1", "PIPE", "ALRM"):
            result = await box.exec(
                f"trap '' {signal}; [ $PPID = 1 ] || kill -{signal} $PPID; kill -{signal} 0; echo out; exit 7"
            )
            assert (signal, result.exit_code, result.text) == (signal, 7, "out\n")

    @promise("X2", delta=True)
    async def test_a_command_that_stops_its_parent_still_ends(self, box: AsyncSandbox) -> None:
        script = 'kill -STOP $PPID; echo out; : >"$REACHED"; exit 7'
        ended = await reaching(box, lambda timeout, env: outcome(box.exec(script, timeout=timeout, env=env)))
        if isinstance(ended, sandboxkit.CommandError):
            assert isinstance(ended, sandboxkit.CommandTimeout)
        else:
            assert ended.exit_code == 7
        assert ended.stdout == b"out\n"
        assert (await box.exec("echo usable")).text == "usable\n"

    @promise("X2", delta=True)
    async def test_a_command_may_close_its_descriptors_or_become_another(self, box: AsyncSandbox) -> None:
        result = await box.exec("echo out; echo err >&2; exec 0<&- 1>&- 2>&-; sleep 0; exit 7")
        assert (result.exit_code, result.text, result.stderr_text) == (7, "out\n", "err\n")
        everything = 'for n in 0 1 2 3 4 5 6 7 8 9; do eval "exec $n<&-"; done; exit 8'
        assert (await box.exec(everything)).exit_code == 8
        assert (await box.exec("exec sh -c 'echo other; exit 9'")).exit_code == 9
        assert (await box.exec("echo no newline at end | tr -d '\\n'; exit 0")).text == "no newline at end"

    @promise("X3", "X11")
    async def test_a_sandbox_deleted_under_a_command_gives_no_status(self, stage: Stage) -> None:
        doomed = await stage.create()
        number = needle()
        running = stage.start(lambda: doomed.exec(f"echo before; sleep {number}"))
        try:
            assert await stage.eventually(present(doomed, number))
        finally:
            await doomed.delete()
        with pytest.raises(sandboxkit.CommandLost) as caught:
            await running.finish()
        assert caught.value.dispatched is True
        assert caught.value.stdout == b"before\n"

    @promise("X3", delta=True)
    async def test_a_killed_sandbox_gives_no_status(self, stage: Stage) -> None:
        async with stage.create() as doomed:
            process = await doomed.spawn("echo before; kill -9 -1; kill -9 $PPID; sleep 600", timeout=3)
            output = b""
            with pytest.raises(sandboxkit.SandboxError) as caught:  # noqa: PT012
                async with process:
                    async for chunk in process:
                        output += chunk.data if chunk.stream == 1 else b""
                    raise AssertionError(f"ended with {process.exit_code}")
            assert process.exit_code is None
            assert isinstance(caught.value, sandboxkit.CommandLost | sandboxkit.CommandTimeout)
            assert caught.value.dispatched is not False
            assert output == b"before\n"

    @promise("X10", delta=True)
    async def test_a_background_child_that_holds_the_pipe_delays_nothing(
        self, stage: Stage, box: AsyncSandbox
    ) -> None:
        number = needle()
        for timeout in (None, 30.0):
            # If the end were the pipe's end, the first would last for ever and the second be a timeout.
            result = await box.exec(f"sleep {number} & echo out; echo err >&2; exit 3", timeout=timeout)
            assert (result.exit_code, result.text, result.stderr_text) == (3, "out\n", "err\n")
            assert await stage.eventually(present(box, number))
            await box.exec(["sh", "-c", _END, "sh", number])
            assert await stage.eventually(gone(box, number))

    @promise("X10", delta=True)
    async def test_a_child_left_behind_writes_on_without_an_error(self, stage: Stage, box: AsyncSandbox) -> None:
        directory = await writable(box)
        late = (
            "(sleep 1; echo late || exit; echo late >&2 || exit; sleep 0; echo later || exit; "
            'echo told >"$D/told") & echo now'
        )
        result = await box.exec(late, env={"D": directory})
        assert (result.exit_code, result.text) == (0, "now\n")

        async def told() -> bool:
            return await box.files.exists(f"{directory}/told")

        assert await stage.eventually(told, within=15)
        assert await box.files.read(f"{directory}/told") == b"told\n"

    @promise("X10", delta=True)
    async def test_a_fast_commands_last_byte_is_there(self, stage: Stage, box: AsyncSandbox) -> None:
        await self._last_bytes(stage, box, 100)

    @promise("X10", heavy=True)
    async def test_a_thousand_fast_commands_last_bytes_are_there(self, stage: Stage, box: AsyncSandbox) -> None:
        await self._last_bytes(stage, box, 1000)

    async def _last_bytes(self, stage: Stage, box: AsyncSandbox, count: int) -> None:
        words = [secrets.token_hex(1 + number % 40) for number in range(count)]
        operations = [lambda w=w: box.exec(["printf", "%s", w]) for w in words]
        results = await stage.gather(*operations, at_once=6)
        assert [result.text for result in results] == words
        assert {result.exit_code for result in results} == {0}

    @promise("X10", delta=True)
    async def test_a_large_outputs_last_byte_is_there(self, box: AsyncSandbox) -> None:
        script = "dd if=/dev/zero bs=1000 count=3000 2>/dev/null; printf END; printf err >&2; exit 3"
        result = await box.exec(script, max_output=None)
        assert (result.exit_code, len(result.stdout), result.stdout[-3:]) == (3, 3_000_003, b"END")
        assert result.stderr == b"err"


# $1: the seconds of the sleep that is to end.
_END = (
    "cd /proc; for p in [0-9]*; do "
    '[ "$(tr "\\000" " " 2>/dev/null <$p/cmdline)" = "sleep $1 " ] && kill -9 $p; done; :'
)
