"""What a command writes, and how much of it is kept: X2, X8."""

from __future__ import annotations

import secrets

from sandboxkit.sandbox import AsyncSandbox
from sandboxkit.testing import acts
from sandboxkit.testing.looking import writable
from sandboxkit.testing.promises import promise
from sandboxkit.testing.stage import Stage

MARKERS = (
    b"\x01\x00\x00\x00\x00\x00\x00\x05hello\x02\x00\x00\x00\x00\x00\x00\x03err\x00\x00\x00\x00",
    b'{"metadata":{},"status":"Success"}\n{"ExitCode":0,"Running":false}\n',
    b"\x1b[31mred\x1b[0m\x07\x08\x7f\r\n\x00\xff\xfe\x04\x03\x1a",
    b":E0,0;:P1,2,3;:W2;\n+\n0\n262144\n.\nEXIT 0\n__EXIT__0\n$?\n[exit code: 0]\n<<EOF\nEOF\n",
    b"\x88\x02\x03\xe8\x81\x00\x82\x7e\xff\xff",
)
"""Bytes that backends, launchers and terminals use between themselves."""


class OutputBudget:
    """Tests of streams, their exactness and their budget."""

    @promise("X2", delta=True)
    async def test_the_streams_are_apart_and_exact(self, box: AsyncSandbox) -> None:
        result = await box.exec("printf 'a\\000b\\r\\nc'; printf 'd\\001e\\n\\n' >&2")
        assert (result.stdout, result.stderr) == (b"a\0b\r\nc", b"d\x01e\n\n")
        everything = bytes(range(256)) * 16
        result = await box.exec("cat >&2", input=everything)
        assert (result.stdout, result.stderr) == (b"", everything)

    @promise("X2", delta=True)
    async def test_output_that_imitates_markers_is_output(self, box: AsyncSandbox) -> None:
        hexes = "".join(secrets.token_hex(16) + ":E0,0;" + secrets.token_hex(16) for _ in range(200)).encode()
        data = b"".join(MARKERS) + hexes + b"".join(MARKERS)
        for timeout in (None, 20.0):
            result = await box.exec(["tee", "/dev/stderr"], input=data, timeout=timeout)
            assert result.exit_code == 0
            assert result.stdout == data
            assert result.stderr == data

    @promise("X2", delta=True)
    async def test_text_is_decoded_over_the_whole_stream(self, box: AsyncSandbox) -> None:
        result = await box.exec("printf '\\342'; sleep 0.2 || sleep 1; printf '\\202\\254'; printf '\\377' >&2")
        assert (result.text, result.stderr_text) == ("€", "\ufffd")
        euros = "€" * 100_000
        assert (await box.exec(["cat"], input=euros)).text == euros

    @promise("X8", delta=True)
    async def test_head_and_tail_are_kept_and_the_rest_counted(self, box: AsyncSandbox) -> None:
        script = "n=0; while [ $n -lt 20000 ]; do echo line $n; n=$((n+1)); done; echo ran on >&2; exit 6"
        whole = "".join(f"line {n}\n" for n in range(20000)).encode()
        for budget in (0, 1, 7, 1000, 100_001):
            result = await box.exec(script, max_output=budget)
            assert (result.exit_code, len(result.stdout)) == (6, budget)
            assert result.stdout_dropped == len(whole) - budget
            assert result.truncated is True
            head = budget - budget // 2
            assert result.stdout[:head] == whole[:head]
            assert whole.endswith(result.stdout[head:])
            assert result.stderr == b"ran on\n"[: 7 if budget >= 7 else 0] or budget < 7

    @promise("X8", delta=True)
    async def test_what_fits_exactly_is_not_truncated(self, box: AsyncSandbox) -> None:
        result = await box.exec("printf 12345678; printf 1234 >&2", max_output=8)
        assert (result.stdout, result.stderr, result.truncated) == (b"12345678", b"1234", False)
        assert (result.stdout_dropped, result.stderr_dropped) == (0, 0)
        result = await box.exec("printf 123456789", max_output=8)
        assert (result.stdout, result.truncated, result.stdout_dropped) == (b"12346789", True, 1)

    @promise("X8", delta=True)
    async def test_stdout_cannot_crowd_out_stderr(self, box: AsyncSandbox) -> None:
        script = "echo first >&2; dd if=/dev/zero bs=65536 count=100 2>/dev/null; echo last >&2"
        result = await box.exec(script, max_output=10_000)
        assert (len(result.stdout), result.stdout_dropped) == (10_000, 6_553_600 - 10_000)
        assert (result.stderr, result.stderr_dropped) == (b"first\nlast\n", 0)

    @promise("X8")
    async def test_the_default_budget_is_eight_mebibytes(self, box: AsyncSandbox) -> None:
        result = await box.exec("dd if=/dev/zero bs=65536 count=144 2>/dev/null")
        assert (len(result.stdout), result.stdout_dropped) == (8 << 20, 1 << 20)

    @promise("X8", "X9", delta=True)
    async def test_without_a_budget_all_is_kept_long_lines_too(self, box: AsyncSandbox) -> None:
        line = b"x" * (1 << 20) + b"\n"
        result = await box.exec("cat; cat >&2 </dev/null", input=line * 10, max_output=None)
        assert (result.stdout == line * 10, result.truncated) == (True, False)

    @promise("X8", delta=True)
    async def test_the_command_runs_on_past_the_budget(self, box: AsyncSandbox) -> None:
        directory = await writable(box)
        script = 'dd if=/dev/zero bs=65536 count=32 2>/dev/null; echo done >"$D/done"; exit 4'
        result = await box.exec(script, env={"D": directory}, max_output=10)
        assert (result.exit_code, result.stdout_dropped) == (4, 65536 * 32 - 10)
        assert await box.files.read(f"{directory}/done") == b"done\n"

    @promise("X8", heavy=True)
    async def test_a_hundred_mebibytes_need_little_memory(self, stage: Stage, box: AsyncSandbox) -> None:
        script = "dd if=/dev/zero bs=1048576 count=100 2>/dev/null; exit 2"
        with stage.child(acts.measure, box.id, script, 1 << 20) as child:
            grown, code, kept, dropped = map(int, child.line(within=60).split())
            child.finish()
        assert (code, kept, kept + dropped) == (2, 1 << 20, 100 << 20)
        # The budget and 32 MiB; the control is that keeping it all takes more than that.
        assert grown < (1 + 32) * 1024
        with stage.child(acts.measure, box.id, script, 100 << 20) as child:
            assert int(child.line(within=60).split()[0]) > 90 * 1024
            child.finish()
