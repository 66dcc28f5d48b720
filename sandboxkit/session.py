"""One tmux session, as its user sees it (asyncio; the blocking face is derived in :mod:`sandboxkit.sync`)."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING

import attrs

from sandboxkit.commands import check_data, check_wait
from sandboxkit.errors import InvalidRequest, SessionEnded, SessionError, SessionNotFound, TmuxUnavailable
from sandboxkit.fileerrors import file_error, understand
from sandboxkit.keys import key_names
from sandboxkit.model import MAX_COUNT, TerminalSize, TmuxPoll, TmuxStatus
from sandboxkit.opening import Opening
from sandboxkit.process import AsyncProcess
from sandboxkit.programs import PATIENCE, Program, run_program, start_program
from sandboxkit.sessionlog import judge, parse_answer
from sandboxkit.tmuxprograms import CAPTURE, HISTORY, KILL, POLL, SEND, SOCKET

if TYPE_CHECKING:
    from sandboxkit.client import AsyncClient
    from sandboxkit.provider import SandboxProvider

_SIZE = TerminalSize()

SLICE = 20.0
"""Seconds that one look waits in the sandbox for a session's end."""

END_LIMIT = 5.0
"""Seconds that a command that was killed has to be reported as ended."""


@attrs.define(eq=False)
class AsyncSession:
    """A command in a tmux session of its own, or in the detached runner where the sandbox has no tmux (T1-T6).

    It is known by its name, to every client, from its start until it is killed, also when its command has ended. It
    belongs to the user who started it.
    """

    _client: AsyncClient = attrs.field(repr=False)
    sandbox_id: str
    name: str
    user: str | None = None
    """The user whose session it is; ``None`` for the sandbox's own."""

    @property
    def _provider(self) -> SandboxProvider:
        return self._client.provider

    async def poll(self, offset: int = 0) -> TmuxPoll:
        """Look once how it is, and give what its command wrote from ``offset`` (bytes) on: one round trip.

        With ``completed`` the output is complete. A name that is unknown is ``not_found``, and no error.
        """
        return await self._look(_offset(offset), 0.0, last=True)

    async def wait(self, timeout: float | None = None, *, offset: int = 0, kill: bool = False) -> TmuxPoll:
        """Wait until it has completed, and give what :meth:`poll` gives.

        At ``timeout`` (seconds; with 0 it only looks) it returns as ``running``, with the output so far, and runs on.
        With ``kill`` its command is ended then (exit code 137), and it stays known as any that has completed.
        """
        world = self._provider.world
        limit = check_wait(timeout)
        until = None if limit is None else world.now() + limit
        offset = _offset(offset)
        while True:
            left = SLICE if until is None else min(SLICE, max(0.0, until - world.now()))
            last = until is not None and world.now() + left >= until
            found = await self._look(offset, left, last=last)
            if found.status is not TmuxStatus.RUNNING:
                return found
            if last:
                break
        if not kill:
            return found
        await self._run("end a session's command", KILL, b"", b"")
        return await self._look(offset, END_LIMIT, last=True)

    async def kill(self) -> None:
        """End its whole tree and forget it, its log too; nothing happens if it is unknown.

        ``SessionError`` if something of it could not be ended: then it is not forgotten.
        """
        try:
            await self._run("kill a session", KILL, b"", b"1")
        except SessionNotFound:
            return

    async def send_keys(self, text: str | bytes = "", *, keys: str | Sequence[str] = ()) -> None:
        """Type ``text``, byte for byte (a newline is the byte, ``keys="Enter"`` the key), then the named ``keys``.

        Text may be of any length; what its program does not read in time the terminal may drop, as it does with what
        a person types. Keys are named as in tmux: ``"Enter"``, ``"C-c"``, ``"Up"``, ``"F1"``. Raises
        ``SessionNotFound``, ``SessionEnded`` or ``TmuxUnavailable``.
        """
        data = check_data(text, "text")
        args = (secrets.token_hex(8).encode(), b"%d" % len(data), *key_names(keys))
        await self._run("type into a session", SEND, *args, data=data)

    async def capture(self, *, history: int = 0, escapes: bool = False) -> str:
        """Give the screen as a person sees it, line by line, with up to ``history`` lines from above it.

        With ``escapes`` colours and the like stay in it as escape sequences. Raises ``SessionNotFound``,
        ``SessionEnded`` or ``TmuxUnavailable``.
        """
        if isinstance(history, bool) or not isinstance(history, int) or history < 0:
            raise InvalidRequest(f"history must be a number of lines, not {history!r}")
        if not isinstance(escapes, bool):
            raise InvalidRequest(f"escapes is True or False, not {escapes!r}")
        options = (b"-e",) * escapes + ((b"-S", b"-%d" % min(history, HISTORY)) if history else ())
        printed = await self._run("capture a session", CAPTURE, *options)
        return printed.decode("utf-8", "replace")

    def attach(self, terminal: TerminalSize | tuple[int, int] = _SIZE) -> Opening[AsyncProcess]:
        """Be at its terminal (capability ``pty``): await or enter a process as from ``spawn(terminal=…)``.

        What is written is typed, the output is the screen; Ctrl-b d, or leaving the block, detaches, and the session
        runs on. When its command ends, the process ends too, with 0 and having shown the last of the screen; attached
        after the end, it shows the screen and ends. Raises ``SessionNotFound``, ``SessionEnded`` if the terminal is
        gone, or ``TmuxUnavailable``.
        """
        self._client.require("pty")
        return Opening(self._attach(terminal))

    async def _attach(self, terminal: TerminalSize | tuple[int, int]) -> AsyncProcess:
        from sandboxkit.sandbox import AsyncSandbox

        command = await self.attach_command()
        box = AsyncSandbox(self._client, self.sandbox_id, owned=False)
        return await box.spawn(command, terminal=terminal, user=self.user)

    async def attach_command(self) -> list[str]:
        """Give the command that, run on a terminal in the sandbox as the session's user, attaches to it.

        Raises ``SessionNotFound``, ``SessionEnded`` or ``TmuxUnavailable``.
        """
        socket = await self._run("attach to a session", SOCKET)
        return ["tmux", "-u", "-S", socket.decode(), "attach-session", "-t", self.name]

    async def _look(self, offset: int, seconds: float, *, last: bool) -> TmuxPoll:
        args = (b"%d" % offset, b"%d" % round(seconds * 100), b"1" if last else b"")
        try:
            printed = await self._run("poll a session", POLL, *args, limit=seconds + PATIENCE)
        except SessionNotFound:
            return TmuxPoll(status=TmuxStatus.NOT_FOUND)
        try:
            answer = parse_answer(printed)
        except ValueError as exc:
            raise SessionError(
                f"session {self.name!r}: the sandbox's tools answer in an unknown form ({exc})"
            ) from None
        return judge(answer, offset)

    async def _run(
        self, doing: str, text: str, *args: bytes, data: bytes = b"", limit: float | None = PATIENCE
    ) -> bytes:
        """Run a session program to its end and give what it printed."""
        parts: list[bytes] = []
        everything = (self.name.encode(), *args)
        if data:
            program = await start_program(
                self._provider, self.sandbox_id, doing, text, everything, stdin="raw", user=self.user
            )
            try:
                await program.send(data, parts.append)
                await program.finish(parts.append)
            finally:
                await program.close()
        else:
            program = await run_program(
                self._provider,
                self.sandbox_id,
                doing,
                text,
                everything,
                sink=parts.append,
                user=self.user,
                limit=limit,
            )
        if program.exit_code:
            raise session_error(program, self.name)
        return b"".join(parts)


def session_error(program: Program, name: str) -> Exception:
    """Give the error of a session program that has failed."""
    complaint = understand(program.exit_code or 0, program.stderr)
    where = f"in sandbox {program.sandbox_id}"
    match complaint.told:
        case "MISSING":
            return SessionNotFound(f"there is no session {name!r} {where}")
        case "ENDED":
            return SessionEnded(f"session {name!r} {where} has ended, or its terminal is gone")
        case "NOTMUX":
            return TmuxUnavailable(
                f"session {name!r} has no terminal: there was no tmux {where} when it was started; install it in the "
                "image for send_keys, capture and attach"
            )
        case "ALIVE":
            return SessionError(f"session {name!r} {where}: some of its processes could not be ended")
    return file_error(program.doing, complaint, name)


def _offset(offset: int) -> int:
    if isinstance(offset, bool) or not isinstance(offset, int) or offset < 0:
        raise InvalidRequest(f"offset must be a number of bytes, not {offset!r}")
    if offset > MAX_COUNT:
        raise InvalidRequest("offset must be at most 2**63 - 1 bytes; a poll gives the one to go on from")
    return offset
