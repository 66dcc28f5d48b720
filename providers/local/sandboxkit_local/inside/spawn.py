"""Starting one command: its pipes, its mark, its directory, and a shell's answers where it cannot be started."""

from __future__ import annotations

import errno
import os
import resource
import stat

from sandboxkit_local.inside.killer import RLIMIT_LOCKS
from sandboxkit_local.wire import TEXT_FD

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sandboxkit_local.inside.streams import Action

NOT_FOUND = 127
NOT_EXECUTABLE = 126
_MISSING = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG)
_DENIED = (errno.EACCES, errno.EPERM, errno.ENOEXEC, errno.EISDIR, errno.ETXTBSY, errno.ELIBBAD, errno.EINVAL)
_ALL_SIGNALS = [n for n in range(1, 65) if n not in (9, 19, 32, 33)]


class Request:
    """A command to start: all of it as the kernel sees it; ``cwd`` may be empty for the sandbox's own."""

    def __init__(self, argv: list[bytes], env: dict[bytes, bytes], cwd: bytes, mark: int) -> None:
        self.argv = argv
        self.env = env
        self.cwd = cwd
        self.mark = mark


class Refused(Exception):
    """The command could not be started: ``failure`` is ``cwd``, ``arguments`` or ``other``."""

    def __init__(self, failure: bytes, code: int, message: str = "") -> None:
        super().__init__(failure, code)
        self.failure = failure
        self.code = code
        self.message = message or os.strerror(code)


class NotStarted(Exception):
    """There is no such program, or it may not run: what a shell would exit with and say."""

    def __init__(self, exit_code: int, message: bytes) -> None:
        super().__init__(exit_code)
        self.exit_code = exit_code
        self.message = message


class Spawner:
    """Starts commands with the surroundings of one sandbox."""

    def __init__(self, cwd: bytes, env: dict[bytes, bytes], open_files: int) -> None:
        self._cwd = cwd
        self._env = env
        self._locks = resource.getrlimit(RLIMIT_LOCKS)
        self._files = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._open_files = open_files

    def start(self, request: Request, streams: list[Action], text: int | None) -> int:
        """Start it and give its pid; raises :class:`Refused` or :class:`NotStarted` when nothing runs."""
        env = {**self._env, **request.env}
        try:
            os.chdir(self._cwd)
            if request.cwd:
                os.chdir(request.cwd)
        except OSError as exc:
            os.chdir("/")
            raise Refused(b"cwd", exc.errno or 0) from None
        actions = list(streams)
        if text is not None:
            actions.append((os.POSIX_SPAWN_DUP2, text, TEXT_FD))
        # The child is made with vfork: it has what is set here, and PID 1 has its own back before it goes on.
        resource.setrlimit(RLIMIT_LOCKS, (request.mark, self._locks[1]))
        resource.setrlimit(resource.RLIMIT_NOFILE, (self._open_files, self._files[1]))
        try:
            return self._find_and_spawn(request.argv, env, actions)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, self._files)
            resource.setrlimit(RLIMIT_LOCKS, self._locks)
            os.chdir("/")

    def _find_and_spawn(self, argv: list[bytes], env: dict[bytes, bytes], actions: list[Action]) -> int:
        name = argv[0]
        denied = False
        for path in _candidates(name, env):
            try:
                return _spawn(path, argv, env, actions)
            except OSError as exc:
                code = exc.errno or 0
            if code == errno.ENOEXEC and not _is_binary(path):
                try:
                    return _spawn(b"/bin/sh", [b"/bin/sh", path, *argv[1:]], env, actions)
                except OSError as exc:
                    code = exc.errno or 0
            if code == errno.E2BIG:
                raise Refused(b"arguments", code)
            if code not in _MISSING and code not in _DENIED:
                reason = "no room for another process" if code == errno.EAGAIN else ""
                raise Refused(b"other", code, reason)
            denied = denied or code in _DENIED
        if denied:
            raise NotStarted(NOT_EXECUTABLE, name + b": Permission denied\n")
        raise NotStarted(NOT_FOUND, name + b": not found\n")


def _spawn(path: bytes, argv: list[bytes], env: dict[bytes, bytes], actions: list[Action]) -> int:
    return os.posix_spawn(path, argv, env, file_actions=actions, setsid=True, setsigmask=(), setsigdef=_ALL_SIGNALS)


def _candidates(name: bytes, env: dict[bytes, bytes]) -> list[bytes]:
    """Give the paths under which the program may lie, by the command's own PATH, as execvp does."""
    if b"/" in name:
        return [name]
    if not name:
        return []
    found = []
    for directory in env.get(b"PATH", b"/usr/bin:/bin").split(b":"):
        path = directory + b"/" + name if directory else b"./" + name
        try:
            mode = os.stat(path).st_mode
        except OSError:
            continue
        if not stat.S_ISDIR(mode):
            found.append(path)
    return found


def _is_binary(path: bytes) -> bool:
    """Whether a file without a known format is no script, by a shell's measure: a NUL in its first line."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return True  # not even readable: a shell could not run it either
    try:
        return b"\0" in os.read(fd, 256).split(b"\n", 1)[0]
    except OSError:
        return True
    finally:
        os.close(fd)
