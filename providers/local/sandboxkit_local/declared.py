"""What ``local`` declares that it can do."""

from __future__ import annotations

from collections.abc import Mapping

from sandboxkit.model import Capability

_LATER = "not built yet"


def capabilities(*, isolated: bool) -> Mapping[str, Capability]:
    """Give the declaration for this kind of isolation."""
    yes = Capability(True)
    later = Capability(False, _LATER)
    if isolated:
        ttl = Capability("enforced", "PID 1 of the sandbox keeps it, and ends with everything in it")
        network_off = yes
        network_on = Capability(True, "the host's network, all of it")
        pids = Capability(True, "RLIMIT_NPROC of the sandbox's own user namespace")
    else:
        plain = "isolation='none': commands are plain processes of this user"
        ttl = Capability("cooperative", "kept by a process that the commands could end")
        network_off = Capability(False, plain)
        network_on = Capability(True, "the host's")
        pids = Capability(False, plain)
    return {
        "lifecycle": yes,
        "exec": yes,
        "files": yes,
        "tmux": yes,
        "pty": yes,
        "exec_user": Capability(False, "a sandbox has one user"),
        "image": Capability(False, "a sandbox shows this host's programs; images are " + _LATER),
        "ttl": ttl,
        "kill_tree_strict": Capability(False, "a process that sheds its mark and its session is not found"),
        "extend": yes,
        "restart": yes,
        "restart_keeps_files": Capability(True, "all but /run and /dev/shm, which are memory"),
        "stop_start": later,
        "pause": later,
        "snapshot": Capability(False, "a sandbox has no image to keep"),
        "logs": later,
        "stats": later,
        "ports": Capability(False, "a sandbox without a network has no ports to reach; " + _LATER),
        "network_off": network_off,
        "network_on": network_on,
        "cpu": Capability(False, "control groups are " + _LATER),
        "memory": Capability(False, "control groups are " + _LATER),
        "pids": pids,
        "idempotency": Capability(True, "for as long as the sandbox lives"),
        "command": Capability(True, "runs beside; its output is not kept"),
        "user": Capability(False, "a sandbox has one user, root of nothing but itself"),
    }
