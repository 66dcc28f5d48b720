"""Running commands to their end: starting one, feeding and collecting it at once, and judging what came of it."""

from __future__ import annotations

from typing import cast

from sandboxkit.budget import Output
from sandboxkit.errors import CommandError, CommandTimeout, DeadlineExceeded, ProviderError, Throttled
from sandboxkit.model import Command, Result, TerminalSize
from sandboxkit.process import PATIENCE, AsyncProcess
from sandboxkit.provider import ProcessChannel, SandboxProvider, TerminalChannel, TerminalProvider

START_LIMIT = 60.0
"""Seconds that starting a command without a timeout may take."""

TURN_LIMIT = 900.0
"""Seconds that a command without a timeout waits for its turn, where an account may start only so many."""


async def start(
    provider: SandboxProvider,
    sandbox_id: str,
    command: Command,
    *,
    max_output: int | None,
    size: TerminalSize | None = None,
) -> AsyncProcess:
    """Start a checked command, on a terminal if that has a size.

    A start that outlasts the command's own timeout is that timeout. Without one, a throttled command waits its turn.
    """
    began = provider.world.now()
    limit = None if command.timeout is None else began + command.timeout
    until = began + START_LIMIT if limit is None else limit + PATIENCE
    while True:
        try:
            channel = await _start(provider, sandbox_id, command, size, until)
            break
        except Throttled as exc:
            # It was refused, so it did not run; the turn that it was told may come later than a start may take.
            turn = provider.world.now() + (exc.retry_after or 0.0)
            if limit is not None or exc.retry_after is None or turn > began + TURN_LIMIT:
                raise
            await provider.world.sleep(exc.retry_after)
            until = provider.world.now() + START_LIMIT
        except DeadlineExceeded as exc:
            if limit is None:
                raise
            raise CommandTimeout(
                f"the command's {command.timeout:g} s were over before sandbox {sandbox_id} had started it: {exc}"
            ) from exc
    terminal = None if size is None else cast("TerminalChannel", channel)
    return AsyncProcess(provider, sandbox_id, command, channel, limit, max_output, terminal)


async def _start(
    provider: SandboxProvider, sandbox_id: str, command: Command, size: TerminalSize | None, until: float
) -> ProcessChannel:
    if size is None:
        return await provider.start_process(sandbox_id, command, until=until)
    return await cast("TerminalProvider", provider).start_terminal(sandbox_id, command, size, until=until)


async def execute(
    provider: SandboxProvider, sandbox_id: str, command: Command, data: bytes, *, max_output: int | None
) -> Result:
    """Run a command to its end; whatever interrupts it ends its tree before the interruption goes on."""
    process = await start(provider, sandbox_id, command, max_output=max_output)
    output = Output(max_output)
    try:
        rest = memoryview(data)
        while not process.ended:
            rest = rest[await process.advance(rest) :]
            while (chunk := process.take()) is not None:
                output.add((chunk,))
        if isinstance(process.error, CommandError):
            for name, value in output.streams().items():
                setattr(process.error, name, value)
        await process.check()
    finally:
        await process.close()
    if process.exit_code is None:
        raise ProviderError(f"provider {provider.name!r} reported the command's end without an exit code")
    return output.result(process.exit_code)
