"""The plugin: what sandboxkit loads for ``connect("poor")``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sandboxkit.errors import InvalidSpec
from sandboxkit.model import Probe
from sandboxkit.plugins import hookimpl, make_provider, probe
from sandboxkit.provider import SandboxProvider, World


@hookimpl
def sandboxkit_provider(world: World, options: Mapping[str, Any]) -> SandboxProvider:
    from .provider import PoorProvider

    seed = options.get("seed", 0)
    unknown = ", ".join(sorted(set(options) - {"seed"}))
    if unknown or not isinstance(seed, int):
        raise InvalidSpec(f"provider 'poor' takes the option seed, a number, not {unknown or repr(seed)}")
    return PoorProvider(world, make_provider("local", world, {}), seed)


@hookimpl
def sandboxkit_probe() -> Probe:
    answer = probe("local")
    return Probe(answer.works, f"over local: {answer.reason}")
