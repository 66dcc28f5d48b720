"""Whether sandboxes can be made here, by making one in a place of its own."""

from __future__ import annotations

import sys
import tempfile
import time

from sandboxkit.driver import run
from sandboxkit.errors import SandboxError
from sandboxkit.model import CreateRequest, Probe, SandboxSpec
from sandboxkit.worlds import BlockingWorld


def probe() -> Probe:
    """Do the whole construction, in a temporary state directory that is gone afterwards."""
    if not sys.platform.startswith("linux"):
        return Probe(False, f"provider 'local' needs Linux, this is {sys.platform}; use provider 'docker'")
    from sandboxkit_local.options import LocalConnect
    from sandboxkit_local.provider import LocalProvider

    with tempfile.TemporaryDirectory(prefix="sandboxkit-probe-") as place:
        provider = LocalProvider(BlockingWorld(), LocalConnect(state_dir=f"{place}/state"))
        until = provider.world.now() + 5.0
        request = CreateRequest(
            spec=SandboxSpec(),
            owner="probe",
            key="probe",
            key_given=False,
            fingerprint="",
            expires_at=time.time() + 10,
        )
        try:
            made = run(provider.create(request, until=until))
            run(provider.delete(made.id, until=until))
        except SandboxError as exc:
            return Probe(False, str(exc))
    return Probe(True, "user namespaces work" + ("" if _has_filter() else "; no system-call filter for this machine"))


def _has_filter() -> bool:
    from sandboxkit_local.inside.seccomp import is_known

    return is_known()
