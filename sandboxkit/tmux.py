"""The tmux sessions of a sandbox: starting, finding, listing them (asyncio; blocking in :mod:`sandboxkit.sync`)."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import attrs

from sandboxkit.commands import DEFAULT_SHELL, CommandLike, Word, make_command
from sandboxkit.errors import (
    ArgumentsTooLong,
    InvalidRequest,
    SessionError,
    SessionExists,
    TmuxUnavailable,
    WorkingDirectoryError,
)
from sandboxkit.fileerrors import understand
from sandboxkit.keys import session_name
from sandboxkit.launcher import Ticket, execution, is_long, quote
from sandboxkit.model import DEFAULT_LOG_LIMIT, MAX_COUNT, Command, TmuxInfo
from sandboxkit.programs import CLEANUP_LIMIT, Program, run_program, start_program, try_program
from sandboxkit.session import AsyncSession, session_error
from sandboxkit.sessionlog import parse_list
from sandboxkit.tmuxprograms import DISCARD, KILL, LIST, START

if TYPE_CHECKING:
    from sandboxkit.client import AsyncClient
    from sandboxkit.provider import SandboxProvider

LEAST_LOG = 4096
"""Bytes that a session's log must be allowed to hold."""


@attrs.define(eq=False)
class AsyncTmux:
    """The tmux sessions of one sandbox (capability ``tmux``, T1-T6).

    Each has a tmux server of its own, so nothing that happens to one touches another. Where the sandbox has no tmux,
    a detached runner keeps the same promises but for what needs a terminal: ``send_keys``, ``capture`` and attaching
    are ``TmuxUnavailable``, its command's stdin is at its end, and its output does not pass through a terminal.

    A session belongs to the user who starts it, the sandbox's own by default; others find and list it only by asking
    for ``user`` (capability ``exec_user``).
    """

    _client: AsyncClient = attrs.field(repr=False)
    sandbox_id: str

    async def start(
        self,
        command: CommandLike,
        *,
        name: str | None = None,
        cwd: Word | None = None,
        env: Mapping[str, str] | None = None,
        user: str | None = None,
        shell: Sequence[Word] = DEFAULT_SHELL,
        echo: bool = True,
        log_limit: int = DEFAULT_LOG_LIMIT,
    ) -> AsyncSession:
        """Start a command in a session and return at once (T1).

        The command, ``cwd``, ``env``, ``user`` and ``shell`` are as for
        :meth:`~sandboxkit.sandbox.AsyncSandbox.exec`. ``name`` (1 to 64 letters, digits, ``_`` and ``-``) is made up
        if it is ``None``. It is taken until the session is killed, also when its command has ended: then this is
        ``SessionExists``, and nothing ran.

        Its terminal has 200 columns and 50 rows. With ``echo=False`` it neither echoes input nor changes output, so
        that the log is byte for byte what the command wrote. The log keeps the newest ``log_limit`` bytes, and at
        least half as many.

        Raises ``InvalidCommand``, ``ArgumentsTooLong`` or ``InvalidRequest`` before anything is sent,
        ``SessionExists``, ``WorkingDirectoryError``, ``TmuxUnavailable`` (there is a tmux and it does not work),
        ``SessionError`` (no directory can be written), ``SandboxNotFound``, ``SandboxNotRunning``, ``ProviderError``.
        Interrupted, it leaves no session.
        """
        checked = make_command(command, cwd=cwd, env=env, user=user, shell=shell)
        session = self._session(session_name(name), user)
        half = _check_log_limit(log_limit) // 2
        ticket, own = Ticket(), secrets.token_hex(8).encode()
        text = (checked.text or b"") if is_long(checked) else b""
        script = _command_script(checked)
        # The lower half of the mark: the upper one is the provider's.
        number = 2 * (2**20 + secrets.randbits(30))
        words = (ticket.token, number, half, b"echo" if echo else b"quiet", len(script), len(text))
        head = b"%b %d %d %b %d %d\n" % words
        directory = b"" if checked.cwd is None else _directory(checked.cwd)
        try:
            await self._start(session, head + script + text, own, directory)
        except (SessionError, WorkingDirectoryError):
            raise
        except BaseException:
            world = self._client.provider.world
            await world.protect(self._abandon(session, own), until=world.now() + 2 * CLEANUP_LIMIT)
            raise
        return session

    async def get(self, name: str, *, user: str | None = None) -> AsyncSession:
        """Find a session by its name, whoever started it and from whatever process; ``SessionNotFound``."""
        session = self._session(session_name(name), user)
        if name not in [info.name for info in await self.list(user=user)]:
            raise _missing(session)
        return session

    async def list(self, *, user: str | None = None) -> Sequence[TmuxInfo]:
        """Give every session of the user's that was not killed, sorted by name."""
        self._require(user)
        parts: list[bytes] = []
        provider = self._client.provider
        program = await run_program(
            provider, self.sandbox_id, "list sessions", LIST, (), sink=parts.append, user=user
        )
        if program.exit_code:
            raise session_error(program, "")
        return sorted(parse_list(b"".join(parts)), key=lambda info: info.name)

    def _require(self, user: str | None) -> None:
        self._client.require("tmux")
        if user is not None:
            self._client.require("exec_user")

    def _session(self, name: str, user: str | None) -> AsyncSession:
        self._require(user)
        return AsyncSession(self._client, self.sandbox_id, name, user)

    async def _start(self, session: AsyncSession, data: bytes, own: bytes, directory: bytes) -> None:
        args = (session.name.encode(), own, directory)
        program = await start_program(
            self._client.provider, self.sandbox_id, "start a session", START, args, stdin="raw", user=session.user
        )
        try:
            await program.send(data)
            await program.finish()
        finally:
            await program.close()
        if program.exit_code:
            raise _start_error(program, session)

    async def _abandon(self, session: AsyncSession, own: bytes) -> None:
        provider: SandboxProvider = self._client.provider
        for program, args in ((KILL, (session.name.encode(), own, b"1")), (DISCARD, (own,))):
            await try_program(provider, self.sandbox_id, program, args, user=session.user, limit=CLEANUP_LIMIT)


def _command_script(command: Command) -> bytes:
    """Write what the runner's subshell reads and becomes; nothing of it stays on the disk."""
    lines = b'rm -f "$__n/command" "$__n/text"\n'
    for name, value in command.env.items():
        lines += b"export %b=%b\n" % (name.encode(), quote(value))
    return lines + execution(command) + b"\n"


def _directory(cwd: bytes) -> bytes:
    if len(cwd) > 4096:
        raise ArgumentsTooLong(f"a working directory of {len(cwd)} bytes; Linux takes 4,095")
    return cwd if cwd.startswith(b"/") else b"./" + cwd


def _check_log_limit(limit: int) -> int:
    if isinstance(limit, bool) or not isinstance(limit, int) or not LEAST_LOG <= limit <= MAX_COUNT:
        raise InvalidRequest(f"log_limit must be a number of bytes, {LEAST_LOG} to 2**63 - 1, not {limit!r}")
    return limit


def _missing(session: AsyncSession) -> SessionError:
    from sandboxkit.errors import SessionNotFound

    return SessionNotFound(f"there is no session {session.name!r} in sandbox {session.sandbox_id}")


def _start_error(program: Program, session: AsyncSession) -> Exception:
    told = understand(program.exit_code or 0, program.stderr).told
    where = f"in sandbox {program.sandbox_id}"
    if told == "EXISTS":
        return SessionExists(
            f"there is a session {session.name!r} {where} already, or one that has ended and was not killed"
        )
    if told.startswith("CWD"):
        words = {"CWD2": "does not exist", "CWD20": "is not a directory"}.get(told, "may not be entered")
        return WorkingDirectoryError(
            f"the session's working directory {words}; nothing ran", errno=int(told.removeprefix("CWD"))
        )
    if told == "NOWHERE":
        return SessionError(
            f"no directory {where} can be written for the session's state: TMPDIR, /tmp, /var/tmp, /dev/shm, /run, "
            "the home and the working directory were tried"
        )
    if told == "NOSTART":
        lines = program.stderr.decode("utf-8", "replace").splitlines()[:-1]
        return TmuxUnavailable(f"tmux {where} does not work: {' '.join(lines)[-300:] or 'it said nothing'}")
    return session_error(program, session.name)
