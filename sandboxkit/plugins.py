"""Finding providers: pluggy, loaded lazily by name from the entry-point group ``sandboxkit``.

A plugin is a module with these hooks::

    import sandboxkit

    @sandboxkit.hookimpl
    def sandboxkit_provider(world, options): ...

    @sandboxkit.hookimpl
    def sandboxkit_probe(): ...

Only the chosen plugin is imported, and it imports its SDK inside the hook.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from typing import Any

import pluggy

from sandboxkit.errors import ProviderNotFound, SandboxError, Unsupported
from sandboxkit.model import Probe
from sandboxkit.provider import API_VERSION, SandboxProvider, World

GROUP = "sandboxkit"
DEFAULT_PROVIDER = "local"

hookspec = pluggy.HookspecMarker(GROUP)
hookimpl = pluggy.HookimplMarker(GROUP)


class Hooks:
    """The hooks of a provider plugin."""

    @hookspec(firstresult=True)
    def sandboxkit_provider(self, world: World, options: Mapping[str, Any]) -> SandboxProvider:
        """Make the provider for this world from the connect options; unknown options are ``InvalidSpec``."""
        raise NotImplementedError

    @hookspec(firstresult=True)
    def sandboxkit_worlds(self) -> Collection[str]:
        """Name the worlds that the provider can be made for, of ``blocking`` and ``asyncio``; without it, both.

        One that names ``asyncio`` alone serves blocking clients from a thread with an event loop.
        """
        raise NotImplementedError

    @hookspec(firstresult=True)
    def sandboxkit_probe(self) -> Probe:
        """Say whether the provider works here, without making anything; bounded to a few seconds."""
        raise NotImplementedError


def installed() -> list[str]:
    """Give the names of the installed providers, sorted, without importing any."""
    # A third of the time of "import sandboxkit" otherwise.
    import importlib.metadata

    return sorted({point.name for point in importlib.metadata.entry_points(group=GROUP)})


def _load(name: str) -> pluggy.PluginManager:
    names = installed()
    if name not in names:
        listing = ", ".join(names) or "none"
        raise ProviderNotFound(
            f"no provider {name!r} (installed: {listing}); "
            f"sandboxkit's own are added with: pip install 'sandboxkit[{name}]'"
            if name in ("local", "docker", "eci")
            else f"no provider {name!r} (installed: {listing}); "
            f"install the package that brings it, usually: pip install sandboxkit-{name}"
        )
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(Hooks)
    try:
        manager.load_setuptools_entrypoints(GROUP, name=name)
    except Exception as exc:  # a plugin's import may fail in any way
        raise ProviderNotFound(
            f"provider {name!r} is installed but cannot be imported: {type(exc).__name__}: {exc}; "
            f"try: pip install --force-reinstall sandboxkit-{name}"
        ) from exc
    return manager


def make_provider(name: str | None, world: World, options: Mapping[str, Any]) -> SandboxProvider:
    """Import the plugin called ``name`` and let it make its provider.

    ``None`` means ``SANDBOXKIT_PROVIDER`` or, without it, ``local``; there is never a fall-back to another one.
    """
    chosen = name or os.environ.get("SANDBOXKIT_PROVIDER") or DEFAULT_PROVIDER
    manager = _load(chosen)

    def make(world: World) -> SandboxProvider:
        made = manager.hook.sandboxkit_provider(world=world, options=options)
        if made is None:
            raise ProviderNotFound(f"the plugin {chosen!r} has no hook 'sandboxkit_provider'; ask its author")
        return made  # type: ignore[no-any-return]

    try:
        provider = _in_world(chosen, manager.hook.sandboxkit_worlds(), world, make)
    except ImportError as exc:
        raise ProviderNotFound(
            f"provider {chosen!r} needs a package that is missing: {exc}; try: pip install 'sandboxkit[{chosen}]'"
        ) from exc
    if provider.api_version > API_VERSION:
        raise ProviderNotFound(
            f"provider {chosen!r} was written for API version {provider.api_version}, this sandboxkit speaks "
            f"{API_VERSION}; try: pip install --upgrade sandboxkit"
        )
    return provider


def _in_world(
    name: str, worlds: Collection[str] | None, world: World, make: Callable[[World], SandboxProvider]
) -> SandboxProvider:
    if worlds is None or world.name in worlds:
        return make(world)
    if world.name == "blocking" and "asyncio" in worlds:
        from sandboxkit.loopprovider import LoopProvider

        return LoopProvider(world, make)
    raise Unsupported(
        f"provider {name!r} does not work under {world.name}, only: {', '.join(worlds)}", capability="lifecycle"
    )


def probe(name: str) -> Probe:
    """Ask one plugin whether it works here; a broken plugin is an answer too, never an exception."""
    try:
        answer = _load(name).hook.sandboxkit_probe()
    except SandboxError as exc:
        return Probe(False, str(exc))
    except Exception as exc:  # noqa: BLE001 - one broken plugin must not break the listing
        return Probe(False, f"{type(exc).__name__}: {exc}")
    return answer if isinstance(answer, Probe) else Probe(True, "installed; it has no probe")
