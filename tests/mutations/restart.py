"""Planted bugs in restart: L6."""

from __future__ import annotations

from typing import Any

import attrs

from tests.mutations.planting import breaks, replace


@breaks("L6", "test_restart_keeps_the_id_and_ends_every_process")
def restart_does_nothing() -> None:
    from sandboxkit_local.provider import LocalProvider

    def make(_: Any) -> Any:
        async def restart(self: Any, sandbox_id: str, *, until: float | None) -> Any:
            return await self.get(sandbox_id, until=until)

        return restart

    replace(LocalProvider, "restart", make)


@breaks("L6", "test_restart_keeps_the_id_and_ends_every_process")
def a_restart_begins_the_time_to_live_anew() -> None:
    from sandboxkit_local.state import State

    def make(original: Any) -> Any:
        def plan(self: Any, sandbox_id: str) -> Any:
            made = original(self, sandbox_id)
            made.expires_at += 60.0
            return made

        return plan

    replace(State, "plan", make)


@breaks("L6", "test_restart_keeps_the_id_and_ends_every_process")
def a_restart_forgets_the_environment() -> None:
    from sandboxkit_local.state import State

    def make(original: Any) -> Any:
        def plan(self: Any, sandbox_id: str) -> Any:
            made = original(self, sandbox_id)
            made.env = []
            return made

        return plan

    replace(State, "plan", make)


@breaks("L6", "test_restart_keeps_files")
def a_restart_empties_the_sandbox() -> None:
    from pathlib import Path

    from sandboxkit_local.provider import LocalProvider
    from sandboxkit_local.removal import remove_tree

    def empty(directory: str) -> None:
        for each in [path for name in ("workspace", "tmp") for path in Path(directory, name).iterdir()]:
            remove_tree(str(each))

    def make(original: Any) -> Any:
        async def restart(self: Any, sandbox_id: str, *, until: float | None) -> Any:
            empty(self.state.of(sandbox_id))
            return await original(self, sandbox_id, until=until)

        return restart

    replace(LocalProvider, "restart", make)


@breaks("L6", "test_the_sandboxs_own_command_begins_anew")
def a_restart_forgets_the_command() -> None:
    from sandboxkit_local.state import State

    def make(original: Any) -> Any:
        def plan(self: Any, sandbox_id: str) -> Any:
            made = original(self, sandbox_id)
            made.command = []
            return made

        return plan

    replace(State, "plan", make)


@breaks(
    "L6",
    "providers/local/tests/test_restart.py::test_a_restart_waits_for_who_holds_the_sandbox",
    "test_restarts_at_once_each_end_well",
)
def a_restart_gives_up_when_another_is_at_it() -> None:
    from sandboxkit_local import ending

    def make(_: Any) -> Any:
        async def look_again(world: Any, sandbox_id: str, until: float | None) -> None:
            raise RuntimeError("another client is at it")

        return look_again

    replace(ending, "look_again", make)


@breaks("L6", "test_a_command_that_runs_meanwhile_ends_with_a_typed_error")
def a_command_that_was_ended_has_an_exit_code() -> None:
    from sandboxkit.process import AsyncProcess

    def make(_: Any) -> Any:
        async def check(self: Any) -> None:
            object.__setattr__(self._channel, "report", attrs.evolve(_report(), exit_code=0))

        return check

    def _report() -> Any:
        from sandboxkit.provider import Report

        return Report()

    replace(AsyncProcess, "check", make)


@breaks("L6", "test_restart_is_refused_where_it_is_not_declared", provider="poor")
def an_undeclared_restart_is_ignored() -> None:
    from sandboxkit.sandbox import AsyncSandbox

    def make(_: Any) -> Any:
        async def restart(self: Any) -> Any:
            return await self.info()

        return restart

    replace(AsyncSandbox, "restart", make)
