"""The plugin's two hooks. The SDK takes 100 ms to import, so it is imported only inside them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sandboxkit.errors import SandboxError
from sandboxkit.model import Probe
from sandboxkit.plugins import hookimpl
from sandboxkit.provider import SandboxProvider, World

PROBE_TIMEOUT = 3.0
"""Seconds that the probe waits for the daemon."""


@hookimpl
def sandboxkit_provider(world: World, options: Mapping[str, Any]) -> SandboxProvider:
    """Make the provider. The daemon is asked for nothing yet, so this is quick and does not fail for its sake."""
    from sandboxkit_docker.options import connect_options
    from sandboxkit_docker.provider import DockerProvider

    return DockerProvider(world, connect_options(options))


@hookimpl
def sandboxkit_probe() -> Probe:
    """Say whether the daemon that the environment names answers, and which it is."""
    try:
        from sandboxkit_docker.daemon import Daemon
        from sandboxkit_docker.options import ConnectOptions

        daemon = Daemon(ConnectOptions(timeout=PROBE_TIMEOUT))
        try:
            return Probe(True, f"{daemon.describe()} at {daemon.address}")
        finally:
            daemon.close()
    except ImportError as exc:
        return Probe(False, f"{exc}; try: pip install 'sandboxkit[docker]'")
    except SandboxError as exc:
        return Probe(False, str(exc))
