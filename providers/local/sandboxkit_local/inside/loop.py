"""The loop that PID 1 waits in: descriptors, and what is called when one can be read."""

from __future__ import annotations

import select

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class Loop:
    """An epoll with a handler for each descriptor. asyncio would cost every sandbox 30 ms of imports."""

    def __init__(self) -> None:
        self._poll = select.epoll()
        self._handlers: dict[int, Callable[[], None]] = {}

    def __contains__(self, fd: int) -> bool:
        return fd in self._handlers

    def watch(self, fd: int, handler: Callable[[], None]) -> None:
        """Call ``handler`` whenever there is something to read, or an end."""
        self._handlers[fd] = handler
        self._poll.register(fd, select.EPOLLIN)

    def unwatch(self, fd: int) -> None:
        """Forget a descriptor; to be called before it is closed."""
        if self._handlers.pop(fd, None) is not None:
            self._poll.unregister(fd)

    def turn(self, patience: float) -> None:
        """Wait for at most that many seconds, and call what is due."""
        for fd, _ in self._poll.poll(patience):
            # One that was called before may have let go of this one.
            handler = self._handlers.get(fd)
            if handler is not None:
                handler()
