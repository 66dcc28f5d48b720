"""Standard input: X4."""

from __future__ import annotations

import hashlib
import random

from sandboxkit.sandbox import AsyncSandbox
from sandboxkit.testing.promises import promise


class Inputs:
    """Tests of what a command reads."""

    @promise("X4", delta=True)
    async def test_stdin_is_at_its_end_by_default(self, box: AsyncSandbox) -> None:
        for timeout in (None, 20.0):
            result = await box.exec("cat; echo end", timeout=timeout)
            assert (result.exit_code, result.text) == (0, "end\n")

    @promise("X4", delta=True)
    async def test_input_arrives_byte_for_byte_and_ends(self, box: AsyncSandbox) -> None:
        everything = bytes(range(256)) * 300
        for data in (b"x", b"\n", b"\0", b"no end", b"a\r\nb\r\n", b"0\n", b"12\nabc", everything):
            for timeout in (None, 20.0):
                result = await box.exec(["cat"], input=data, timeout=timeout)
                assert (result.exit_code, result.stdout) == (0, data)
        assert (await box.exec(["cat"], input="grün €\n")).text == "grün €\n"
        assert (await box.exec("cat; echo end", input=b"")).text == "end\n"

    @promise("X4", delta=True)
    async def test_every_length_around_a_block_arrives(self, box: AsyncSandbox) -> None:
        for length in (1, 4095, 4096, 65535, 65536, 65537, 131072, 262143, 262144, 262145):
            data = random.Random(length).randbytes(length)
            result = await box.exec(["cat"], input=data)
            assert (length, result.stdout == data) == (length, True)

    @promise("X4", delta=True)
    async def test_fifty_mebibytes_of_input_arrive(self, box: AsyncSandbox) -> None:
        data = random.Random(50).randbytes(1 << 20) * 50
        result = await box.exec(["sha256sum"], input=data, timeout=100)
        assert result.text.split()[0] == hashlib.sha256(data).hexdigest()

    @promise("X4", delta=True)
    async def test_input_and_output_flow_at_once(self, box: AsyncSandbox) -> None:
        data = random.Random(5).randbytes(5 << 20)
        result = await box.exec("cat; echo err >&2", input=data, timeout=60)
        assert (result.exit_code, result.stdout == data, result.stderr) == (0, True, b"err\n")

    @promise("X4", delta=True)
    async def test_input_that_is_not_read_hinders_nothing(self, box: AsyncSandbox) -> None:
        data = b"x" * (3 << 20)
        for timeout in (None, 30.0):
            result = await box.exec("echo done; exit 3", input=data, timeout=timeout)
            assert (result.exit_code, result.text) == (3, "done\n")
            result = await box.exec("read line; exec 0<&-; echo closed", input=b"one\n" + data, timeout=timeout)
            assert (result.exit_code, result.text) == (0, "closed\n")
            result = await box.exec("head -n 1; echo some", input=b"one\n" + data, timeout=timeout)
            assert (result.exit_code, result.text) == (0, "one\nsome\n")
        assert (await box.exec("echo usable")).text == "usable\n"

    @promise("X4", delta=True)
    async def test_the_first_part_is_left_for_the_next_program(self, box: AsyncSandbox) -> None:
        # read takes a line and not a byte more.
        result = await box.exec("IFS= read -r a; IFS= read -r b; echo $a$b; cat", input=b"1\n2\n3\n4\n")
        assert result.text == "12\n3\n4\n"
