"""What a command is, and what comes back: X1, X2."""

from __future__ import annotations

import pytest

import sandboxkit
from sandboxkit.sandbox import AsyncSandbox
from sandboxkit.testing.looking import has, writable
from sandboxkit.testing.promises import promise
from sandboxkit.testing.stage import Stage


class Commands:
    """Tests of command forms, limits and refusals."""

    @promise("X1", delta=True)
    async def test_a_list_runs_without_a_shell(self, box: AsyncSandbox) -> None:
        odd = ["$HOME", "*", "a  b", ";", "|", ">x", "`id`", "'", '"', "\\", "", "-n", "\n", "é", "é"]
        result = await box.exec(["printf", "<%s>", *odd])
        assert result.text == "".join(f"<{word}>" for word in odd)

    @promise("X1", delta=True)
    async def test_any_bytes_are_an_argument(self, box: AsyncSandbox) -> None:
        word = bytes(range(1, 256))
        assert (await box.exec([b"printf", b"%s", word])).stdout == word

    @promise("X1", delta=True)
    async def test_a_string_runs_in_the_sandboxs_shell(self, box: AsyncSandbox) -> None:
        result = await box.exec('A=1; for i in x "y z"; do echo "$A$i"; done | cat; echo "it\'s" >&2; exit 4')
        assert (result.exit_code, result.text, result.stderr_text) == (4, "1x\n1y z\n", "it's\n")

    @promise("X1", delta=True)
    async def test_another_shell_can_be_chosen(self, box: AsyncSandbox) -> None:
        result = await box.exec("echo $CHOSEN; echo $0", shell=("env", "CHOSEN=yes", "/bin/sh", "-c"))
        assert result.text.startswith("yes\n")
        if await has(box, "bash"):
            result = await box.exec("shopt -q login_shell && echo login", shell=("bash", "-lc"))
            assert result.text == "login\n"

    @promise("X1", delta=True)
    async def test_the_shell_of_a_string_is_the_commands_own_process(self, box: AsyncSandbox) -> None:
        child, own = (await box.exec("sh -c 'echo $PPID'; echo $$; :")).text.split()
        assert child == own

    @promise("X1", delta=True)
    async def test_a_script_of_five_mebibytes_runs(self, box: AsyncSandbox) -> None:
        line = ": " + "x" * 1021 + "\n"
        script = line * (5 * 1024) + 'echo "end: $?"; cat; exit 5'
        assert len(script) > 5 * 1024 * 1024
        result = await box.exec(script, input=b"input", timeout=60)
        assert (result.exit_code, result.text) == (5, "end: 0\ninput")

    @promise("X1", delta=True)
    async def test_an_argument_of_the_kernels_limit_runs(self, box: AsyncSandbox) -> None:
        for size in (130_000, 131_071):
            result = await box.exec(["printf", "%s", "x" * size])
            assert (result.exit_code, len(result.stdout)) == (0, size)

    @promise("X1", delta=True)
    async def test_arguments_of_a_mebibyte_run(self, box: AsyncSandbox) -> None:
        words = ["x" * 100_000] * 10
        result = await box.exec(["sh", "-c", 'echo "$# $((${#1}+${#2}))"', "sh", *words])
        assert result.text == "10 200000\n"

    @promise("X1")
    async def test_what_cannot_run_is_refused_before_anything_is_sent(self, stage: Stage, box: AsyncSandbox) -> None:
        nowhere = await stage.create()
        await nowhere.delete()
        for command in ([], [""], ["a\0b"], ["true", "a\0b"], "", " \n", "a\0b", "echo \ud800", 5, None, [5]):
            for where in (box, nowhere):
                with pytest.raises(sandboxkit.InvalidCommand):
                    await where.exec(command)  # type: ignore[arg-type]
        for where in (box, nowhere):
            with pytest.raises(sandboxkit.ArgumentsTooLong):
                await where.exec(["echo", "x" * 131_072])
            with pytest.raises(ValueError, match="131,072"):
                await where.spawn(["echo", "x" * 131_072])
            for timeout in (0, -1, 1e11, float("inf"), float("nan"), "1"):
                with pytest.raises(sandboxkit.InvalidCommand):
                    await where.exec("true", timeout=timeout)  # type: ignore[arg-type]
            for data in (3, [1, 2], "\ud800"):
                with pytest.raises(sandboxkit.InvalidCommand):
                    await where.exec("true", input=data)  # type: ignore[arg-type]
            for shell in ((), "sh", ("a\0b",)):
                with pytest.raises(sandboxkit.InvalidCommand):
                    await where.exec("true", shell=shell)

    @promise("X1", delta=True)
    async def test_a_total_that_the_kernel_refuses_is_no_exit_code(self, box: AsyncSandbox) -> None:
        # Whatever its stack limit, Linux takes 6 MiB at most. With its path: busybox runs "true" without the kernel.
        with pytest.raises(sandboxkit.ArgumentsTooLong):
            await box.exec(["/bin/true", *["x" * 131_000] * 50], timeout=60)
        assert (await box.exec("echo usable")).text == "usable\n"

    @promise("X2", delta=True)
    async def test_exit_codes_come_back(self, stage: Stage, box: AsyncSandbox) -> None:
        codes = (0, 1, 2, 3, 4, 99, 125, 126, 127, 128, 129, 137, 139, 143, 200, 254, 255)
        results = await stage.gather(*[lambda c=c: box.exec(["sh", "-c", f"exit {c}"]) for c in codes], at_once=8)
        assert [result.exit_code for result in results] == list(codes)

    @promise("X2", heavy=True)
    async def test_every_exit_code_comes_back(self, stage: Stage, box: AsyncSandbox) -> None:
        operations = [lambda c=c: box.exec(f"exit {c}") for c in range(256)]
        results = await stage.gather(*operations, at_once=8)
        assert [result.exit_code for result in results] == list(range(256))

    @promise("X2", delta=True)
    async def test_death_by_a_signal_is_128_and_its_number(self, stage: Stage, box: AsyncSandbox) -> None:
        numbers = (1, 2, 6, 9, 11, 13, 14, 15)
        for timeout in (None, 20.0):
            results = await stage.gather(
                *[lambda n=n, t=timeout: box.exec(f"kill -{n} $$; sleep 9", timeout=t) for n in numbers],
                at_once=8,
            )
            assert [result.exit_code for result in results] == [128 + number for number in numbers]
            assert all(result.stderr == b"" for result in results)

    @promise("X2", delta=True)
    async def test_a_missing_program_is_127_and_one_that_may_not_run_126(self, box: AsyncSandbox) -> None:
        directory = await writable(box)
        await box.exec('echo "exit 0" >"$D/plain"; mkdir "$D/dir"', env={"D": directory})
        for command, code in (
            (["no-such-program"], 127),
            (["/no/such/program"], 127),
            (["./no-such-program"], 127),
            (["-no-such-program"], 127),
            ([f"{directory}/plain"], 126),
            ([f"{directory}/dir"], 126),
            (["/etc/passwd/x"], 127),
        ):
            result = await box.exec(command)
            if command == ["/etc/passwd/x"]:
                assert result.exit_code in (126, 127)
            else:
                assert (command, result.exit_code) == (command, code)
            assert result.stdout == b""
        # The control: the same numbers from a program of the user's are its own.
        for code in (126, 127):
            result = await box.exec(f"echo mine; echo err >&2; exit {code}")
            assert (result.exit_code, result.text, result.stderr_text) == (code, "mine\n", "err\n")

    @promise("X2", delta=True)
    async def test_a_missing_working_directory_is_an_error_of_its_own(self, box: AsyncSandbox) -> None:
        directory = await writable(box)
        await box.exec('echo x >"$D/file"', env={"D": directory})
        for cwd, kind in ((f"{directory}/no", "does not exist"), (f"{directory}/file", "not a directory")):
            with pytest.raises(sandboxkit.WorkingDirectoryError, match=kind) as caught:
                await box.exec('echo ran >"$D/ran"', env={"D": directory}, cwd=cwd)
            assert caught.value.dispatched is False
        assert not await box.files.exists(f"{directory}/ran")
        result = await box.exec('echo ran >"$D/ran"; pwd', env={"D": directory}, cwd=directory)
        assert result.text.strip() == directory
        assert await box.files.exists(f"{directory}/ran")

    @promise("X2")
    async def test_check_makes_a_failure_of_an_exit_code(self, box: AsyncSandbox) -> None:
        assert (await box.exec("exit 0", check=True)).exit_code == 0
        with pytest.raises(sandboxkit.CommandFailed) as caught:
            await box.exec("echo out; echo err >&2; exit 3", check=True)
        assert caught.value.result.exit_code == 3
        assert (caught.value.stdout, caught.value.stderr) == (b"out\n", b"err\n")

    @promise("X2", delta=True)
    async def test_a_command_sees_nothing_of_what_started_it(self, box: AsyncSandbox) -> None:
        for filler in ("", ": " + "x" * 200_000 + "\n"):
            text = (await box.exec(filler + "MINE=1; set; env; echo; umask; ls -l /proc/self/fd")).text
            assert "MINE=" in text
            assert [line for line in text.splitlines() if line.startswith("__")] == []
            # Its own three descriptors, and the one that ls has opened to look.
            numbers = [line.split(" -> ")[0].split()[-1] for line in text.splitlines() if " -> " in line]
            assert numbers[:3] == ["0", "1", "2"]
            assert len(numbers) <= 4
