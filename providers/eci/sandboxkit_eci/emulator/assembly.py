"""An emulator's service, put together from what a user says of it."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from typing import Any

from sandboxkit_eci.emulator.backend import Backend
from sandboxkit_eci.emulator.clock import Clock
from sandboxkit_eci.emulator.delays import Delays
from sandboxkit_eci.emulator.faults import Fault, Faults
from sandboxkit_eci.emulator.quirks import Quirks, parse
from sandboxkit_eci.emulator.runtime import Runtime
from sandboxkit_eci.emulator.service import Service
from sandboxkit_eci.emulator.session import SessionQuirks
from sandboxkit_eci.emulator.signature import Key

ACCESS_KEY_ID = "emulator"
ACCESS_KEY_SECRET = "emulator-secret"
"""The key pair that is good where none was given."""


def make_service(
    backend: Backend | str = "local",
    *,
    quirks: Iterable[str] | Mapping[str, Any] = (),
    faults: Iterable[Fault | str] = (),
    time_scale: float = 0.0,
    seed: int = 0,
    keys: Iterable[Key] = (),
    clock: Clock | None = None,
    region: str = "cn-hangzhou",
    responder: str | None = None,
) -> Service:
    """Put a service together.

    ``backend`` is one, or its name. ``quirks`` are ``NAME=VALUE``, or values by name; ``faults`` are rules as in
    :mod:`~sandboxkit_eci.emulator.faults`, and the same ``seed`` gives the same ones. ``time_scale`` is how long
    the service's own work takes: 1 as long as in the cloud, 0 no time.
    """
    if isinstance(quirks, Mapping):
        quirks = [f"{name}={value}" for name, value in quirks.items()]
    api_quirks, rest = parse(quirks, Quirks)
    session_quirks, rest = parse(rest, SessionQuirks)
    delays, unknown = parse(rest, Delays)
    if unknown:
        raise ValueError(f"unknown quirk: {', '.join(unknown)}")
    if isinstance(backend, str):
        backend = make_backend(backend, responder=responder, keep_files=api_quirks.restart_files == "kept")
    runtime = Runtime(backend=backend, clock=clock or Clock(time_scale), quirks=api_quirks, delays=delays)
    keys = list(keys) or [Key(id=ACCESS_KEY_ID, secret=ACCESS_KEY_SECRET)]
    rules = Faults(faults, seed=seed)
    return Service(runtime, keys, session_quirks=session_quirks, faults=rules, region=region)


def make_backend(kind: str, *, responder: str | None = None, keep_files: bool = False, **options: Any) -> Backend:
    """Make a backend by its name: ``none``, or the sandboxkit provider whose sandboxes are the containers.

    ``responder`` is ``MODULE:NAME`` of what answers execs where there are no processes. With ``keep_files``, a
    container's files survive its restart. ``options`` are the backend's own.
    """
    if kind == "none":
        from sandboxkit_eci.emulator.backends.nothing import NoBackend

        return NoBackend(**options) if responder is None else NoBackend(_load(responder), **options)
    if responder is not None:
        raise ValueError(
            f"responder {responder!r} is for the backend none, not {kind}: there, processes answer execs"
        )
    from sandboxkit_eci.emulator.backends.sandboxes import SandboxBackend

    # Every group is in a network, so that what needs one runs here too.
    return SandboxBackend(kind, **{"reset_files": not keep_files, "network": True, **options})


def _load(name: str) -> Any:
    module, colon, attribute = name.partition(":")
    if not colon:
        raise ValueError(f"responder {name!r}: write MODULE:NAME")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as exc:
        raise ValueError(f"responder {name!r}: {exc}") from exc
