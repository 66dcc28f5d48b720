"""The system calls that Python has no name for, each raising ``OSError`` that names the call."""

from __future__ import annotations

import ctypes
import os

CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_REMOUNT = 32
MS_BIND = 4096
MS_REC = 16384
MS_PRIVATE = 1 << 18

MOUNT_ATTR_RDONLY = 1
MOUNT_ATTR_NOSUID = 2
MOUNT_ATTR_NODEV = 4

PR_SET_DUMPABLE = 4
PR_SET_SECCOMP = 22
PR_CAPBSET_DROP = 24
PR_SET_SECUREBITS = 28
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47

_AT_RECURSIVE = 0x8000
_MNT_DETACH = 2
_SYS_MOUNT_SETATTR = 442
_KEYCTL_JOIN_SESSION_KEYRING = 1
_NUMBERS = {"x86_64": {"pivot_root": 155, "keyctl": 250}, "aarch64": {"pivot_root": 41, "keyctl": 219}}

_libc = ctypes.CDLL(None, use_errno=True)
_machine = os.uname().machine


def _check(result: int, what: str) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), what)
    return result


def _number(name: str) -> int:
    try:
        return _NUMBERS[_machine][name]
    except KeyError:
        raise OSError(38, f"not known on {_machine}", name) from None


def unshare(flags: int) -> None:
    """Leave the namespaces named by ``flags``."""
    _check(_libc.unshare(ctypes.c_int(flags)), "unshare")


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    """Mount ``source`` on ``target``."""
    result = _libc.mount(
        os.fsencode(source),
        os.fsencode(target),
        kind.encode() or None,
        ctypes.c_ulong(flags),
        data.encode() or None,
    )
    _check(result, f"mount {target}")


class _MountAttr(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("attr_set", "attr_clr", "propagation", "userns_fd")]


def restrict_mounts(path: str, attributes: int) -> None:
    """Add mount attributes to ``path`` and every mount below it (mount_setattr, Linux 5.12)."""
    attr = _MountAttr(attributes, 0, 0, 0)
    result = _libc.syscall(
        ctypes.c_long(_SYS_MOUNT_SETATTR),
        ctypes.c_int(-100),
        os.fsencode(path),
        ctypes.c_uint(_AT_RECURSIVE),
        ctypes.byref(attr),
        ctypes.c_size_t(ctypes.sizeof(attr)),
    )
    _check(result, f"mount_setattr {path}")


def pivot_root_here() -> None:
    """Make the current directory, a mount point, the root and let go of the old one."""
    _check(_libc.syscall(ctypes.c_long(_number("pivot_root")), b".", b"."), "pivot_root")
    _check(_libc.umount2(b".", ctypes.c_int(_MNT_DETACH)), "umount2 of the old root")
    os.chdir("/")


def sethostname(name: str) -> None:
    """Name the machine."""
    _check(_libc.sethostname(name.encode(), ctypes.c_size_t(len(name))), "sethostname")


def prctl(option: int, *arguments: int | ctypes.Array[ctypes.c_char] | ctypes.Structure) -> None:
    """Change an attribute of this process."""
    words = [ctypes.c_ulong(a) if isinstance(a, int) else ctypes.byref(a) for a in arguments]
    words += [ctypes.c_ulong(0)] * (4 - len(words))
    _check(_libc.prctl(ctypes.c_int(option), *words), f"prctl {option}")


def join_new_session_keyring() -> None:
    """Leave the keyring of whoever started us: it holds the host's keys."""
    result = _libc.syscall(
        ctypes.c_long(_number("keyctl")), ctypes.c_long(_KEYCTL_JOIN_SESSION_KEYRING), ctypes.c_void_p(0)
    )
    if result < 0 and ctypes.get_errno() != 38:  # ENOSYS: a kernel without keyrings has none to leave
        _check(result, "keyctl join session keyring")


def drop_capabilities(last: int) -> None:
    """Give up every capability, for ever and for every program started from here."""
    for capability in range(last + 1):
        prctl(PR_CAPBSET_DROP, capability)
    prctl(PR_CAP_AMBIENT, 4)
    prctl(PR_SET_SECUREBITS, 0b101111)  # NOROOT, NO_SETUID_FIXUP, both locked; KEEP_CAPS locked off
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    nothing = (ctypes.c_uint32 * 6)()
    _check(_libc.capset(ctypes.byref(header), ctypes.byref(nothing)), "capset")
