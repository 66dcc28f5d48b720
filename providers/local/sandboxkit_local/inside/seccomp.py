"""The system calls that a sandbox is refused: what would reach around the namespaces.

A filter for x86_64; on other machines none is known, and :func:`install` says so.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

from sandboxkit_local.inside.syscalls import PR_SET_SECCOMP, prctl

_DENIED = {
    "keyrings": (248, 249, 250),
    "mounts": (155, 165, 166, 428, 429, 430, 431, 432, 433, 442, 467),
    "namespaces": (272, 308),
    "kernel": (103, 153, 163, 164, 167, 168, 169, 172, 173, 175, 176, 179, 227, 246, 313, 320, 443),
    "wide surface": (212, 298, 300, 304, 321, 323, 425, 426, 427),
}
"""x86_64 numbers: add_key … keyctl; pivot_root, mount, umount2, open_tree …; unshare, setns; syslog, vhangup,
acct, settimeofday, swapon, swapoff, reboot, iopl, ioperm, init_module, delete_module, quotactl, clock_settime,
kexec_load, finit_module, kexec_file_load, quotactl_fd; lookup_dcookie, perf_event_open, fanotify_init,
open_by_handle_at, bpf, userfaultfd, io_uring."""

_AUDIT_ARCH_X86_64 = 0xC000003E
_X32_BIT = 0x40000000
_NEW_NAMESPACES = 0x7E020000  # every CLONE_NEW* that clone takes
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW = 0x7FFF0000
_NUMBER, _ARCH, _FIRST, _SECOND = 0, 4, 16, 24  # offsets in struct seccomp_data (low words)


def _refuse(code: int) -> int:
    return 0x00050000 | code


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def _instruction(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack("=HBBI", code, yes, no, value)


def _when_argument(number: int, offset: int, test: int, value: int, answer: int) -> list[bytes]:
    """Answer ``number`` when one argument passes the test; else fall through with the number loaded."""
    return [
        _instruction(_EQUAL, number, 0, 4),
        _instruction(_LOAD, offset),
        _instruction(test, value, 0, 1),
        _instruction(_RETURN, answer),
        _instruction(_LOAD, _NUMBER),
    ]


def program() -> bytes:
    """Assemble the filter."""
    denied = [number for group in _DENIED.values() for number in group]
    code = [
        _instruction(_LOAD, _ARCH),
        _instruction(_EQUAL, _AUDIT_ARCH_X86_64, 1, 0),
        _instruction(_RETURN, _refuse(errno.ENOSYS)),  # i386 calls have other numbers
        _instruction(_LOAD, _NUMBER),
        _instruction(_AT_LEAST, _X32_BIT, 0, 1),
        _instruction(_RETURN, _refuse(errno.ENOSYS)),
    ]
    for number in denied:
        code += [_instruction(_EQUAL, number, 0, 1), _instruction(_RETURN, _refuse(errno.EPERM))]
    # clone3 hides its flags behind a pointer; libraries fall back to clone.
    code += [_instruction(_EQUAL, 435, 0, 1), _instruction(_RETURN, _refuse(errno.ENOSYS))]
    code += _when_argument(56, _FIRST, _ANY_BIT, _NEW_NAMESPACES, _refuse(errno.EPERM))  # clone
    code += _when_argument(16, _SECOND, _EQUAL, 0x5412, _refuse(errno.EPERM))  # ioctl TIOCSTI
    code += _when_argument(16, _SECOND, _EQUAL, 0x541C, _refuse(errno.EPERM))  # ioctl TIOCLINUX
    code += _when_argument(41, _FIRST, _EQUAL, 40, _refuse(errno.EAFNOSUPPORT))  # socket AF_VSOCK
    # The limits and the priority of PID 1, which keeps the deadline, are not the sandbox's to set.
    for number in (302, 144, 142, 314, 203):  # prlimit64, sched_setscheduler, _setparam, _setattr, _setaffinity
        code += _when_argument(number, _FIRST, _EQUAL, 1, _refuse(errno.EPERM))
    code += _when_argument(141, _SECOND, _EQUAL, 1, _refuse(errno.EPERM))  # setpriority of a process or group
    code += _when_argument(141, _FIRST, _EQUAL, 2, _refuse(errno.EPERM))  # setpriority of all of a user's
    code.append(_instruction(_RETURN, _ALLOW))
    return b"".join(code)


def is_known() -> bool:
    """Whether there is a filter for this machine."""
    return os.uname().machine == "x86_64"


def install() -> bool:
    """Put the filter on this process and all that it starts; ``False`` where none is known."""
    if not is_known():
        return False
    code = program()
    buffer = ctypes.create_string_buffer(code, len(code))
    prctl(PR_SET_SECCOMP, 2, _Program(len(code) // 8, ctypes.addressof(buffer)))
    return True
