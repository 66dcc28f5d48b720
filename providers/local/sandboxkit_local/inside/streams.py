"""What a command's descriptors 0, 1 and 2 are: pipes, or a terminal."""

from __future__ import annotations

import fcntl
import os
import struct
import termios

TIOCGPTPEER = 0x5441
TIOCGPTN = 0x80045430
TIOCSPTLCK = 0x40045431
_IUTF8 = 0o40000

TYPE_CHECKING = False
if TYPE_CHECKING:
    Action = tuple[int, int, int] | tuple[int, int, bytes, int, int]


class Streams:
    """The ends of a command's streams.

    ``given`` are the client's, in order: stdout, stderr and stdin if that is open; of a terminal twice the side that
    its user sits at. ``kept`` are those of PID 1: what they give is drained once the client has gone. ``held`` are
    open for as long as the command runs. ``actions`` put the command's own ends in place.
    """

    def __init__(self) -> None:
        self.given: list[int] = []
        self.kept: list[int] = []
        self.held: list[int] = []
        self.actions: list[Action] = []
        self._opened: list[int] = []
        self._stderr = -1

    def complain(self, message: bytes) -> None:
        """Write what a shell would say, before any client reads: no more than a pipe or a terminal takes."""
        os.write(self._stderr, message[-2048:])

    def leave(self, fds: list[int]) -> list[int]:
        """Leave these to who will close them."""
        self._opened = [fd for fd in self._opened if fd not in fds]
        return fds

    def close(self) -> None:
        """Close everything that was not left to another."""
        for fd in self._opened:
            os.close(fd)
        self._opened = []

    def _pipe(self) -> tuple[int, int]:
        ends = os.pipe2(os.O_CLOEXEC)
        self._opened += ends
        return ends

    def open_pipes(self, *, stdin: bool) -> None:
        """Make pipes. Made here, they belong to the sandbox's user and /dev/stderr can be opened."""
        source, to_stdin = self._pipe() if stdin else (0, -1)
        from_stdout, stdout = self._pipe()
        from_stderr, self._stderr = self._pipe()
        self.kept = [from_stdout, from_stderr]
        self.given = [*self.kept, to_stdin] if stdin else list(self.kept)
        for fd in self.given:
            os.set_blocking(fd, False)
        self.actions = [
            (os.POSIX_SPAWN_DUP2, source, 0),
            (os.POSIX_SPAWN_DUP2, stdout, 1),
            (os.POSIX_SPAWN_DUP2, self._stderr, 2),
        ]

    def open_terminal(self, rows: int, columns: int) -> None:
        """Make a terminal of the sandbox's own.

        The user's side is nowhere but with the client, so that the kernel hangs up when that has gone. The other
        side is held while the command runs: a program may close it for a while. Not by ``openpty``: before 2.33
        glibc wants a group "tty", which a sandbox of one user has not.
        """
        user = os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC | os.O_NONBLOCK)
        self._opened.append(user)
        fcntl.ioctl(user, TIOCSPTLCK, struct.pack("i", 0))
        (number,) = struct.unpack("I", fcntl.ioctl(user, TIOCGPTN, bytes(4)))
        other = fcntl.ioctl(user, TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
        self._opened.append(other)
        fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))
        settings = termios.tcgetattr(other)
        settings[0] |= _IUTF8
        termios.tcsetattr(other, termios.TCSANOW, settings)
        self._stderr = other
        self.held = [other]
        self.given = [user, user]
        # A session's leader that opens a terminal has it as the controlling one; posix_spawn makes the session first.
        self.actions = [
            (os.POSIX_SPAWN_OPEN, 0, b"/dev/pts/%d" % number, os.O_RDWR, 0),
            (os.POSIX_SPAWN_DUP2, 0, 1),
            (os.POSIX_SPAWN_DUP2, 0, 2),
        ]
