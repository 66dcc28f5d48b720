"""The sandbox's file system: an empty root in which only what is on the list of the host appears, read-only.

Runs as the future PID 1, with the sandbox's state directory as current directory and new namespaces around it.
"""

from __future__ import annotations

import os
import stat

from sandboxkit_local.inside.plan import StepFailed
from sandboxkit_local.inside.syscalls import (
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_NOSUID,
    MOUNT_ATTR_RDONLY,
    MS_BIND,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_PRIVATE,
    MS_RDONLY,
    MS_REC,
    MS_REMOUNT,
    mount,
    pivot_root_here,
    restrict_mounts,
)

ROOT = "../etc/root"
"""Where the new root is mounted, seen from the sandbox's state directory."""

HOST_PATHS = ("usr", "etc", "opt", "nix", "bin", "sbin", "lib", "lib32", "lib64", "libx32")
"""What of the host is seen, where it exists; a list of what may be seen, never of what may not."""

OWN = {"workspace": "workspace", "home": "root", "tmp": "tmp", "var": "var"}
"""Writable directories: their names in the state directory, and in the sandbox."""

_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_MASKED_FILES = ("kcore", "keys", "latency_stats", "timer_list", "sched_debug", "kmsg", "kallsyms", "vmallocinfo")
_MASKED_DIRECTORIES = ("acpi", "scsi", "driver", "asound")
_READ_ONLY = ("bus", "fs", "irq", "sys", "sysrq-trigger", "tty")
_RESTRICTED = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV
_PLAIN = MS_NOSUID | MS_NODEV


def build(*, network: bool, shown: list[bytes], hidden: str, again: bool) -> None:
    """Build the root and move into it; the host's file system is out of reach afterwards.

    ``hidden`` is covered wherever it would be seen: who reaches the sockets in the state directory commands
    the sandboxes. ``again``: the sandbox's own directories hold what it has put there.
    """
    mount("none", "/", flags=MS_REC | MS_PRIVATE)
    resolver = _resolver() if network else None
    # One empty directory serves all sandboxes to mount on: each has a mount namespace of its own.
    mount("tmpfs", ROOT, "tmpfs", _PLAIN, "mode=0755,size=16m")
    for name in HOST_PATHS:
        _show(f"/{name}", hidden)
    _own_directories()
    if not again:
        _fill_own_directories()
    os.mkdir(f"{ROOT}/run")
    mount("tmpfs", f"{ROOT}/run", "tmpfs", _PLAIN, "mode=0755,size=64m")
    for path in map(os.fsdecode, shown):
        try:
            os.lstat(path)
        except OSError as exc:
            # Root of the sandbox is none outside: it shows what anyone may reach.
            raise StepFailed("read_only", exc.errno or 0, f"{path}: {exc.strerror}") from None
        _show(path, hidden)
    _devices()
    _processes()
    for name in ("hosts", "hostname"):
        if os.path.isfile(f"{ROOT}/etc/{name}"):
            _bind(f"../etc/{name}", f"{ROOT}/etc/{name}")
            restrict_mounts(f"{ROOT}/etc/{name}", _RESTRICTED)
    if resolver is not None:
        _write(ROOT + resolver[0], resolver[1])
    if not network:
        # Without a network namespace of its own the kernel refuses a new sysfs.
        os.mkdir(f"{ROOT}/sys")
        try:
            mount("sysfs", f"{ROOT}/sys", "sysfs", _PLAIN | MS_NOEXEC | MS_RDONLY)
        except OSError:
            pass  # refused where the host's own is partly covered; few programs miss it
    os.mkdir(f"{ROOT}/home")
    os.chdir(ROOT)
    pivot_root_here()
    mount("none", "/", flags=MS_REMOUNT | MS_BIND | MS_RDONLY | _PLAIN)


def _bind(source: str, target: str, flags: int = 0) -> None:
    mount(source, target, flags=MS_BIND | flags)


def _show(path: str, hidden: str) -> None:
    try:
        mode = os.lstat(path).st_mode
    except OSError:
        return
    target = ROOT + path
    os.makedirs(os.path.dirname(target), exist_ok=True)
    if stat.S_ISLNK(mode):
        os.symlink(os.readlink(path), target)
        return
    if stat.S_ISDIR(mode):
        os.makedirs(target, exist_ok=True)
    else:
        _write(target, b"")
    _bind(path, target, MS_REC)
    restrict_mounts(target, _RESTRICTED)
    real = os.path.realpath(path)
    if hidden.startswith(real + "/"):
        mount("tmpfs", target + hidden[len(real) :], "tmpfs", _PLAIN | MS_NOEXEC | MS_RDONLY, "size=0")


def _write(path: str, data: bytes) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    os.write(fd, data)
    os.close(fd)


def _own_directories() -> None:
    for name, target in OWN.items():
        os.mkdir(f"{ROOT}/{target}")
        _bind(name, f"{ROOT}/{target}")
        mount("none", f"{ROOT}/{target}", flags=MS_REMOUNT | MS_BIND | _PLAIN)


def _fill_own_directories() -> None:
    # Only while they are empty: what the sandbox has put there since may be a symlink that leads out of it.
    for name in ("cache", "lib", "log", "tmp"):
        os.mkdir(f"{ROOT}/var/{name}")
    os.chmod(f"{ROOT}/var/tmp", 0o1777)
    os.chmod(f"{ROOT}/tmp", 0o1777)
    os.symlink("/run", f"{ROOT}/var/run")


def _devices() -> None:
    os.mkdir(f"{ROOT}/dev")
    mount("tmpfs", f"{ROOT}/dev", "tmpfs", MS_NOSUID | MS_NOEXEC, "mode=0755,size=64k")
    for name in _DEVICES:
        _write(f"{ROOT}/dev/{name}", b"")
        _bind(f"/dev/{name}", f"{ROOT}/dev/{name}")
    for name, target in (("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")):
        os.symlink(f"/proc/self/fd{target}", f"{ROOT}/dev/{name}")
    os.mkdir(f"{ROOT}/dev/pts")
    mount("devpts", f"{ROOT}/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620")
    os.symlink("pts/ptmx", f"{ROOT}/dev/ptmx")
    os.mkdir(f"{ROOT}/dev/shm")
    mount("tmpfs", f"{ROOT}/dev/shm", "tmpfs", _PLAIN | MS_NOEXEC, "mode=1777,size=64m")
    mount("none", f"{ROOT}/dev", flags=MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NOEXEC)


def _processes() -> None:
    os.mkdir(f"{ROOT}/proc")
    mount("proc", f"{ROOT}/proc", "proc", _PLAIN | MS_NOEXEC)
    # Nested user namespaces would bring back the capabilities that are dropped here. Written before it is
    # covered, and it counts for this user namespace only.
    _write_existing(f"{ROOT}/proc/sys/user/max_user_namespaces", b"0")
    for name in _MASKED_FILES:
        if os.path.exists(f"{ROOT}/proc/{name}"):
            _bind("/dev/null", f"{ROOT}/proc/{name}")
    for name in _MASKED_DIRECTORIES:
        if os.path.isdir(f"{ROOT}/proc/{name}"):
            mount("tmpfs", f"{ROOT}/proc/{name}", "tmpfs", _PLAIN | MS_NOEXEC | MS_RDONLY, "size=0")
    for name in _READ_ONLY:
        if os.path.exists(f"{ROOT}/proc/{name}"):
            _bind(f"{ROOT}/proc/{name}", f"{ROOT}/proc/{name}")
            mount("none", f"{ROOT}/proc/{name}", flags=MS_REMOUNT | MS_BIND | MS_RDONLY | _PLAIN | MS_NOEXEC)


def _write_existing(path: str, data: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, data)
    finally:
        os.close(fd)


def _resolver() -> tuple[str, bytes] | None:
    """Where /etc/resolv.conf leads when that is a place which the sandbox does not see, and what stands there."""
    path = os.path.realpath("/etc/resolv.conf")
    if path.startswith(tuple(f"/{name}/" for name in HOST_PATHS)):
        return None
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return path, os.read(fd, 65536)
    finally:
        os.close(fd)
