"""Planted bugs in channels that are kept: each breaks a promise for the next command on one."""

from __future__ import annotations

from typing import Any

from tests.mutations.planting import breaks, replace

WARM = "tests/warm/test_"


def _in_the_runner(old: str, new: str) -> None:
    from sandboxkit import runner
    from sandboxkit.launcher import frame

    assert old in runner._SCRIPT, "the runner has no such text"
    replace(runner, "SETUP", lambda _: frame(runner._SCRIPT.replace(old, new).encode()))


@breaks(
    "X10", f"{WARM}reuse.py::test_a_command_that_leaves_something_behind_is_the_channels_last[dash-blocking-held out]"
)
def what_was_left_behind_is_not_looked_for() -> None:
    _in_the_runner("__look(){", "__look(){ return;")


@breaks(
    "X5", f"{WARM}reuse.py::test_a_command_that_leaves_something_behind_is_the_channels_last[dash-blocking-session]"
)
def only_what_holds_a_pipe_is_left_behind() -> None:
    _in_the_runner('[ "$__g" = "$__sid" ]&&return', "")


@breaks("X12", f"{WARM}reuse.py::test_non_blocking_outputs_left_behind_lose_the_next_command_nothing[dash-blocking]")
def commands_share_their_outputs() -> None:
    _in_the_runner("__v= __o='>/proc/self/fd/3 2>/proc/self/fd/4'", "__v=")


@breaks(
    "X2",
    f"{WARM}reuse.py::test_whatever_a_command_does_it_ends_as_on_a_channel_of_its_own_and_the_next_is_right[dash-blocking-fed]",
)
def a_signal_to_the_group_ends_who_waits() -> None:
    _in_the_runner("__guard(){", "__guard(){ return;}\n__unused(){")


@breaks("X5", f"{WARM}ending.py::test_commands_in_time_neither_leave_a_watchdog_nor_wait_for_one[dash-blocking]")
def a_watchdog_does_not_hear_that_it_is_told_to_stop() -> None:
    # Without "trap - TERM" it only misses what comes before the fork let go of its parent's trap: that needs luck.
    _in_the_runner("__watch(){ trap - TERM", "__watch(){ trap '' TERM")


@breaks("X4", f"{WARM}reuse.py::test_a_variable_called_like_one_of_the_runners_is_only_the_commands[dash-blocking]")
def the_environment_stays_for_the_next_command() -> None:
    from sandboxkit import launcher, runner

    def make(original: Any) -> Any:
        def request(command: Any, *rest: Any) -> bytes:
            return b"".join(map(runner._line, launcher.environment(command))) + bytes(original(command, *rest))

        return request

    replace(runner, "request", make)


@breaks("X7", f"{WARM}ending.py::test_a_cancelled_command_is_the_end_of_what_it_may_have_left_on_its_channel")
def a_channel_is_used_after_an_interrupted_command() -> None:
    from sandboxkit.warmchannel import WarmProcess

    replace(WarmProcess, "_verdict", lambda _: lambda self: "ready")


@breaks("X5", f"{WARM}killing.py::test_a_kill_that_is_under_way_when_its_command_ends_finds_no_other")
def a_channel_is_used_while_a_kill_is_at_it() -> None:
    from sandboxkit.launched import LaunchedProcess
    from sandboxkit.warmchannel import WarmProcess

    replace(WarmProcess, "_kill_once", lambda _: LaunchedProcess._kill_once)


@breaks("X3", f"{WARM}dropping.py::test_a_command_whose_channel_drops_half_way_is_never_run_twice[blocking-ends]")
def a_command_whose_channel_dropped_is_sent_again() -> None:
    from sandboxkit import execution
    from sandboxkit.errors import CommandLost

    def make(original: Any) -> Any:
        async def execute(*args: Any, **options: Any) -> Any:
            try:
                return await original(*args, **options)
            except CommandLost:
                return await original(*args, **options)

        return execute

    replace(execution, "execute", make)


@breaks("X12", f"{WARM}pool.py::test_who_waits_longest_for_a_channel_is_served_first")
def who_came_last_is_served_first() -> None:
    from sandboxkit.pool import Pool

    def make(original: Any) -> Any:
        def offer(self: Any, channel: Any) -> Any:
            self._waiting.rotate(1)
            return original(self, channel)

        return offer

    replace(Pool, "_offer", make)


@breaks("E5", f"{WARM}pool.py::test_channels_that_nothing_uses_are_closed")
def channels_that_nothing_uses_are_kept() -> None:
    from sandboxkit.pool import Pool

    async def upkeep(self: Any) -> None:
        return None

    replace(Pool, "upkeep", lambda _: upkeep)


@breaks("E5", f"{WARM}pool.py::test_a_fork_of_the_client_neither_uses_nor_closes_its_parents_channels")
def a_forked_client_uses_its_parents_channels() -> None:
    from sandboxkit.warm import Pools

    replace(Pools, "_see_forks", lambda _: lambda self: None)
