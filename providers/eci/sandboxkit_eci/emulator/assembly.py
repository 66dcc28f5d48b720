"""An emulator's service, put together from what a user says of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sandboxkit_eci.emulator.backend import Backend
from sandboxkit_eci.emulator.clock import Clock
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
    backend: Backend,
    *,
    quirks: Iterable[str] | Mapping[str, Any] = (),
    faults: Iterable[Fault | str] = (),
    time_scale: float = 0.0,
    seed: int = 0,
    keys: Iterable[Key] = (),
    clock: Clock | None = None,
    region: str = "cn-hangzhou",
) -> Service:
    """Put a service together; ``quirks`` are ``NAME=VALUE``, or values by name."""
    if isinstance(quirks, Mapping):
        quirks = [f"{name}={value}" for name, value in quirks.items()]
    api_quirks, rest = parse(quirks, Quirks)
    session_quirks, unknown = parse(rest, SessionQuirks)
    if unknown:
        raise ValueError(f"unknown quirk: {', '.join(unknown)}")
    runtime = Runtime(backend=backend, clock=clock or Clock(time_scale), quirks=api_quirks)
    keys = list(keys) or [Key(id=ACCESS_KEY_ID, secret=ACCESS_KEY_SECRET)]
    rules = Faults(faults, seed=seed)
    return Service(runtime, keys, session_quirks=session_quirks, faults=rules, region=region)


def local_backend() -> Backend:
    """Give the backend whose containers are sandboxes of the provider ``local``."""
    from sandboxkit_eci.emulator.backends.sandboxes import SandboxBackend

    return SandboxBackend("local")
