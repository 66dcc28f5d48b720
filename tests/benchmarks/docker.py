"""docker, over kept channels and over one for each command, against a minimal client on the daemon's socket."""

from __future__ import annotations

import itertools
import os
import subprocess
import tempfile
import time
from pathlib import Path

import sandboxkit
from sandboxkit.client import fingerprint
from sandboxkit.model import CreateRequest, SandboxSpec
from tests.benchmarks.common import FOLDER, KB, MB10, Minimal, Targets, command_cases, expect, file_cases, poll_case
from tests.benchmarks.pairs import Case, Row, measure_all, measure_in_a_row
from tests.benchmarks.rawdocker import RawDocker
from tests.benchmarks.transfers import Mover, few, output_case, transfer_cases

IMAGE = "sandboxkit-test:usual"

WARM, ROW, COLD, BOTH = "docker", "docker, in a row", "docker, cold", "docker, warm over cold"
"""What is measured: the client as it is by default, in pairs and in a row; ``warm=False``; and the first of these
held against that."""

IN_A_ROW, OF_THE_OTHER = 40, 5
"""Operations in a row, ours and the minimal client's."""

SMALL = ("run true", "run true, timeout", "write 1 KB", "read 1 KB", "tmux poll")
"""What programs do many times in a row."""

KEPT = Targets(true=1 / 15, true_ms=2.5, true_timeout=None, output=1.2, files=1.15, small_ms=3.5, poll_ms=6.0)
OPENED = Targets(true=1.1, output=1.2, files=1.15)

NO_SLOWER = 1.03

BLOB = f"{FOLDER}/blob-for-both"


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

    with (
        sandboxkit.connect("docker", image=image) as client,
        sandboxkit.connect("docker", image=image, warm=False) as without,
        RawDocker() as raw,
        client.create() as box,
        without.create() as other,
    ):
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
            cases = _cases(box, raw, KEPT)
            rows = measure_all(
                {
                    WARM: [*lifecycle, *cases],
                    COLD: _cases(other, raw, OPENED),
                    BOTH: _both(box, other),
                },
                rounds,
            )
            small = [case for case in cases if case.name in SMALL]
            rows += measure_in_a_row(
                ROW, [*small, _new_file(box, raw)], few(rounds), ours=IN_A_ROW, least=OF_THE_OTHER
            )
            mover = Mover(
                put_tree=lambda local, path: _copy(f"{local}/.", f"{box.id}:{path}"),
                get_tree=lambda path, local: _copy(f"{box.id}:{path}", str(local)),
                put_file=lambda local, path: raw.put_file(box.id, local, path),
                get_file=lambda path, local: raw.get_file(box.id, path, local),
            )
            with tempfile.TemporaryDirectory(prefix="sandboxkit-benchmark-") as scratch:
                large = {
                    WARM: [
                        *transfer_cases(box, mover, Path(scratch), tree=1.2, file=1.15),
                        output_case(box, _minimal(box, raw), target=1.3),
                    ],
                    COLD: [output_case(other, _minimal(other, raw), target=1.3)],
                }
                return rows + measure_all(large, few(rounds))
        finally:
            for sandbox in ours:
                sandbox.delete()
            for container in least:
                raw.delete(container)


def _minimal(box: sandboxkit.Sandbox, raw: RawDocker) -> Minimal:
    return Minimal(
        exec=lambda argv: raw.exec(box.id, argv),
        write=lambda path, data: raw.write(box.id, path, data),
        read=lambda path: raw.read(box.id, path),
    )


def _cases(box: sandboxkit.Sandbox, raw: RawDocker, targets: Targets) -> list[Case]:
    minimal = _minimal(box, raw)
    return [
        *command_cases(box, minimal, targets),
        *file_cases(box, minimal, targets),
        poll_case(box, minimal, targets),
    ]


def _new_file(box: sandboxkit.Sandbox, raw: RawDocker) -> Case:
    """Write 1 KB to where there is no file: no mode and no owner is to be kept."""
    content, number = os.urandom(KB), itertools.count()

    def path() -> str:
        return f"{FOLDER}/new-{next(number)}"

    return Case(
        name="write 1 KB, new file",
        ours=lambda: box.files.write(path(), content),
        least=lambda: raw.write(box.id, path(), content),
        target=KEPT.files,
        target_ms=KEPT.small_ms,
    )


def _both(box: sandboxkit.Sandbox, other: sandboxkit.Sandbox) -> list[Case]:
    """10 MB over a channel that is kept, held against the same over one that is opened for it."""
    blob = os.urandom(MB10)
    for each in (box, other):
        each.files.write(BLOB, blob)
    command = ["cat", BLOB]
    return [
        Case(
            name="10 MB of output",
            ours=lambda: box.exec(command, max_output=None),
            least=lambda: other.exec(command, max_output=None),
            check=expect((0, blob, b"")),
            target=NO_SLOWER,
        ),
        Case(
            name="write 10 MB",
            ours=lambda: box.files.write(BLOB, blob),
            least=lambda: other.files.write(BLOB, blob),
            target=NO_SLOWER,
        ),
        Case(
            name="read 10 MB",
            ours=lambda: box.files.read(BLOB),
            least=lambda: other.files.read(BLOB),
            check=expect(blob),
            target=NO_SLOWER,
        ),
    ]
