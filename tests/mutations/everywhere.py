"""Planted bugs in what holds everywhere: E1 to E5."""

from __future__ import annotations

import os
from typing import Any

from tests.mutations.planting import breaks, replace


@breaks("E1", "test_each_operation_has_both_forms", world="blocking")
def the_blocking_form_lacks_an_operation() -> None:
    from sandboxkit import sync

    del sync.Files.append


@breaks("E1", "test_what_is_not_declared_is_refused_before_anything_is_sent", provider="poor")
def what_is_not_declared_is_tried() -> None:
    from sandboxkit import capabilities

    replace(capabilities, "require", lambda _: lambda provider, declared, name: None)


@breaks("E2", "test_errors_reprs_and_logs_are_clean")
def an_error_quotes_the_command() -> None:
    from sandboxkit import sandbox

    def make(original: Any) -> Any:
        async def execute(provider: Any, sandbox_id: str, command: Any, *args: Any, **kwargs: Any) -> Any:
            try:
                return await original(provider, sandbox_id, command, *args, **kwargs)
            except Exception as exc:
                raise type(exc)(f"{exc}: {command.text!r}") from exc

        return execute

    replace(sandbox, "execute", make)


@breaks("E2", "test_values_are_in_no_process_argument", provider="poor")
def values_are_process_arguments() -> None:
    from sandboxkit import launcher

    def make(original: Any) -> Any:
        def execution(command: Any) -> Any:
            pairs = launcher.quote(b" ".join(name.encode() + b"=" + value for name, value in command.env.items()))
            text: bytes = original(command)
            return text.replace(b'"$@"', b"sh -c 'shift;\"$@\";exit $?' sh " + pairs + b' "$@"')

        return execution

    replace(launcher, "execution", make)


@breaks("E3", "test_calls_that_are_safe_to_repeat_are_repeated", world="blocking")
def nothing_is_repeated() -> None:
    from sandboxkit import retry

    replace(retry, "ATTEMPTS", lambda _: 1)
    replace(retry, "TURNS", lambda _: 1)


@breaks("E3", "test_a_command_is_never_repeated_silently", world="blocking")
def a_command_is_repeated() -> None:
    from sandboxkit import execution
    from sandboxkit.retry import retrying

    def make(original: Any) -> Any:
        async def start(provider: Any, *args: Any, **kwargs: Any) -> Any:
            return await retrying(provider.world, lambda: original(provider, *args, **kwargs), until=None)

        return start

    replace(execution, "start", make)


@breaks("E4", "test_exec_needs_no_writable_directory", provider="poor", world="blocking")
def the_launcher_keeps_a_file() -> None:
    from sandboxkit import launcher

    def make(original: Any) -> Any:
        def directory(command: Any) -> list[bytes]:
            return [b": >/tmp/launcher.$$", *original(command)]

        return directory

    replace(launcher, "directory", make)


@breaks("E5", "test_commands_leave_nothing_behind")
def every_command_leaves_a_descriptor() -> None:
    from sandboxkit.process import AsyncProcess

    def make(original: Any) -> Any:
        async def close(self: Any) -> None:
            os.open(os.devnull, os.O_RDONLY)
            await original(self)

        return close

    replace(AsyncProcess, "close", make)


@breaks("E5", "test_sandboxes_leave_nothing_behind", world="blocking")
def every_sandbox_leaves_a_file() -> None:
    import tempfile

    from sandboxkit import client

    def make(original: Any) -> Any:
        def request(**fields: Any) -> Any:
            os.close(tempfile.mkstemp(prefix="sandboxkit-mutation-")[0])
            return original(**fields)

        return request

    replace(client, "CreateRequest", make)
