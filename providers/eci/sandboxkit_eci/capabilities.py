"""What the provider declares."""

from __future__ import annotations

from collections.abc import Mapping

from sandboxkit.model import Capability

CAPABILITIES: Mapping[str, Capability] = {
    "lifecycle": Capability(True),
    "exec": Capability(True),
    "files": Capability(True),
    "tmux": Capability(True),
    "pty": Capability(True),
    "image": Capability(True),
    "command": Capability(True, "runs as a child of the keep-alive; its end ends the sandbox"),
    "user": Capability(True, "by number: ECI knows no names"),
    "exec_user": Capability(False, "ECI runs every command as the container's user"),
    "cpu": Capability(True, "rounded up to a size that ECI has"),
    "memory": Capability(True, "rounded up to a size that ECI has"),
    "pids": Capability(False, "ECI has no limit of processes"),
    "ports": Capability(False, "give it an address with EciOptions(create_eip=True) and open its security group"),
    "network_on": Capability(True, "in the account's VPC; what it reaches, its security group and NAT decide"),
    "network_off": Capability(False, "every group is in a VPC; use a security group that lets nothing out"),
    "idempotency": Capability("while it lives", "by tag; two at once by ClientToken, which ECI keeps for 24 hours"),
    "ttl": Capability("enforced", "ActiveDeadlineSeconds; the sandbox's own first process ends it to the second"),
    "extend": Capability(False, "a group's deadline is fixed when it is created"),
    "kill_tree_strict": Capability(False, "a process that sheds its mark, group and session is out of reach"),
    "restart": Capability(True, "of one that runs; one that has ended cannot be started again"),
    "restart_keeps_files": Capability(False, "the container is made anew"),
    "stop_start": Capability(False, "ECI has no stop"),
    "pause": Capability(False, "ECI has no pause"),
    "snapshot": Capability(False, "not in the common interface yet; see sandboxkit_eci.account"),
    "logs": Capability(False, "not in the common interface yet; see sandboxkit_eci.account"),
    "stats": Capability(False, "not in the common interface yet; see sandboxkit_eci.account"),
}
