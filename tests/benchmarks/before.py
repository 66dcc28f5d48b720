"""``python -m tests.benchmarks.before REVISION``: the path without kept channels, against that of another revision.

Each revision's client is a process of its own; both work in one sandbox of ``docker``, in turns. With ``--warm``
kept channels are held against each other, and the revision may be a folder: so a change can be tried.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import attrs

import sandboxkit
from tests.benchmarks import report
from tests.benchmarks.docker import IMAGE, NO_SLOWER
from tests.benchmarks.pairs import Case, Row, measure

ROOT = Path(__file__).parents[2]

DOING = {
    "run true": "assert box.exec(['true']).exit_code == 0",
    "run true, timeout": "assert box.exec(['true'], timeout=60).exit_code == 0",
    "write 1 KB": "box.files.write('/tmp/small', small)",
    "read 1 KB": "assert box.files.read('/tmp/small') == small",
    "tmux poll": "assert session.poll().output == b'it runs\\n'",
    "10 MB of output": "assert len(box.exec(['cat', '/tmp/large'], max_output=None).stdout) == 10_000_000",
}

_WORKER = """if True:
    import json, sys
    import sandboxkit

    small = b"0123456789" * 100
    doing = {name: compile(text, name, "exec") for name, text in json.loads(sys.argv[2]).items()}
    with sandboxkit.connect("docker") as client:
        box = client.get(sys.argv[1])
        session = box.tmux.start("echo it runs; exec sleep 100000", echo=False)
        session.wait(0.5)
        print(sandboxkit.__file__, flush=True)
        for line in sys.stdin:
            exec(doing[line.strip()])
            print("done", flush=True)
"""


@attrs.define(eq=False)
class Worker:
    """A client of one revision."""

    place: str
    _asking: IO[str]
    _answers: IO[str]

    def do(self, name: str) -> None:
        """Have it do something, and wait for that."""
        self._asking.write(f"{name}\n")
        self._asking.flush()
        if self._answers.readline() != "done\n":
            raise AssertionError(f"{name} failed")


@contextmanager
def worker(tree: Path, sandbox: str, warm: bool) -> Iterator[Worker]:
    """Start the client that is in ``tree``."""
    env = {**os.environ, "PYTHONPATH": f"{tree}:{tree / 'providers' / 'docker'}", "SANDBOXKIT_WARM": str(int(warm))}
    command = [sys.executable, "-P", "-c", _WORKER, sandbox, json.dumps(DOING)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, **pipes, text=True, env=env) as process:  # type: ignore[call-overload]
        place = process.stdout.readline().strip()
        if Path(place).parents[1] != tree:
            raise AssertionError(f"{tree} was to be measured, not {place}")
        yield Worker(place, process.stdin, process.stdout)
        process.stdin.close()


@contextmanager
def revision(name: str) -> Iterator[Path]:
    """Give a folder with the files of a revision, or the one that is named."""
    if Path(name).is_dir():
        yield Path(name).resolve()
        return
    packed = subprocess.run(["git", "archive", name], cwd=ROOT, check=True, capture_output=True).stdout
    with tempfile.TemporaryDirectory(prefix="sandboxkit-benchmark-") as folder:
        with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            archive.extractall(folder, filter="data")
        yield Path(folder).resolve()


def run(name: str, rounds: int, image: str = IMAGE, *, warm: bool = False) -> list[Row]:
    """Measure both."""
    with sandboxkit.connect("docker", image=image) as client, client.create() as box, revision(name) as tree:
        box.files.write("/tmp/large", os.urandom(10_000_000))
        box.files.write("/tmp/small", b"")
        with worker(ROOT, box.id, warm) as now, worker(tree, box.id, warm) as then:
            cases = [
                Case(
                    name=doing,
                    ours=lambda doing=doing: now.do(doing),  # type: ignore[misc]
                    least=lambda doing=doing: then.do(doing),  # type: ignore[misc]
                    target=NO_SLOWER,
                )
                for doing in DOING
            ]
            return measure(f"docker, {'warm' if warm else 'cold'}, over before", cases, rounds)


def main() -> int:
    """Measure and print JSON."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.before", description=__doc__)
    parser.add_argument("revision", help="what git calls it, or a folder")
    parser.add_argument("--warm", action="store_true", help="over kept channels")
    parser.add_argument("--rounds", type=int, default=101, help="pairs of each operation (default: %(default)s)")
    parser.add_argument("--image", default=IMAGE, help="(default: %(default)s)")
    given = parser.parse_args()
    if given.rounds < 1:
        parser.error("--rounds must be at least 1")
    rows = run(given.revision, given.rounds, given.image, warm=given.warm)
    said = {
        "machine": report.machine(),
        "rounds": given.rounds,
        "revision": given.revision,
        "operations": [{**attrs.asdict(row), "reached": row.reached} for row in rows],
    }
    print(json.dumps(said, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
