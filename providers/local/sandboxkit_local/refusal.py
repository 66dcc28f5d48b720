"""Why this host permits no isolation, in words, and what would."""

from __future__ import annotations

import errno
from pathlib import Path

INSTEAD = "use provider 'docker', or pass isolation='none' (no isolation)"


def explain(step: str, code: int, message: str) -> str:
    """Name the step that failed, guess why from what the kernel tells, and say what would work."""
    name = errno.errorcode.get(code, message)
    return f"{step}: {name}; {_cause(step, code)}; or {INSTEAD}"


def _cause(step: str, code: int) -> str:
    if step == "choosing ids":
        return "give this user namespace more ids"
    if code == errno.ENOSYS and "mount_setattr" in step:
        return "this needs Linux 5.12 or newer"
    if _read("/proc/sys/user/max_user_namespaces") == "0" or code == errno.ENOSPC:
        return "user namespaces are switched off; as root: sysctl user.max_user_namespaces=10000"
    if _read("/proc/sys/kernel/unprivileged_userns_clone") == "0":
        return "user namespaces are for root only here; as root: sysctl kernel.unprivileged_userns_clone=1"
    if _read("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == "1" and not _is_root():
        return (
            "AppArmor restricts user namespaces; as root: "
            "sysctl kernel.apparmor_restrict_unprivileged_userns=0, or give this Python a profile that allows userns"
        )
    if "unshare" in step and _status("Seccomp") == "2":
        return (
            "this process is under a seccomp filter (a container). Run the container with "
            "`--security-opt seccomp=unconfined --security-opt systempaths=unconfined`"
        )
    if "proc" in step:
        return (
            "a container's /proc is partly covered, so the kernel refuses a new one. Run the container with "
            "`--security-opt systempaths=unconfined`"
        )
    return "the kernel or its security modules refuse it"


def _is_root() -> bool:
    return _status("Uid").startswith("0")


def _status(field: str) -> str:
    for line in _read("/proc/self/status").splitlines():
        if line.startswith(field + ":"):
            return line.split(":", 1)[1].strip()
    return ""


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""
