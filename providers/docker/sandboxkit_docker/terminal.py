"""A running exec on a terminal: its bytes as they are, and its size."""

from __future__ import annotations

import secrets

import attrs

from sandboxkit.model import STDOUT, TerminalSize
from sandboxkit_docker.channel import DockerChannel
from sandboxkit_docker.daemon import Daemon
from sandboxkit_docker.faults import failure


def detach_keys() -> str:
    """Give keys that nobody types: with the usual ones (Ctrl-P Ctrl-Q, which cannot be left out) input would end.

    The daemon holds a beginning of them back until another byte comes, so they begin with one that is rarely typed.
    """
    return ",".join(["ctrl-^", *secrets.token_hex(16)])


class Raw:
    """The stream of an exec on a terminal, which the daemon does not cut into frames."""

    between_frames = True

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Give the bytes as output."""
        return [(STDOUT, data)]


@attrs.define(eq=False)
class DockerTerminal(DockerChannel):
    """See :class:`sandboxkit.provider.ByteTerminal`."""

    daemon: Daemon = attrs.field(kw_only=True)
    exec_id: str = attrs.field(kw_only=True)

    async def resize(self, size: TerminalSize, *, until: float | None = None) -> None:
        await self._world.call(self._resize, size, until, until=until)

    def _resize(self, size: TerminalSize, until: float | None) -> None:
        answer = self.daemon.request(
            "POST", f"/exec/{self.exec_id}/resize", until=until, query={"h": size.rows, "w": size.columns}
        )
        # Whose process has ended, and perhaps was forgotten, has no size; containerd's words come as a 500.
        ended = answer.status in (404, 409) or "not found" in answer.message or "not running" in answer.message
        if answer.status not in (200, 201) and not ended:
            raise failure(answer.status, answer.message, "giving the terminal another size")
