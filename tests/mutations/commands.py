"""Planted bugs in commands: X1 to X12."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import attrs

from tests.mutations.planting import breaks, replace


@breaks("X1", "test_a_list_runs_without_a_shell")
def a_list_runs_in_a_shell() -> None:
    from sandboxkit import sandbox

    def make(original: Any) -> Any:
        def make_command(command: Any, **rest: Any) -> Any:
            return original(" ".join(map(str, command)) if isinstance(command, list) else command, **rest)

        return make_command

    replace(sandbox, "make_command", make)


@breaks("X1", "test_a_script_of_five_mebibytes_runs", provider="poor")
def a_long_text_travels_in_an_argument() -> None:
    from sandboxkit import launcher

    replace(launcher, "_TEXT_IN_ARGUMENT", lambda _: 1 << 30)


@breaks("X1", "test_what_cannot_run_is_refused_before_anything_is_sent")
def a_long_argument_is_not_refused() -> None:
    from sandboxkit import commands

    replace(commands, "MAX_ARGUMENT", lambda _: 1 << 30)


@breaks("X1", "test_a_total_that_the_kernel_refuses_is_no_exit_code", provider="poor")
def too_many_arguments_are_an_exit_code() -> None:
    from sandboxkit.launched import LaunchedProcess

    replace(LaunchedProcess, "_arguments_refused", lambda _: lambda self: False)


@breaks("X2", "test_exit_codes_come_back", provider="poor")
def exit_codes_lose_a_bit() -> None:
    from sandboxkit.launched import LaunchedProcess

    def make(original: Any) -> Any:
        def note(self: Any, record: Any) -> None:
            if record.kind == b"E":
                code, *rest = record.fields
                record = attrs.evolve(record, fields=(b"%d" % (int(code) & 127), *rest))
            original(self, record)

        return note

    replace(LaunchedProcess, "_note", make)


@breaks("X2", "test_a_missing_working_directory_is_an_error_of_its_own", provider="poor")
def a_missing_directory_is_ignored() -> None:
    from sandboxkit import launcher

    replace(launcher, "directory", lambda _: lambda command: [])


@breaks("X2", "test_output_that_imitates_markers_is_output", provider="poor")
def records_need_no_token() -> None:
    from sandboxkit.launcher import Ticket

    replace(Ticket, "__init__", lambda _: lambda self: self.__setstate__((b":", 2**22)))


@breaks("X2", "test_text_is_decoded_over_the_whole_stream")
def text_is_decoded_as_latin_1() -> None:
    from sandboxkit.model import Result

    replace(Result, "text", lambda _: property(lambda self: self.stdout.decode("latin-1")))


@breaks("X3", "test_a_sandbox_deleted_under_a_command_gives_no_status")
def an_exit_code_is_invented() -> None:
    from sandboxkit.process import AsyncProcess

    def make(original: Any) -> Any:
        async def lost(self: Any, cause: object) -> None:
            self.ended = True

        return lost

    replace(AsyncProcess, "_lost", make)
    replace(AsyncProcess, "exit_code", lambda _: property(lambda self: 0))


@breaks("X4", "test_values_arrive_byte_for_byte", provider="poor")
def values_are_not_quoted() -> None:
    from sandboxkit import launcher

    replace(launcher, "quote", lambda _: lambda value: b'"' + value.replace(b'"', b'\\"') + b'"')


@breaks("X4", "test_every_length_around_a_block_arrives", provider="poor")
def a_last_short_block_is_forgotten() -> None:
    from sandboxkit import launcher

    replace(launcher, "feed", lambda original: lambda length: original(length - length % launcher.BLOCK))


@breaks("X5", "test_the_whole_tree_is_ended_and_the_caller_told", provider="poor")
def only_the_session_is_killed() -> None:
    from sandboxkit import launcher

    def make(text: str) -> str:
        return text.replace("$((M+1)));;", '$((M+1)))[ "${4:-0}" = "$S" ]||return;;')

    replace(launcher, "SCAN", make)
    replace(launcher, "WATCHDOG", make)


@breaks("X5", "test_a_timeout_holds_when_the_client_is_dead", provider="poor", warm=False)
def only_the_client_keeps_the_time() -> None:
    from sandboxkit import launcher

    replace(launcher, "_watchdog", lambda _: lambda timeout: b"")


@breaks("X5", "test_one_commands_end_is_no_other_commands", provider="poor")
def all_commands_have_one_mark() -> None:
    from sandboxkit.launcher import Ticket

    def make(original: Any) -> Any:
        def init(self: Any, *args: Any) -> None:
            original(self, *args)
            object.__setattr__(self, "mark", 2**30)

        return init

    replace(Ticket, "__init__", make)


@breaks("X6", "test_output_before_the_timeout_is_kept")
def output_before_a_timeout_is_thrown_away() -> None:
    from sandboxkit.budget import Output

    replace(Output, "streams", lambda _: lambda self: {})


@breaks("X6", "test_the_whole_tree_is_ended_and_the_caller_told")
def a_timeout_is_an_exit_code() -> None:
    from sandboxkit.process import AsyncProcess

    def make(original: Any) -> Any:
        async def settle(self: Any, report: Any) -> None:
            await original(self, attrs.evolve(report, timed_out=False, exit_code=report.exit_code or 137))

        return settle

    replace(AsyncProcess, "_settle", make)


@breaks("X7", "test_interrupting_a_command_ends_its_tree")
def a_cancelled_command_runs_on() -> None:
    from sandboxkit.process import AsyncProcess

    async def close(self: Any) -> None:
        await self._channel.close()

    replace(AsyncProcess, "close", lambda _: close)


@breaks("X8", "test_stdout_cannot_crowd_out_stderr")
def the_streams_share_a_budget() -> None:
    from sandboxkit.budget import Output

    def make(original: Any) -> Any:
        def add(self: Any, chunks: Any) -> None:
            taken = sum(len(self._streams[n].value()[0]) for n in (1, 2))
            original(self, [c for c in chunks if c.stream == 1 or taken < (self.limit or taken + 1)])

        return add

    replace(Output, "add", make)


@breaks("X8", "test_head_and_tail_are_kept_and_the_rest_counted")
def only_the_head_is_kept() -> None:
    from sandboxkit.budget import HeadTail

    def make(original: Any) -> Any:
        def value(self: Any) -> tuple[bytes, int]:
            kept, dropped = original(self)
            return kept[: len(kept) // 2 + len(kept) % 2], dropped

        return value

    replace(HeadTail, "value", make)


@breaks("X9", "test_output_arrives_while_the_command_runs")
def output_arrives_at_the_end() -> None:
    from sandboxkit.process import AsyncProcess

    def make(original: Any) -> Any:
        async def anext(self: Any) -> Any:
            end = time.monotonic() + 5
            while not self.ended:
                await self.advance(until=end)
                assert time.monotonic() < end, "nothing has arrived"
            return await original(self)

        return anext

    replace(AsyncProcess, "__anext__", make)


@breaks("X9", "test_a_slow_reader_holds_the_command_back")
def nothing_holds_a_command_back() -> None:
    from sandboxkit.process import AsyncProcess

    def make(original: Any) -> Any:
        async def anext(self: Any) -> Any:
            chunk = await original(self)
            while not self.ended and self._waiting_size < 1 << 30:
                await self.advance()
            return chunk

        return anext

    replace(AsyncProcess, "__anext__", make)


@breaks("X10", "test_a_fast_commands_last_byte_is_there", provider="poor")
def the_last_byte_is_lost() -> None:
    from sandboxkit.records import RecordScanner

    def make(original: Any) -> Any:
        def feed(self: Any, data: bytes) -> Any:
            output, records = original(self, data)
            if output and any(record.kind == b"E" for record in records):
                output[-1] = output[-1][:-1]
            return output, records

        return feed

    replace(RecordScanner, "feed", make)


@breaks("X10", "test_a_background_child_that_holds_the_pipe_delays_nothing", provider="poor", warm=False)
def a_commands_children_die_with_it() -> None:
    from sandboxkit.process import AsyncProcess

    def make(original: Any) -> Any:
        async def close(self: Any) -> None:
            report, self._channel._report = self._channel._report, None
            await self._channel.kill(until=self._now + 3)
            self._channel._report = report
            await original(self)

        return close

    replace(AsyncProcess, "close", make)


@breaks("X11", "test_a_deleted_sandbox_is_a_typed_error_at_once")
def a_deleted_sandbox_is_a_provider_error() -> None:
    from sandboxkit import execution
    from sandboxkit.errors import ProviderError, SandboxNotFound

    def make(original: Any) -> Any:
        async def start(*args: Any, **kwargs: Any) -> Any:
            try:
                return await original(*args, **kwargs)
            except SandboxNotFound as exc:
                raise ProviderError("something went wrong") from exc

        return start

    replace(execution, "start", make)


@breaks("X12", "test_the_loop_is_never_blocked")
def the_loop_is_blocked_for_a_moment() -> None:
    from sandboxkit import sandbox

    def make(original: Any) -> Any:
        async def execute(*args: Any, **kwargs: Any) -> Any:
            time.sleep(0.02)  # noqa: ASYNC251 - that is the bug
            return await original(*args, **kwargs)

        return execute

    replace(sandbox, "execute", make)


@breaks("X12", "test_fifty_commands_at_once_do_not_disturb_each_other")
def commands_see_each_others_output() -> None:
    from sandboxkit import execution
    from sandboxkit.budget import Output

    shared: dict[int, Output] = {}

    def one(limit: int | None) -> Output:
        # Two at once share a result.
        running = len(asyncio.all_tasks()) // 2
        return shared.setdefault(running, Output(limit)) if running > 5 else Output(limit)

    replace(execution, "Output", lambda _: one)
