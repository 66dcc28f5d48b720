"""Planted bugs in the life of sandboxes: L1 to L10."""

from __future__ import annotations

import secrets
import sys
from typing import Any

from tests.mutations.planting import breaks, replace


@breaks("L1", "test_a_bad_specification_makes_nothing")
def a_bad_specification_is_not_noticed() -> None:
    from sandboxkit.client import AsyncClient

    replace(AsyncClient, "_check", lambda _: lambda self, spec: None)


@breaks("L1", "test_a_create_cancelled_anywhere_leaves_nothing", world="blocking")
def an_interrupted_create_is_not_undone() -> None:
    from sandboxkit_local.creation import Builder
    from sandboxkit_local.provider import LocalProvider
    from sandboxkit_local.state import State

    def close(original: Any) -> Any:
        def close_input(self: Any) -> None:
            self.take()
            original(self)

        return close_input

    def end(original: Any) -> Any:
        async def delete(self: Any, sandbox_id: str, *, until: float | None) -> bool:
            return sys.exception() is None and await original(self, sandbox_id, until=until)

        return delete

    # Each of the three alone is mended by the others.
    replace(Builder, "close_input", close)
    replace(State, "remove_unfinished", lambda _: lambda self, sandbox_id: None)
    replace(LocalProvider, "delete", end)


@breaks("L2", "test_one_key_with_another_specification_is_an_error", world="blocking")
def specifications_are_not_compared() -> None:
    from sandboxkit import client

    replace(client, "fingerprint", lambda _: lambda spec: "same")


@breaks("L2", "test_one_key_gives_one_sandbox", "test_a_create_whose_reply_was_lost_is_found_again", world="blocking")
def the_key_is_not_sent() -> None:
    from sandboxkit import client

    replace(client, "_check_key", lambda _: lambda key: secrets.token_hex(16))


@breaks("L3", "test_an_unknown_id_is_not_found")
def get_asks_nobody() -> None:
    from sandboxkit.client import AsyncClient
    from sandboxkit.sandbox import AsyncSandbox

    async def get(self: AsyncClient, sandbox_id: str) -> AsyncSandbox:
        return AsyncSandbox(self, sandbox_id, owned=False)

    replace(AsyncClient, "get", lambda _: get)


@breaks("L4", "test_list_filters_by_every_label_and_any_status")
def one_label_is_enough() -> None:
    from sandboxkit.client import AsyncListing

    def make(original: Any) -> Any:
        def init(self: Any, client: Any, labels: Any, statuses: Any) -> None:
            original(self, client, dict(list(labels.items())[:2]), statuses)

        return init

    replace(AsyncListing, "__init__", make)


@breaks("L4", "test_list_filters_by_every_label_and_any_status")
def a_status_is_ignored() -> None:
    from sandboxkit.client import AsyncListing

    def make(original: Any) -> Any:
        def init(self: Any, client: Any, labels: Any, statuses: Any) -> None:
            original(self, client, labels, frozenset())

        return init

    replace(AsyncListing, "__init__", make)


@breaks("L5", "test_delete_says_whether_it_removed_something", world="blocking")
def delete_reports_success_for_nothing() -> None:
    from sandboxkit_local.provider import LocalProvider

    async def delete(self: object, sandbox_id: str, *, until: float | None) -> bool:
        return True

    replace(LocalProvider, "delete", lambda _: delete)


@breaks("L5", "test_delete_says_whether_it_removed_something", world="blocking")
def delete_always_removed_something() -> None:
    from sandboxkit_local.provider import LocalProvider

    def make(original: Any) -> Any:
        async def delete(self: Any, sandbox_id: str, *, until: float | None) -> bool:
            await original(self, sandbox_id, until=until)
            return True

        return delete

    replace(LocalProvider, "delete", make)


@breaks("L7", "test_without_a_ttl_there_is_a_deadline_too", world="blocking")
def the_default_is_a_year() -> None:
    from sandboxkit import client

    def make(original: Any) -> Any:
        def request(**fields: Any) -> Any:
            if fields["spec"].ttl == 3600.0:
                fields["expires_at"] += 31_536_000
            return original(**fields)

        return request

    replace(client, "CreateRequest", make)


@breaks("L7", "test_the_deadline_holds_for_a_command_of_the_users", world="blocking")
def the_deadline_is_only_written_down() -> None:
    from sandboxkit_local.provider import LocalProvider

    def make(original: Any) -> Any:
        def plan(self: Any, *args: Any) -> Any:
            made = original(self, *args)
            made.expires_at += 31_536_000
            return made

        return plan

    replace(LocalProvider, "_plan", make)


@breaks("L8", "test_gc_removes_what_has_expired_and_nothing_else", world="blocking")
def gc_takes_what_has_time_left() -> None:
    from sandboxkit import client

    replace(client, "_forsaken", lambda original: lambda info, now: original(info, now + 1000))


@breaks("L8", "test_gc_removes_what_has_expired_and_nothing_else")
def a_dry_run_removes() -> None:
    from sandboxkit.client import AsyncClient

    def make(original: Any) -> Any:
        async def gc(self: Any, *, dry_run: bool = False) -> Any:
            found = await original(self, dry_run=True)
            for info in found:
                await self.provider.delete(info.id, until=None)
            return found

        return gc

    replace(AsyncClient, "gc", make)


@breaks("L9", "test_a_block_deletes_what_it_created", world="blocking")
def a_block_deletes_nothing() -> None:
    from sandboxkit.sandbox import AsyncSandbox

    async def leave(self: object, *exc: object) -> None:
        return None

    replace(AsyncSandbox, "__aexit__", lambda _: leave)


@breaks("L9", "test_a_block_of_one_that_was_got_deletes_nothing", world="blocking")
def a_block_deletes_what_it_was_given() -> None:
    from sandboxkit.sandbox import AsyncSandbox

    async def leave(self: Any, *exc: object) -> None:
        await self.delete()

    replace(AsyncSandbox, "__aexit__", lambda _: leave)


@breaks("L10", "test_twenty_at_once_do_not_clash", world="blocking")
def names_are_drawn_from_few() -> None:
    from sandboxkit_local.state import State

    replace(State, "new_id", lambda _: lambda self: f"sk-00000000000{secrets.randbelow(4)}")
