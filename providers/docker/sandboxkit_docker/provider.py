"""The provider: sandboxes are containers of one Docker daemon."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Collection, Mapping

from sandboxkit import bookkeeping as books
from sandboxkit.connection import TryLater
from sandboxkit.errors import (
    DeadlineExceeded,
    InvalidSpec,
    ProviderError,
    SandboxError,
    SandboxNotFound,
    SandboxNotRunning,
)
from sandboxkit.launcher import NO_SCRIPT
from sandboxkit.model import Capability, Command, CreateRequest, Page, SandboxInfo, Status, TerminalSize
from sandboxkit.provider import ByteChannel, ProviderBase, TerminalChannel, World
from sandboxkit.terminals import launch_terminal
from sandboxkit.texts import is_utf8
from sandboxkit_docker import describe
from sandboxkit_docker import labels as marks
from sandboxkit_docker.channel import DockerChannel
from sandboxkit_docker.connection import DaemonConnection, take_connection
from sandboxkit_docker.containers import inspect, is_reference, remove
from sandboxkit_docker.creation import CLEANUP, Creation
from sandboxkit_docker.daemon import Answer, Daemon
from sandboxkit_docker.faults import failure
from sandboxkit_docker.options import ConnectOptions
from sandboxkit_docker.restarting import restart
from sandboxkit_docker.terminal import DockerTerminal, Raw, detach_keys

SETTLE = 5.0
"""Seconds that a cancelled create waits for its clean-up."""

KNOWN = 4096
"""Ids that are remembered to be sandboxkit's, so that a command need not ask."""

_LATER = "not built yet"

CAPABILITIES: Mapping[str, Capability] = {
    "lifecycle": Capability(True),
    "exec": Capability(True),
    "files": Capability(True),
    "tmux": Capability(True),
    "image": Capability(True),
    "command": Capability(True, "runs as a child of the keep-alive; its end ends the sandbox"),
    "user": Capability(True),
    "exec_user": Capability(True),
    "cpu": Capability(True),
    "memory": Capability(True),
    "pids": Capability(True, "512 unless DockerOptions(pids=...) says otherwise"),
    "ports": Capability(True, "published on the daemon's host at 127.0.0.1"),
    "network_on": Capability(True, "bridge; the default"),
    "network_off": Capability(True),
    "idempotency": Capability("until delete", "the daemon keeps container names unique"),
    "ttl": Capability("cooperative", "the sandbox's own PID 1 ends it; gc takes what was paused or tampered with"),
    "extend": Capability(False, "a container's deadline is fixed when it is created"),
    "kill_tree_strict": Capability(False, "a process that sheds its mark, group and session is out of reach"),
    "restart": Capability(True),
    "restart_keeps_files": Capability(True, "a tmpfs, which is memory, begins empty"),
    "stop_start": Capability(False, _LATER),
    "pause": Capability(False, _LATER),
    "snapshot": Capability(False, _LATER),
    "logs": Capability(False, _LATER),
    "stats": Capability(False, _LATER),
    "pty": Capability(True),
}  # fmt: skip


class DockerProvider(ProviderBase):
    """See :class:`sandboxkit.provider.SandboxProvider`. A sandbox's id is its container's."""

    name = describe.PROVIDER

    def __init__(self, world: World, options: ConnectOptions) -> None:
        super().__init__(world)
        self.daemon = Daemon(options)
        self._known: dict[str, None] = {}
        self._lock = threading.Lock()

    @property
    def capabilities(self) -> Mapping[str, Capability]:
        return CAPABILITIES

    async def create(self, request: CreateRequest, *, until: float | None) -> SandboxInfo:
        creation = Creation(self.daemon, request, until)
        # The clean-up of a failed attempt may go on a little beyond the deadline, and its error tells more.
        patience = None if until is None else until + CLEANUP + 1.0
        try:
            info = await self.world.call(creation.run, until=patience)
        except BaseException as exc:
            # In asyncio the clean-up goes on in its thread where this is not long enough.
            await self.world.protect(self._settle(creation), until=self.world.now() + SETTLE)
            if isinstance(exc, ProviderError) and creation.leftover:
                exc.leftover = request.key
            raise
        self._remember(info.id)
        return info

    async def _settle(self, creation: Creation) -> None:
        """Wait for the clean-up of a create whose caller goes away."""
        was = creation.abandon()
        if was == "made":
            await self.world.call(creation.clean, urgent=True)
        while was == "running" and not creation.done.is_set():
            await self.world.sleep(0.01)

    async def get(self, sandbox_id: str, *, until: float | None) -> SandboxInfo:
        return await self.world.call(self._get, sandbox_id, until, until=until)

    def _get(self, sandbox_id: str, until: float | None) -> SandboxInfo:
        found = inspect(self.daemon, sandbox_id, until=until) if is_reference(sandbox_id) else None
        if found is None or not marks.is_ours(found["Config"].get("Labels"), found.get("Name", "")):
            self._forget(sandbox_id)
            raise SandboxNotFound(f"no sandbox {sandbox_id!r} at {self.daemon.address}")
        info = describe.info_of_inspect(found)
        self._remember(info.id)
        return info

    async def list(
        self,
        *,
        labels: Mapping[str, str],
        statuses: Collection[Status],
        cursor: str | None,
        until: float | None,
    ) -> Page:
        return await self.world.call(self._list, labels, frozenset(statuses), until, until=until)

    def _list(self, labels: Mapping[str, str], statuses: frozenset[Status], until: float | None) -> Page:
        if not all(is_utf8(text) for pair in labels.items() for text in pair):
            raise InvalidSpec("labels are not UTF-8 text, and the daemon takes no other")
        # The daemon takes a label with "=" in its name for another one: those are compared here only.
        wanted = [books.OWNER, *(f"{name}={value}" for name, value in labels.items() if "=" not in name)]
        filters = {"label": wanted}
        if statuses:
            filters["status"] = [state for state, status in describe.STATES.items() if status in statuses]
        query = {"all": 1, "filters": json.dumps(filters)}
        answer = self.daemon.request("GET", "/containers/json", until=until, query=query)
        if answer.status != 200:
            raise failure(answer.status, answer.message, "listing the sandboxes")
        found = [
            describe.info_of_entry(entry)
            for entry in answer.body
            if marks.is_ours(entry.get("Labels"), (entry.get("Names") or [""])[0])
        ]
        return Page(
            items=tuple(
                info
                for info in found
                if all(info.labels.get(name) == value for name, value in labels.items())
                and (not statuses or info.status in statuses)
            )
        )

    async def delete(self, sandbox_id: str, *, until: float | None) -> bool:
        return await self.world.call(self._delete, sandbox_id, until, until=until)

    def _delete(self, sandbox_id: str, until: float | None) -> bool:
        if not self._is_known(sandbox_id):
            try:
                sandbox_id = self._get(sandbox_id, until).id
            except SandboxNotFound:
                return False
        removed = remove(self.daemon, sandbox_id, until=until)
        self._forget(sandbox_id)
        return removed

    async def restart(self, sandbox_id: str, *, until: float | None) -> SandboxInfo:
        # To its end, or the sandbox would be left stopped, or without the modes of its tmpfs.
        work = self.world.call(self._restart, sandbox_id, until, until=until)
        info = await self.world.protect(work, until=self.daemon.limited(until) + SETTLE)
        if info is None:
            raise DeadlineExceeded(f"sandbox {sandbox_id[:12]} did not restart within the operation's deadline")
        return info

    def _restart(self, sandbox_id: str, until: float | None) -> SandboxInfo:
        return restart(self.daemon, self._get(sandbox_id, until), until=until)

    async def open_channel(
        self,
        sandbox_id: str,
        argv: tuple[str, ...],
        *,
        user: str | None,
        urgent: bool,
        until: float | None,
    ) -> ByteChannel:
        connection, _ = await self.world.call(
            self._exec, sandbox_id, argv, user, False, until, until=until, undo=_close, urgent=urgent
        )
        return DockerChannel(self.world, connection, sandbox_id)

    async def start_terminal(
        self, sandbox_id: str, command: Command, size: TerminalSize, *, until: float | None
    ) -> TerminalChannel:
        async def opening(argv: tuple[str, ...]) -> DockerTerminal:
            connection, number = await self.world.call(
                self._exec, sandbox_id, argv, command.user, True, until, until=until, undo=_close_terminal
            )
            return DockerTerminal(self.world, connection, sandbox_id, Raw(), daemon=self.daemon, exec_id=number)

        return await launch_terminal(self, opening, sandbox_id, command, size, until=until)

    def _exec(
        self, sandbox_id: str, argv: tuple[str, ...], user: str | None, tty: bool, until: float | None
    ) -> tuple[DaemonConnection, str]:
        """Create and start an exec in one go (under asyncio a thread is changed to only once); give its id too."""
        if not self._is_known(sandbox_id):
            sandbox_id = self._get(sandbox_id, until).id
        until = self.daemon.limited(until)
        body = {
            "AttachStdin": True,
            "AttachStdout": True,
            "AttachStderr": True,
            "Cmd": list(argv),
            "User": user or "",
            "Tty": tty,
            "DetachKeys": detach_keys() if tty else "",
        }
        answer = self.daemon.request("POST", f"/containers/{sandbox_id}/exec", until=until, body=body)
        if answer.status != 201:
            raise self._refused(sandbox_id, answer, until)
        number = str(answer.body["Id"])
        path = f"/exec/{number}/start"
        response = self.daemon.send("POST", path, until=until, body={"Detach": False, "Tty": tty}, upgrade=True)
        if response.status == 101:
            return take_connection(response), number
        raise self._refused(sandbox_id, self.daemon.read(response, path, until), until)

    def _refused(self, sandbox_id: str, answer: Answer, until: float) -> SandboxError:
        if answer.status == 404:
            self._forget(sandbox_id)
            return SandboxNotFound(f"no sandbox {sandbox_id!r} at {self.daemon.address}")
        if answer.status in (409, 500):
            try:
                status = self._get(sandbox_id, until).status
            except (SandboxNotFound, DeadlineExceeded) as exc:
                return exc
            if status is not Status.RUNNING:
                return SandboxNotRunning(f"sandbox {sandbox_id[:12]} is {status}", status=status)
        return failure(answer.status, answer.message, "starting a command")

    async def close(self) -> None:
        self.daemon.close()

    # -- which ids are sandboxkit's -------------------------------------------------------------------------------

    def _is_known(self, sandbox_id: str) -> bool:
        return sandbox_id in self._known

    def _remember(self, sandbox_id: str) -> None:
        with self._lock:
            if len(self._known) >= KNOWN:
                del self._known[next(iter(self._known))]
            self._known[sandbox_id] = None

    def _forget(self, sandbox_id: str) -> None:
        with self._lock:
            self._known.pop(sandbox_id, None)


def _close(started: tuple[DaemonConnection, str]) -> None:
    started[0].close()


def _close_terminal(started: tuple[DaemonConnection, str]) -> None:
    with contextlib.suppress(OSError, TryLater):
        started[0].send(NO_SCRIPT)
    started[0].close()
