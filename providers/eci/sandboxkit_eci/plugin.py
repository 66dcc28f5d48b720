"""The plugin's two hooks. The SDK takes long to import, so it is imported only inside them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sandboxkit.errors import SandboxError
from sandboxkit.model import Probe
from sandboxkit.plugins import hookimpl
from sandboxkit.provider import SandboxProvider, World


@hookimpl
def sandboxkit_provider(world: World, options: Mapping[str, Any]) -> SandboxProvider:
    """Make the provider. The service is asked for nothing yet."""
    from sandboxkit_eci.provider import EciProvider
    from sandboxkit_eci.settings import connect_options

    return EciProvider(world, connect_options(options))


@hookimpl
def sandboxkit_probe() -> Probe:
    """Say whether the environment has all settings; nothing is asked of the service, which costs and counts."""
    try:
        from sandboxkit_eci.settings import connect_options

        found = connect_options({})
    except ImportError as exc:
        return Probe(False, f"{exc}; try: pip install 'sandboxkit[eci]'")
    except SandboxError as exc:
        return Probe(False, str(exc))
    if found.credentials is None:
        return Probe(False, "no access key is set; Alibaba's own credential chain may have one, which was not asked")
    return Probe(True, f"settings for {found.region_id} at {found.endpoint} are complete; nothing was asked of it")
