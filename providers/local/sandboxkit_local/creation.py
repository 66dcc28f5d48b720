"""The client's side of making a sandbox: starting the building process, hearing from it, and letting go."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import sys
from pathlib import Path

import attrs

from sandboxkit.errors import DeadlineExceeded, InvalidSpec, NoCapacity, ProviderError, Unsupported
from sandboxkit.provider import World
from sandboxkit_local import inside
from sandboxkit_local.inside.plan import Plan
from sandboxkit_local.refusal import explain
from sandboxkit_local.wire import FrameError, FrameReader

UNDO_LIMIT = 15.0
"""Seconds that the building process may take to undo its work once its client has let go."""


_children: set[int] = set()
"""Building processes that have not been reaped yet: a few milliseconds, unless something is stuck."""


def _reap() -> None:
    for pid in list(_children):
        # Someone else in this process may have waited for any child.
        with contextlib.suppress(ChildProcessError):
            if os.waitpid(pid, os.WNOHANG)[0] == 0:
                continue
        _children.discard(pid)


@attrs.define(eq=False)
class Builder:
    """The building process: what it says comes on ``output``; closing ``input`` before taking undoes its work."""

    pid: int
    pidfd: int
    input: int
    output: int
    errors: int

    def close_input(self) -> None:
        """Let go: without having been told that the sandbox was taken, it removes everything."""
        fd, self.input = self.input, -1
        if fd >= 0:
            os.close(fd)

    def take(self) -> None:
        """Tell it that the sandbox is ours now."""
        with contextlib.suppress(OSError):
            os.write(self.input, b"+")

    def abandon(self) -> None:
        """Let go without having taken it, and wait, blocking, until it has undone its work."""
        self.close_input()
        if self.pidfd >= 0:
            poll = select.poll()
            poll.register(self.pidfd, select.POLLIN)
            poll.poll(UNDO_LIMIT * 1000)
        self.let_go()

    def let_go(self) -> None:
        """Let go of everything; it has ended, or does so by itself."""
        self.close_input()
        for fd in (self.output, self.pidfd, self.errors):
            if fd >= 0:
                os.close(fd)
        self.output = self.pidfd = self.errors = -1
        _children.add(self.pid)
        _reap()


def start_builder(plan: Plan) -> Builder:
    """Start the building process and hand it the plan; it outlives this client."""
    if not sys.executable:
        raise ProviderError("provider 'local' needs sys.executable, the path of a Python that can be started")
    _reap()
    script = str(Path(inside.__file__).with_name("__main__.py"))
    flags = ["-I", "-S"]
    if sys.dont_write_bytecode:
        # Not next to the sources then, but compiling them for every sandbox would cost more than all the rest.
        flags += ["-X", f"pycache_prefix={os.fsdecode(plan.state)}/bytecode"]
    plan_read, plan_write = os.pipe2(os.O_CLOEXEC)
    told_read, told_write = os.pipe2(os.O_CLOEXEC)
    errors = os.memfd_create("sandboxkit", os.MFD_CLOEXEC)
    # Nothing of the client's environment, but what its Python may need to start at all.
    env = {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}
    try:
        try:
            pid = os.posix_spawn(
                sys.executable,
                [sys.executable, *flags, script, os.fsdecode(plan.id)],
                env,
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, plan_read, 0),
                    (os.POSIX_SPAWN_DUP2, told_write, 1),
                    (os.POSIX_SPAWN_DUP2, errors, 2),
                ],
                setsid=True,
                setsigmask=(),
                setsigdef=[signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD],
            )
        finally:
            os.close(plan_read)
            os.close(told_write)
    except OSError as exc:
        for fd in (plan_write, told_read, errors):
            os.close(fd)
        if exc.errno in (errno.EAGAIN, errno.ENOMEM):
            raise NoCapacity(f"cannot start a process for the sandbox: {exc.strerror}") from exc
        raise ProviderError(f"cannot start {sys.executable}: {exc.strerror}") from exc
    builder = Builder(pid, -1, plan_write, told_read, errors)
    try:
        builder.pidfd = os.pidfd_open(pid)
        os.set_blocking(told_read, False)
        data = plan.encode()
        rest = memoryview(len(data).to_bytes(4, "little") + data)
        while rest:
            rest = rest[os.write(plan_write, rest) :]
    except BrokenPipeError:
        pass  # it ended at once: what it said, or did not, is read by the caller
    except BaseException:
        builder.abandon()
        raise
    return builder


async def hear(world: World, builder: Builder, *, until: float | None) -> list[bytes]:
    """Wait for what the building process says; raises ``DeadlineExceeded`` at ``until``."""
    reader = FrameReader()
    while True:
        with contextlib.suppress(BlockingIOError):
            data = os.read(builder.output, 65536)
            try:
                frames = reader.feed(data)
            except FrameError:
                frames = []
            if frames:
                return frames[0]
            if not data:
                words = os.pread(builder.errors, 2000, 0).decode("utf-8", "replace").strip()
                raise ProviderError(
                    "the process that builds the sandbox ended without a word" + (f": {words}" if words else "")
                )
        readable, _ = await world.ready(read=(builder.output,), until=until)
        if not readable and until is not None and world.now() >= until:
            raise DeadlineExceeded("the sandbox was not ready within the operation's deadline")


async def leave(world: World, builder: Builder) -> bool:
    """Let go of a building process and wait for its end, by when it has undone what was not taken."""
    builder.close_input()
    until = world.now() + UNDO_LIMIT
    try:
        readable, _ = await world.ready(read=(builder.pidfd,), until=until)
        return bool(readable)
    finally:
        builder.let_go()


def failure(words: list[bytes]) -> Exception:
    """Make an error of what the building process said about its failure."""
    step, code, message = words[1].decode("utf-8", "replace"), int(words[2]), words[3].decode("utf-8", "replace")
    if step == "cwd" or step.startswith("cwd "):
        return InvalidSpec(f"the sandbox's working directory cannot be made: {message}")
    if step == "read_only":
        return InvalidSpec(f"read_only cannot show {message}; every directory above must be open to all users")
    if step == "command":
        return InvalidSpec(f"the sandbox's own command could not be started: {message}")
    if code in (errno.ENOMEM, errno.EAGAIN, errno.EMFILE, errno.ENFILE):
        return NoCapacity(f"no room for a local sandbox: {step}: {message}")
    if code == errno.ENOSPC and step.startswith("state directory"):
        return NoCapacity(f"no room for a local sandbox: {step}: {message}")
    if step.startswith("state directory") or step in ("building process", "PID 1", "reading the plan"):
        return ProviderError(f"the local sandbox could not be made: {step}: {message}")
    reason = explain(step, code, message)
    return Unsupported(f"local sandbox not possible here: {reason}", capability="isolation", reason=reason)
