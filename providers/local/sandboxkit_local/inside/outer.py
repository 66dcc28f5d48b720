"""Building a sandbox: the process that the client starts, and the two that it starts.

The first stays outside, with the host's view: it makes the state directory and the claim, maps the ids, and undoes
everything when a step fails or when its client is gone before it has said that it has the sandbox. The second
enters the namespaces and starts the third, which builds the root, drops every privilege and becomes PID 1.
"""

from __future__ import annotations

import _socket
import fcntl
import os
import select

from sandboxkit_local import locks
from sandboxkit_local.inside import root
from sandboxkit_local.inside.ids import choose_ids
from sandboxkit_local.inside.inner import Inner
from sandboxkit_local.inside.plan import Plan, StepFailed, step_failed
from sandboxkit_local.inside.tree import end_marked
from sandboxkit_local.inside.zygote import DEADLINE_SIZE
from sandboxkit_local.removal import remove_tree
from sandboxkit_local.wire import frame, unpack

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from typing import NoReturn
else:
    import _signal as signal

END_LIMIT = 10
"""Seconds in which a sandbox's processes must have ended after SIGKILL."""

ACKNOWLEDGE_LIMIT = 60.0
"""Seconds in which the client must take the sandbox that was made for it."""


def main() -> NoReturn:
    """Build the sandbox that the plan on stdin describes; stdout tells what became of it."""
    code = 1
    try:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL if number != signal.SIGPIPE else signal.SIG_IGN)
        _close_inherited()
        os.umask(0o022)
        plan = Plan.decode(_read_plan())
        code = Outer(plan).work()
    except StepFailed as exc:
        tell(b"failed", exc.step, exc.code, exc.message)
    except OSError as exc:
        tell(b"failed", f"state directory ({os.fsdecode(exc.filename or b'')})", exc.errno or 0, exc.strerror or "")
    except Exception as exc:  # noqa: BLE001 - whatever it is, the client must hear of it
        tell(b"failed", "building process", 0, f"{type(exc).__name__}: {exc}")
    finally:
        os._exit(code)


def _close_inherited() -> None:
    """Close what the client's process let through: a sandbox must not keep its files open."""
    for fd in map(int, os.listdir("/proc/self/fd")):
        if fd > 2:
            try:
                os.close(fd)
            except OSError:
                continue  # the listing's own


def tell(word: bytes, *details: str | int | bytes) -> None:
    """Say something to the client."""
    items = [d if isinstance(d, bytes) else str(d).encode("utf-8", "replace") for d in details]
    try:
        os.write(1, frame(word, *items))
    except OSError:
        pass  # it is gone; that is noticed where it is waited for


def _read_plan() -> bytes:
    # Its length first: stdin stays open, its end is how the client's death is noticed.
    size = int.from_bytes(_read_exactly(4), "little")
    return _read_exactly(size)


def _read_exactly(size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = os.read(0, min(1 << 16, size - len(data)))
        if not piece:
            raise StepFailed("reading the plan", 0, "the client is gone")
        data += piece
    return data


class Outer:
    """The first process. What it has made is undone by :meth:`undo`."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.name = os.fsdecode(plan.id)
        self.pidfd = -1
        self.pid = 0
        self.made = ""
        self.claimed = False

    def work(self) -> int:
        os.chdir(self.plan.state)
        try:
            if not (self.prepare_again() if self.plan.again else self.prepare()):
                return 0
            self.start()
            tell(b"ready")
            # One that was there before its client came stays when that goes.
            if self.plan.again or self.acknowledged():
                return 0
        except BaseException:
            self.undo()
            raise
        self.undo()
        return 1

    # -- the state directory --------------------------------------------------------------------------------------

    def prepare(self) -> bool:
        """Make the state directory and claim the key; ``False`` when another sandbox has it."""
        plan = self.plan
        new = self.name + ".new"
        os.mkdir(new, 0o711)
        self.made = new
        _write(f"{new}/meta.json", plan.meta, 0o600)
        # For a restart. It holds environment values: nobody else may read it, nor does the sandbox see it.
        _write(f"{new}/plan", plan.encode(), 0o600)
        self.lock_fd = os.open(f"{new}/lock", os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        locks.hold(self.lock_fd, locks.CREATING)
        self.ids = choose_ids(self.name)
        for name in root.OWN:
            os.mkdir(f"{new}/{name}", 0o755 if name != "home" else 0o700)
            if self.ids[0] != os.getuid() and plan.isolated:
                os.chown(f"{new}/{name}", self.ids[0], self.ids[0])
        self.listen(new)
        return self.claim(new)

    def listen(self, directory: str) -> None:
        self.listener = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
        mask = os.umask(0o177)
        # A short relative name: a socket's path has at most 107 bytes.
        self.listener.bind(f"{directory}/sock")
        os.umask(mask)
        self.listener.listen(1024)
        self.listener.setblocking(False)

    def prepare_again(self) -> bool:
        """Lock the sandbox that is there and end what runs in it; ``False`` if someone else builds or removes it."""
        try:
            self.lock_fd = os.open(f"{self.name}/lock", os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            locks.hold(self.lock_fd, locks.CREATING)
            # A delete may have taken it away between the two: what it holds then is not this sandbox's any more.
            gone = not os.path.samestat(os.fstat(self.lock_fd), os.stat(f"{self.name}/lock"))
        except BlockingIOError:
            tell(b"busy")
            return False
        except FileNotFoundError:
            gone = True
        if gone:
            tell(b"gone")
            return False
        self.end_first()
        os.ftruncate(self.lock_fd, DEADLINE_SIZE)
        self.ids = choose_ids(self.name)
        os.unlink(f"{self.name}/sock")
        self.listen(self.name)
        return True

    def end_first(self) -> None:
        """End the PID 1 that runs, and with it everything in the sandbox."""
        pid = locks.holder_of(self.lock_fd, locks.ALIVE)
        if pid is not None and pid <= 0:
            raise StepFailed("PID 1", 0, "it cannot be seen from here; restart it where it was made")
        if pid is not None:
            try:
                pidfd = os.pidfd_open(pid)
                # Still the same one? A pid is given out again, the lock is not.
                if locks.holder_of(self.lock_fd, locks.ALIVE) == pid:
                    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
                    select.select([pidfd], [], [], END_LIMIT)
                os.close(pidfd)
            except ProcessLookupError:
                pass
            if locks.holder_of(self.lock_fd, locks.ALIVE) is not None:
                raise StepFailed("PID 1", 0, "it does not end")
        if not self.plan.isolated and not end_marked(self.name, END_LIMIT):
            raise StepFailed("PID 1", 0, "some of the sandbox's processes do not end")

    def claim(self, new: str) -> bool:
        fd = os.open("claims.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.lockf(fd, fcntl.LOCK_EX)
            link = b"claims/" + self.plan.claim
            try:
                other = os.fsdecode(os.readlink(link))
            except FileNotFoundError:
                other = ""
            if other:
                lock = f"{other}/lock"
                if any(locks.holder(lock, byte) is not None for byte in (locks.CREATING, locks.ALIVE)):
                    remove_tree(new)
                    self.made = ""
                    tell(b"taken", other)
                    return False
                os.unlink(link)  # its sandbox, or the creator of that, is no more
            os.rename(new, self.name)
            self.made = self.name
            os.symlink(self.name, link)
            self.claimed = True
            return True
        finally:
            os.close(fd)

    # -- the sandbox ----------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the two others, map their ids, and wait until PID 1 is ready."""
        os.chdir(self.name)
        told, telling = os.pipe2(os.O_CLOEXEC)
        mapped, mapping = os.pipe2(os.O_CLOEXEC)
        child = os.fork()
        if child == 0:
            os.close(told)
            os.close(mapping)
            Inner(self, telling, mapped).work()
        os.close(telling)
        os.close(mapped)
        try:
            while True:
                words = _hear(told)
                if words[0] == b"unshared":
                    self.map_ids(child)
                    os.write(mapping, b"m")
                elif words[0] == b"pid":
                    self.pid = int(words[1])
                    self.pidfd = os.pidfd_open(self.pid)
                elif words[0] == b"ready":
                    return
                else:
                    raise StepFailed(os.fsdecode(words[1]), int(words[2]), os.fsdecode(words[3]))
        finally:
            os.close(told)
            os.close(mapping)
            os.waitpid(child, 0)
            os.chdir(self.plan.state)

    def map_ids(self, pid: int) -> None:
        """Map root of the sandbox to an id that owns nothing on the host, or to the ordinary user himself."""
        first, count = self.ids
        try:
            if os.geteuid() != 0:
                _write(f"/proc/{pid}/setgroups", b"deny")
            _write(f"/proc/{pid}/uid_map", b"0 %d %d" % (first, count))
            group = first if os.geteuid() == 0 else os.getegid()
            _write(f"/proc/{pid}/gid_map", b"0 %d %d" % (group, count))
        except OSError as exc:
            raise step_failed("mapping ids", exc) from None

    # -- its end --------------------------------------------------------------------------------------------------

    def acknowledged(self) -> bool:
        """Whether the client took the sandbox; its death closes the pipe."""
        poll = select.poll()
        poll.register(0, select.POLLIN)
        return bool(poll.poll(ACKNOWLEDGE_LIMIT * 1000)) and os.read(0, 1) == b"+"

    def undo(self) -> None:
        """Remove everything that this process made."""
        os.chdir(self.plan.state)
        if self.pidfd >= 0:
            try:
                signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
            except ProcessLookupError:
                pass
            select.select([self.pidfd], [], [], 10)
        if not self.plan.isolated:
            end_marked(self.name, 10)
        if self.made == self.name:
            # Out of sight before the key is free: another's sandbox with it must be the only one that is listed.
            trash = f"trash/{self.name}.{self.pid}"
            os.rename(self.made, trash)
            self.made = trash
        if self.claimed:
            try:
                if os.readlink(b"claims/" + self.plan.claim) == self.plan.id:
                    os.unlink(b"claims/" + self.plan.claim)
            except OSError:
                pass
        if self.made:
            remove_tree(self.made)


def _hear(fd: int) -> list[bytes]:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    poll.register(0, select.POLLIN)  # the client says nothing now: this is its end
    if all(found != fd for found, _ in poll.poll()):
        raise StepFailed("waiting for PID 1", 0, "the client is gone")
    header = os.read(fd, 4)
    if len(header) < 4:
        raise StepFailed("PID 1", 0, "it ended while it was being made")
    return unpack(os.read(fd, int.from_bytes(header, "little")))


def _write(path: str, data: bytes, mode: int = 0o644) -> None:
    # /proc's maps take one write, and no O_TRUNC.
    flags = os.O_WRONLY | os.O_CLOEXEC | (0 if path.startswith("/proc/") else os.O_CREAT | os.O_EXCL)
    fd = os.open(path, flags, mode)
    try:
        while data:
            data = data[os.write(fd, data) :]
    finally:
        os.close(fd)
