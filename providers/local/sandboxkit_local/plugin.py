"""The plugin: what sandboxkit loads for ``connect("local")``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sandboxkit.model import Probe
from sandboxkit.plugins import hookimpl
from sandboxkit.provider import SandboxProvider, World


@hookimpl
def sandboxkit_provider(world: World, options: Mapping[str, Any]) -> SandboxProvider:
    """Make the provider; raises ``InvalidSpec`` for an unknown option and ``Unsupported`` off Linux."""
    from sandboxkit_local.options import LocalConnect

    read = LocalConnect.read(options)
    from sandboxkit_local.provider import LocalProvider

    return LocalProvider(world, read)


@hookimpl
def sandboxkit_probe() -> Probe:
    """Build a sandbox and take it down again, and say which step failed if one did."""
    from sandboxkit_local.probe import probe

    return probe()
