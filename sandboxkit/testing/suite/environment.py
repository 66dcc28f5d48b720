"""What surrounds a command: variables, working directory, user: X4, and the sandbox's own of each."""

from __future__ import annotations

import pytest

import sandboxkit
from sandboxkit.sandbox import AsyncSandbox
from sandboxkit.testing.looking import writable
from sandboxkit.testing.promises import promise
from sandboxkit.testing.stage import Stage


class Environment:
    """Tests of env, cwd and user."""

    @promise("X4", delta=True)
    async def test_env_adds_to_the_sandboxs_environment(self, stage: Stage) -> None:
        async with stage.create(env={"OWN": "own 'x'", "BOTH": "sandbox"}) as box:
            text = (await box.exec(["env"])).text
            assert "OWN=own 'x'\n" in text
            assert "PATH=" in text
            more = (await box.exec(["env"], env={"BOTH": "command", "MORE": "more"})).text.splitlines()
            assert {"OWN=own 'x'", "BOTH=command", "MORE=more"} <= set(more)
            assert "BOTH=sandbox" not in more
            assert "MORE=more" not in (await box.exec(["env"])).text
            process = await box.spawn('printf "%s" "$BOTH"', env={"BOTH": "spawned"})
            async with process:
                assert b"".join([chunk.data async for chunk in process]) == b"spawned"

    @promise("X4", delta=True)
    async def test_values_arrive_byte_for_byte(self, box: AsyncSandbox) -> None:
        odd = bytes(range(1, 256)).decode("utf-8", "surrogateescape")
        for value in ("", " ", "\n", "a\nB=2\n", "'\"$`\\", "-n", "é€", odd, "x" * 100_000):
            result = await box.exec('printf "%s" "$V"', env={"V": value})
            assert result.stdout == value.encode("utf-8", "surrogateescape")
        longest = "x" * (131_071 - len("V="))
        assert (await box.exec('echo "${#V}"', env={"V": longest})).text == f"{len(longest)}\n"

    @promise("X4")
    async def test_impossible_variables_are_refused(self, box: AsyncSandbox) -> None:
        for name in ("", "A B", "A=B", "1A", "A.B", "a-b", "é", "A\n", "A\0"):
            with pytest.raises(sandboxkit.InvalidCommand):
                await box.exec("true", env={name: "x"})
        with pytest.raises(sandboxkit.InvalidCommand):
            await box.exec("true", env={"A": "a\0b"})
        with pytest.raises(sandboxkit.ArgumentsTooLong):
            await box.exec("true", env={"A": "x" * 131_070})

    @promise("X4", delta=True)
    async def test_a_command_has_its_own_directory(self, box: AsyncSandbox) -> None:
        directory = await writable(box)
        odd = f"{directory}/odd '\"$ \n-x"
        await box.files.mkdir(odd)
        assert (await box.exec("pwd", cwd=odd)).text == odd + "\n"
        assert (await box.exec(["sh", "-c", "pwd"], cwd="/")).text == "/\n"
        here = (await box.exec("pwd")).text.strip()
        below = await box.exec("pwd", cwd="..")
        assert below.text.strip() == (here.rsplit("/", 1)[0] or "/")

    @promise("X4", delta=True)
    async def test_a_sandbox_has_its_own_directory(self, stage: Stage) -> None:
        async with stage.create(cwd="/etc") as box:
            assert (await box.exec("pwd")).text == "/etc\n"
            assert (await box.exec(["pwd"])).text == "/etc\n"
            assert (await box.exec("pwd", cwd="/")).text == "/\n"
            assert (await box.exec("pwd", cwd="..")).text == "/\n"

    @promise("X4", needs="exec_user", delta=True)
    async def test_a_command_has_its_own_user(self, box: AsyncSandbox) -> None:
        usual = (await box.exec(["id", "-u"])).text
        assert (await box.exec(["id", "-u"], user="65534")).text == "65534\n"
        for timeout in (None, 20.0):
            result = await box.exec("id -u; cat", user="65534", input=b"input", timeout=timeout)
            assert (result.exit_code, result.text) == (0, "65534\ninput")
        assert (await box.exec(["id", "-u"])).text == usual

    @promise("X5", needs="exec_user", delta=True)
    async def test_another_users_command_is_ended_too(self, box: AsyncSandbox) -> None:
        with pytest.raises(sandboxkit.CommandTimeout) as caught:
            await box.exec("trap '' TERM; echo out; while :; do sleep 1; done", user="65534", timeout=3)
        assert (caught.value.stdout, caught.value.killed) == (b"out\n", True)

    @promise("X4", needs="user", delta=True)
    async def test_a_sandbox_has_its_own_user(self, stage: Stage) -> None:
        async with stage.create(user="65534") as box:
            assert (await box.exec(["id", "-u"])).text == "65534\n"
            assert (await box.exec("id -u; cat", input=b"x", timeout=20)).text == "65534\nx"
