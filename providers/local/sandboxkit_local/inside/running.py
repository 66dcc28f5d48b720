"""A command that PID 1 started, and what of it is still to be told."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sandboxkit_local.inside.clients import Connection


class Running:
    """A command: its process, and PID 1's own ends of its streams.

    Those of its output pipes keep its children from EPIPE; those of its terminal are ``held`` until it has ended.
    """

    def __init__(self, mark: int, pid: int, outputs: list[int], held: list[int]) -> None:
        self.mark = mark
        self.pid = pid
        self.outputs = outputs
        self.held = held
        self.deadline: float | None = None
        self.exit_code: int | None = None
        self.timed_out = False
        self.killed: bool | None = None
        self.told = False
        self.connection: Connection | None = None

    @property
    def over(self) -> bool:
        """Whether its end can be told: for a timeout that is when the kill is over, whatever came of it."""
        return self.killed is not None if self.timed_out else self.exit_code is not None

    def end(self, exit_code: int) -> None:
        """Note that its own process has ended."""
        self.exit_code = exit_code
        for fd in self.held:
            os.close(fd)
        self.held = []

    def session(self) -> int:
        """Its session; 0 once that may be another's, because its number was given out again."""
        if self.exit_code is None:
            return self.pid
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return self.pid
        except OSError:
            return 0
        return 0
