"""Planted bugs in terminals: X13."""

from __future__ import annotations

from typing import Any

import attrs

from tests.mutations.planting import breaks, replace


@breaks("X13", "test_a_command_finds_a_terminal")
def a_terminal_is_pipes() -> None:
    from sandboxkit_local import process

    def make(original: Any) -> Any:
        def make_request(mark: int, command: Any, size: Any = None) -> Any:
            data, text = original(mark, command, size)
            # The frame stays as long as it was: what it asks for is nothing that PID 1 knows.
            return data.replace(b"terminal", b"pipepipe"), text

        return make_request

    replace(process, "make_request", make)


@breaks("X13", "test_a_resize_is_seen_and_signalled", world="blocking")
def a_resize_changes_rows_only() -> None:
    from sandboxkit_local.terminal import LocalTerminal

    def make(original: Any) -> Any:
        async def resize(self: Any, size: Any, *, until: float | None = None) -> None:
            await original(self, attrs.evolve(size, columns=80), until=until)

        return resize

    replace(LocalTerminal, "resize", make)


@breaks("X13", "test_its_size_and_kind_are_known_at_its_start")
def rows_are_columns() -> None:
    from sandboxkit import sandbox
    from sandboxkit.model import TerminalSize

    def make(original: Any) -> Any:
        def check_size(size: Any) -> Any:
            checked = original(size)
            return TerminalSize(checked.columns, checked.rows)

        return check_size

    replace(sandbox, "check_size", make)


@breaks("X13", "test_output_that_nobody_reads_before_the_end_arrives")
def what_comes_with_the_end_of_a_terminal_is_lost() -> None:
    from sandboxkit_local.terminal import LocalTerminal

    def make(original: Any) -> Any:
        def read(self: Any) -> Any:
            if self._end is not None:
                self._outputs.clear()
            return original(self)

        return read

    replace(LocalTerminal, "_read", make)


@breaks("X13", "test_ctrl_c_reaches_the_foreground", "test_an_interactive_shell_controls_jobs")
def nobody_controls_the_terminal() -> None:
    # In a session of its own a program has the terminal's streams, and no more of it.
    from sandboxkit import sandbox

    def make(original: Any) -> Any:
        def make_command(command: Any, *, stdin: Any, **rest: Any) -> Any:
            made = original(command, stdin=stdin, **rest)
            if stdin.kind != "raw":
                return made
            argv = made.argv or (*made.shell, made.text)
            return attrs.evolve(made, argv=(b"setsid", b"-w", *argv), text=None)

        return make_command

    replace(sandbox, "make_command", make)


@breaks("X13", "test_it_is_hung_up_when_its_client_is_dead")
def nothing_hangs_up() -> None:
    from sandboxkit import sandbox

    def make(original: Any) -> Any:
        def make_command(command: Any, *, stdin: Any, **rest: Any) -> Any:
            if stdin.kind == "raw" and isinstance(command, str):
                command = f"trap '' HUP; {command}"
            return original(command, stdin=stdin, **rest)

        return make_command

    replace(sandbox, "make_command", make)


@breaks("X13", "test_kill_and_leaving_the_block_end_the_tree")
def leaving_a_terminal_only_hangs_up() -> None:
    from sandboxkit.process import AsyncProcess

    def make(original: Any) -> Any:
        async def close(self: Any) -> None:
            if self._terminal is None:
                await original(self)
            else:
                await self._channel.close()

        return close

    replace(AsyncProcess, "close", make)


@breaks("X13", "test_terminals_that_cannot_be_are_refused", provider="poor")
def a_terminal_is_silently_left_out() -> None:
    from sandboxkit.sandbox import AsyncSandbox

    def make(original: Any) -> Any:
        def spawn(self: Any, command: Any, *, terminal: Any = None, **rest: Any) -> Any:
            return original(self, command, **rest)

        return spawn

    replace(AsyncSandbox, "spawn", make)
