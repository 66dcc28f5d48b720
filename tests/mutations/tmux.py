"""Planted bugs in tmux sessions: T1 to T6."""

from __future__ import annotations

from typing import Any

import attrs

from tests.mutations.planting import breaks, replace


def _edit(program: str, old: str, new: str) -> None:
    """Change the text of a session program where it is used."""
    from sandboxkit import session, tmux

    owner = tmux if hasattr(tmux, program) and not hasattr(session, program) else session
    assert old in getattr(owner, program), f"{program} does not hold {old!r}"
    replace(owner, program, lambda text: text.replace(old, new))


@breaks("T1", "test_a_taken_name_is_an_error_and_runs_nothing")
def a_taken_name_is_no_error() -> None:
    _edit("START", "die EXISTS", "exit 0")


@breaks("T1", "test_a_start_interrupted_once_the_command_runs_ends_it")
def an_interrupted_start_is_left_to_itself() -> None:
    from sandboxkit.tmux import AsyncTmux

    async def abandon(self: Any, session: Any, own: bytes) -> None:
        return None

    replace(AsyncTmux, "_abandon", lambda _: abandon)


@breaks("T1", "test_what_cannot_start_leaves_nothing")
def a_missing_directory_of_a_session_is_ignored() -> None:
    _edit("START", "die CWD2", ":")


@breaks("T2", "test_a_poll_is_one_round_trip")
def a_poll_asks_twice() -> None:
    from sandboxkit.session import AsyncSession

    def make(original: Any) -> Any:
        async def look(self: Any, *args: Any, **kwargs: Any) -> Any:
            await original(self, *args, **kwargs)
            return await original(self, *args, **kwargs)

        return look

    replace(AsyncSession, "_look", make)


@breaks("T2", "test_a_command_that_ends_at_once_loses_nothing")
def a_fast_commands_exit_code_is_lost() -> None:
    from sandboxkit import session

    replace(session, "judge", lambda original: lambda *args: attrs.evolve(original(*args), exit_code=0))


@breaks("T2", "test_completed_is_said_only_with_all_of_the_output")
def an_exit_code_alone_means_completed() -> None:
    from sandboxkit import session

    replace(session, "judge", lambda judge: lambda a, o: judge(attrs.evolve(a, alive=a.exit_code is None), o))
    # The log's writer is behind, as it may be, until the session is ended.
    _edit("START", "exec /bin/sh $__n/run log", "sleep 600;exec /bin/sh $__n/run log")


@breaks("T3", "test_the_log_is_byte_for_byte")
def a_quiet_terminal_changes_its_output() -> None:
    _edit("START", "stty -echo -opost", "stty -echo")


@breaks("T3", "test_a_full_log_keeps_the_newest_and_says_so")
def nobody_is_told_that_a_log_was_cut() -> None:
    from sandboxkit import session

    replace(session, "judge", lambda original: lambda *args: attrs.evolve(original(*args), truncated=False))


@breaks("T3", "test_an_offset_asks_for_what_is_new")
def the_mark_of_the_end_is_output() -> None:
    from sandboxkit import sessionlog

    def make(original: Any) -> Any:
        def cut(answer: Any) -> Any:
            output, code, ended, end = original(answer)
            return output + b"\x1bX" * ended, code, ended, end + 2 * ended

        return cut

    replace(sessionlog, "_cut", make)


@breaks("T4", "test_kill_ends_the_whole_tree_and_nothing_else")
def all_sessions_have_one_mark() -> None:
    _edit("START", "<<32)|__r", "<<32)|2097152")


@breaks("T4", "test_kill_ends_the_whole_tree_and_nothing_else")
def a_kill_ends_the_terminal_only() -> None:
    _edit("KILL", "case $__v in $((M+1)));;", "case $__v in $((M+1)))return;;")


@breaks("T4", "test_wait_returns_at_its_limit_and_kills_only_if_asked")
def wait_kills_unasked() -> None:
    from sandboxkit.session import AsyncSession

    def make(original: Any) -> Any:
        async def wait(self: Any, *args: Any, **kwargs: Any) -> Any:
            return await original(self, *args, **{**kwargs, "kill": True})

        return wait

    replace(AsyncSession, "wait", make)


@breaks("T5", "test_text_of_any_length_arrives_as_it_is")
def a_newline_is_typed_as_enter() -> None:
    _edit("SEND", "paste-buffer -r", "paste-buffer")


@breaks("T5", "test_keys_are_named")
def named_keys_are_typed_as_text() -> None:
    _edit("SEND", "send-keys -t", "send-keys -l -t")


@breaks("T5", "test_who_is_attached_leaves_at_the_end")
def who_is_attached_stays_at_the_end() -> None:
    _edit("START", "tmux -S tmux detach-client", ": detach-client")


@breaks("T5", "test_who_is_attached_leaves_at_the_end")
def who_reads_slowly_leaves_before_the_end() -> None:
    _edit("START", "(__drawn $__c;", "(")


@breaks("T5", "test_who_is_attached_leaves_at_the_end")
def who_attaches_late_stays() -> None:
    _edit("START", "set-hook -g client-attached", "set-hook -g client-detached")


@breaks("T6", "test_without_tmux_a_session_runs_all_the_same")
def a_detached_commands_stderr_is_lost() -> None:
    _edit("START", "exec >&6 2>&6", "exec >&6")


@breaks("T6", "test_without_tmux_what_is_left_behind_holds_nothing_up")
def what_is_left_behind_is_output() -> None:
    from sandboxkit import sessionlog

    def make(original: Any) -> Any:
        def cut(answer: Any) -> Any:
            output, code, ended, end = original(answer)
            joined = b"".join(data for _, data in answer.pieces)
            rest = joined[len(output) :].partition(b"\x1b\\")[2]
            return output + rest, code, ended, end + len(rest)

        return cut

    replace(sessionlog, "_cut", make)
