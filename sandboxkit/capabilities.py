"""The names of what providers can do, and the check that a call makes before anything is sent."""

from __future__ import annotations

from collections.abc import Mapping

from sandboxkit.errors import Unsupported
from sandboxkit.model import Capability

MANDATORY = ("lifecycle", "exec", "files")
"""Every provider has these; declaring them false is an error of the provider."""

NAMES = (
    *MANDATORY,
    "tmux",
    "pty",
    "exec_user",
    "image",
    "ttl",
    "kill_tree_strict",
    "extend",
    "restart",
    "restart_keeps_files",
    "stop_start",
    "pause",
    "snapshot",
    "logs",
    "stats",
    "ports",
    "network_off",
    "network_on",
    "cpu",
    "memory",
    "pids",
    "idempotency",
    "command",
    "user",
)
"""All capability names; their meaning stands in ``docs/contract.md``."""


def require(provider: str, declared: Mapping[str, Capability], name: str) -> None:
    """Raise ``Unsupported`` unless ``name`` is declared, with the provider's reason."""
    capability = declared.get(name)
    if capability:
        return
    reason = "" if capability is None else capability.reason
    raise Unsupported(
        f"provider {provider!r} does not support {name!r}" + (f": {reason}" if reason else ""),
        capability=name,
        reason=reason,
    )
