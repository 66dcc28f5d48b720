"""docker, against a minimal client on the daemon's socket."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from pathlib import Path

import sandboxkit
from sandboxkit.client import fingerprint
from sandboxkit.model import CreateRequest, SandboxSpec
from tests.benchmarks.common import Minimal, Targets, command_cases, file_cases
from tests.benchmarks.pairs import Case, Row, measure
from tests.benchmarks.rawdocker import RawDocker
from tests.benchmarks.transfers import Mover, few, output_case, transfer_cases

IMAGE = "sandboxkit-test:usual"


def _copy(source: str, target: str) -> None:
    subprocess.run(["docker", "cp", source, target], check=True, capture_output=True)


def run(rounds: int, image: str = IMAGE) -> list[Row]:
    """Measure everything in one daemon, in turns."""
    from sandboxkit_docker.spec import container_body

    def body() -> object:
        """Give the body that the provider sends for the same sandbox."""
        spec = SandboxSpec(image=image)
        request = CreateRequest(
            spec=spec,
            owner="benchmark",
            key=os.urandom(16).hex(),
            key_given=False,
            fingerprint=fingerprint(spec),
            expires_at=time.time() + spec.ttl,
        )
        return container_body(request, attempt=os.urandom(16).hex(), now=time.time())

    with sandboxkit.connect("docker", image=image) as client, RawDocker() as raw, client.create() as box:
        minimal = Minimal(
            exec=lambda argv: raw.exec(box.id, argv),
            write=lambda path, data: raw.write(box.id, path, data),
            read=lambda path: raw.read(box.id, path),
        )
        targets = Targets(true=1.1, true_timeout=None, output=1.2, files=1.15)
        ours: list[sandboxkit.Sandbox] = []
        least: list[str] = []
        lifecycle = [
            Case(
                name="create",
                ours=lambda: ours.append(client.create()),
                least=lambda: least.append(raw.create(body(), "benchmark-" + os.urandom(8).hex())),
                target=1.1,
            ),
            Case(
                name="delete",
                ours=lambda: ours.pop().delete(),
                least=lambda: raw.delete(least.pop()),
                target=1.1,
            ),
        ]
        try:
            cases = [*lifecycle, *command_cases(box, minimal, targets), *file_cases(box, minimal, targets)]
            rows = measure("docker", cases, rounds)
            mover = Mover(
                put_tree=lambda local, path: _copy(f"{local}/.", f"{box.id}:{path}"),
                get_tree=lambda path, local: _copy(f"{box.id}:{path}", str(local)),
                put_file=lambda local, path: raw.put_file(box.id, local, path),
                get_file=lambda path, local: raw.get_file(box.id, path, local),
            )
            with tempfile.TemporaryDirectory(prefix="sandboxkit-benchmark-") as scratch:
                large = transfer_cases(box, mover, Path(scratch), tree=1.2, file=1.15)
                return [*rows, *measure("docker", [*large, output_case(box, minimal, target=1.3)], few(rounds))]
        finally:
            for sandbox in ours:
                sandbox.delete()
            for container in least:
                raw.delete(container)
