"""The two processes inside: one enters the namespaces, the other builds the root there and becomes PID 1."""

from __future__ import annotations

import _socket
import fcntl
import os
import resource
import sys

from sandboxkit_local import locks
from sandboxkit_local.inside import root, seccomp, syscalls
from sandboxkit_local.inside.plan import StepFailed, step_failed
from sandboxkit_local.inside.spawn import NotStarted, Refused, Spawner
from sandboxkit_local.inside.tree import end_marked
from sandboxkit_local.inside.zygote import DEADLINE_SIZE, Zygote, raise_open_files
from sandboxkit_local.marks import mark_of
from sandboxkit_local.wire import pack

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from sandboxkit_local.inside.outer import Outer

_NAMESPACES = (
    syscalls.CLONE_NEWUSER
    | syscalls.CLONE_NEWNS
    | syscalls.CLONE_NEWPID
    | syscalls.CLONE_NEWIPC
    | syscalls.CLONE_NEWUTS
    | syscalls.CLONE_NEWCGROUP
)


class Inner:
    """The second process, and from its fork on the third."""

    def __init__(self, outer: Outer, telling: int, mapped: int) -> None:
        self.outer = outer
        self.plan = outer.plan
        self.telling = telling
        self.mapped = mapped

    def work(self) -> NoReturn:
        try:
            self.enter()
        except StepFailed as exc:
            self.tell(b"failed", exc.step.encode(), b"%d" % exc.code, exc.message.encode())
        except BaseException as exc:  # noqa: BLE001 - this side of a fork must not run the other's code
            self.last_words(f"{type(exc).__name__}: {exc}")
            self.tell(b"failed", b"PID 1", b"0", f"{type(exc).__name__}: {exc}".encode())
        finally:
            os._exit(1)

    def tell(self, *items: bytes) -> None:
        body = pack(items)
        os.write(self.telling, len(body).to_bytes(4, "little") + body)

    def last_words(self, text: str) -> None:
        """Leave a note of what went wrong where the state directory's readers find it."""
        try:
            os.pwrite(self.outer.lock_fd, text.replace("\n", " ").encode()[:500] + b"\n", DEADLINE_SIZE)
        except OSError:
            pass

    def enter(self) -> None:
        if self.plan.isolated:
            flags = _NAMESPACES if self.plan.network else _NAMESPACES | syscalls.CLONE_NEWNET
            try:
                syscalls.unshare(flags)
            except OSError as exc:
                raise step_failed("unshare", exc) from None
            self.tell(b"unshared")
            if os.read(self.mapped, 1) != b"m":
                os._exit(1)
            self.become_root_of_namespace()
        pid = os.fork()
        if pid:
            self.tell(b"pid", b"%d" % pid)
            os._exit(0)
        self.first()

    def become_root_of_namespace(self) -> None:
        try:
            if self.outer.ids[1] > 1:
                os.setgroups([])
            os.setresgid(0, 0, 0)
            os.setresuid(0, 0, 0)
        except OSError as exc:
            raise step_failed("setresuid", exc) from None

    # -- PID 1 ----------------------------------------------------------------------------------------------------

    def first(self) -> None:
        """Become PID 1: from here on there is no way back, and no import."""
        os.setsid()
        os.close(self.mapped)
        if self.plan.isolated:
            self.isolate()
        else:
            syscalls.prctl(syscalls.PR_SET_CHILD_SUBREAPER, 1)
        _let_go_of_client()
        zygote = self.make_zygote()
        locks.hold(self.outer.lock_fd, locks.ALIVE)
        self.tell(b"ready")
        os.close(self.telling)
        zygote.run()

    def isolate(self) -> None:
        try:
            root.build(
                network=self.plan.network,
                shown=self.plan.shown,
                hidden=os.path.realpath(os.fsdecode(self.plan.state)),
                again=self.plan.again,
            )
            syscalls.sethostname("sandbox")
            if not self.plan.network:
                _loopback_up()
            syscalls.join_new_session_keyring()
            syscalls.drop_capabilities(_last_capability())
            syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)
            seccomp.install()
            syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)
        except OSError as exc:
            raise step_failed("building the root", exc) from None

    def make_zygote(self) -> Zygote:
        plan = self.plan
        open_files = raise_open_files()
        if plan.isolated:
            hard = resource.getrlimit(resource.RLIMIT_NPROC)[1]
            most = plan.pids if hard == resource.RLIM_INFINITY else min(plan.pids, hard)
            resource.setrlimit(resource.RLIMIT_NPROC, (most, most))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        try:
            os.makedirs(plan.cwd, exist_ok=True)
            os.chdir(plan.cwd)
            os.chdir("/")
        except OSError as exc:
            raise step_failed("cwd", exc) from None
        env = dict(zip(plan.env[::2], plan.env[1::2], strict=True))
        spawner = Spawner(plan.cwd, env, open_files)
        zygote = Zygote(
            self.outer.listener,
            spawner,
            expires_at=plan.expires_at,
            deadline_fd=self.outer.lock_fd,
            isolated=plan.isolated,
        )
        if not plan.isolated:
            zygote.on_end = lambda: end_marked(self.outer.name, 10)
        if plan.command:
            try:
                zygote.run_beside(plan.command, mark_of(self.outer.name, int.from_bytes(os.urandom(4), "little")))
            except NotStarted as exc:
                raise StepFailed("command", 0, exc.message.decode("utf-8", "replace").strip()) from None
            except Refused as exc:
                raise StepFailed("command", exc.code, exc.message) from None
        return zygote


def _let_go_of_client() -> None:
    """Put the sandbox's own /dev/null where the client's pipes are."""
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    for fd in range(3):
        os.dup2(null, fd, inheritable=False)
    os.close(null)


def _last_capability() -> int:
    fd = os.open("/proc/sys/kernel/cap_last_cap", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return int(os.read(fd, 16))
    finally:
        os.close(fd)


def _loopback_up() -> None:
    sock = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC)
    request = b"lo".ljust(16, b"\0") + (0x1 | 0x40).to_bytes(2, sys.byteorder) + bytes(14)
    fcntl.ioctl(sock.fileno(), 0x8914, request)  # SIOCSIFFLAGS: up, running
    sock.close()
