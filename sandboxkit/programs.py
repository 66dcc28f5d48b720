"""Running one small program in a sandbox and talking with it: what every file operation stands on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Literal

import attrs

from sandboxkit.errors import (
    CommandLost,
    DeadlineExceeded,
    FileError,
    ProviderError,
    SandboxError,
    WorkingDirectoryError,
)
from sandboxkit.fileerrors import file_error, too_large, understand
from sandboxkit.model import STDOUT, Command, Stdin
from sandboxkit.paths import display
from sandboxkit.provider import ProcessChannel, SandboxProvider, World

PATIENCE = 60.0
"""Seconds that a short operation may take, and a transfer without any progress."""

CLEANUP_LIMIT = 4.5
"""Seconds in which a program that was given up is ended, and its remains removed."""

_KEPT_STDERR = 4096

Sink = Callable[[bytes], object]


def _ignore(data: bytes) -> None:
    return None


@attrs.define(eq=False)
class Program:
    """A running program. Whoever sends also receives, or both ends would wait for each other.

    ``patience`` limits each wait for progress: bytes that go or come. ``deadline`` limits all of it.
    """

    provider: SandboxProvider = attrs.field(repr=False)
    sandbox_id: str
    doing: str
    channel: ProcessChannel = attrs.field(repr=False)
    patience: float
    deadline: float | None = None
    stderr: bytes = attrs.field(default=b"", init=False, repr=False)
    closed: bool = attrs.field(default=False, init=False)
    listener: Sink | None = attrs.field(default=None, init=False, repr=False)
    """Gets all of stderr, of which only the end is kept."""
    unsent: int = attrs.field(default=0, init=False)
    """How much of what is being sent was not, as far as is known."""

    @property
    def world(self) -> World:
        return self.provider.world

    @property
    def exit_code(self) -> int | None:
        """Its exit code once it has ended and everything that it wrote was received."""
        report = self.channel.report
        return None if report is None else report.exit_code

    @property
    def ended(self) -> bool:
        return self.channel.report is not None

    async def turn(self, outgoing: bytes | memoryview = b"", sink: Sink = _ignore) -> int:
        """Exchange once, waiting for progress; give how much of ``outgoing`` went."""
        until = self.world.now() + self.patience
        if self.deadline is not None:
            until = min(until, self.deadline)
        # Before the exchange, not after it: a cancellation here hides nothing that was sent or received.
        await self.world.breathe()
        turn = await self.channel.exchange(outgoing, until=until)
        for chunk in turn.chunks:
            if chunk.stream == STDOUT:
                sink(chunk.data)
            else:
                self.stderr = (self.stderr + chunk.data)[-_KEPT_STDERR:]
                if self.listener is not None:
                    self.listener(chunk.data)
        if self.ended:
            self._check_report()
        elif turn.closed:
            raise CommandLost(
                f"cannot tell what became of the request to {self.doing} in sandbox {self.sandbox_id}: "
                "its channel closed without a status",
                dispatched=self.channel.started,
            )
        elif not turn.sent and not turn.chunks and self.world.now() >= until:
            raise DeadlineExceeded(f"sandbox {self.sandbox_id} did not {self.doing} in time; it was given up")
        return turn.sent

    def _check_report(self) -> None:
        report = self.channel.report
        if report is None or report.exit_code is not None:
            return
        if report.failure == "cwd":
            raise WorkingDirectoryError(
                f"the working directory of sandbox {self.sandbox_id} cannot be entered; nothing was done",
                errno=report.errno,
            )
        raise ProviderError(f"sandbox {self.sandbox_id} could not {self.doing}: {report.message or 'no program ran'}")

    async def send(self, data: bytes | memoryview, sink: Sink = _ignore) -> None:
        """Send all of ``data``, or what goes until the program ends."""
        rest = memoryview(data)
        self.unsent = len(rest)
        while rest and not self.ended:
            rest = rest[await self.turn(rest, sink) :]
            self.unsent = len(rest)

    async def finish(self, sink: Sink = _ignore) -> None:
        """Receive until the program has ended."""
        while not self.ended:
            await self.turn(sink=sink)

    async def ask_to_end(self, word: bytes, *, limit: float) -> None:
        """Send a word that ends it, and wait for that within ``limit`` seconds; raises nothing of its own."""
        self.patience = limit
        self.deadline = self.world.now() + limit
        try:
            await self.send(word)
            await self.finish()
        except (SandboxError, OSError):
            return

    async def close(self) -> None:
        """Let go of it; one that still runs is ended first."""
        if self.closed:
            return
        until = self.world.now() + CLEANUP_LIMIT
        await self.world.protect(self.end(until=until), until=until)

    async def end(self, *, until: float) -> None:
        """Like :meth:`close`, from within a protected clean-up."""
        if self.closed:
            return
        self.closed = True
        try:
            if not self.ended:
                await self.channel.kill(until=until)
        finally:
            # What is wrong was said already, or the answer is there: a channel that breaks now changes neither.
            with suppress(SandboxError, OSError):
                await self.channel.close()


async def start_program(
    provider: SandboxProvider,
    sandbox_id: str,
    doing: str,
    text: str,
    args: Sequence[bytes],
    *,
    stdin: Literal["none", "raw", "stream"] = "none",
    content: bytes | None = None,
    user: str | None = None,
    patience: float = PATIENCE,
    limit: float | None = None,
) -> Program:
    """Start a program of :mod:`sandboxkit.fileprograms`; ``limit`` is in seconds, for all that it does.

    ``content`` is what it will be sent, for a program that takes it as an argument too.
    """
    now = provider.world.now()
    deadline = None if limit is None else now + limit
    argv = (b"/bin/sh", b"-c", text.encode(), b"sh", *args)
    command = Command(argv=argv, user=user, stdin=Stdin(kind=stdin, exact=True), is_program=True, content=content)
    channel = await provider.start_process(
        sandbox_id, command, until=now + patience if deadline is None else min(deadline, now + patience)
    )
    return Program(provider, sandbox_id, doing, channel, patience, deadline)


async def run_program(
    provider: SandboxProvider,
    sandbox_id: str,
    doing: str,
    text: str,
    args: Sequence[bytes],
    *,
    sink: Sink = _ignore,
    user: str | None = None,
    patience: float = PATIENCE,
    limit: float | None = None,
) -> Program:
    """Run a program that reads nothing to its end; what interrupts it ends it."""
    program = await start_program(provider, sandbox_id, doing, text, args, user=user, patience=patience, limit=limit)
    try:
        await program.finish(sink)
    finally:
        await program.close()
    return program


async def try_program(
    provider: SandboxProvider,
    sandbox_id: str,
    text: str,
    args: Sequence[bytes],
    *,
    user: str | None = None,
    limit: float,
) -> bool:
    """Run a program whose failure changes nothing, as clean-up after one that was given up."""
    try:
        program = await run_program(provider, sandbox_id, "clean up", text, args, user=user, limit=limit)
    except SandboxError:
        return False
    return program.exit_code == 0


def failure(program: Program, path: bytes, limit: int | None = None) -> FileError | None:
    """Give the error of a program that has ended, about its path; ``None`` if it did what it should."""
    code = program.exit_code
    if code in (None, 0):
        return None
    complaint = understand(code or 0, program.stderr)
    if complaint.told == "EFBIG" and limit is not None:
        return too_large(display(path), limit)
    return file_error(program.doing, complaint, display(path))
