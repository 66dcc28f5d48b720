"""local, against ``nsenter`` into the same sandbox."""

from __future__ import annotations

import os
import subprocess

import sandboxkit
from tests.benchmarks.common import Minimal, Targets, command_cases, file_cases
from tests.benchmarks.pairs import Case, Row, measure
from tests.benchmarks.rawdocker import WRITE

NAMESPACES = ["--user", "--mount", "--pid", "--net", "--ipc", "--uts"]


def run(rounds: int) -> list[Row]:
    """Measure everything on this host, in turns."""
    with sandboxkit.connect("local") as client, client.create() as box:
        # An ordinary user's sandbox maps one id; entering must not ask for more.
        keep = [] if os.geteuid() == 0 else ["--preserve-credentials"]
        minimal = _nsenter(["nsenter", "--target", str(_pid(client, box)), *NAMESPACES, *keep])
        targets = Targets(true=1.0, true_timeout=1.5)
        ours: list[sandboxkit.Sandbox] = []
        lifecycle = [
            Case(name="create", ours=lambda: ours.append(client.create()), target_ms=60.0),
            Case(name="delete", ours=lambda: ours.pop().delete()),
        ]
        try:
            cases = [*lifecycle, *command_cases(box, minimal, targets), *file_cases(box, minimal, targets)]
            return measure("local", cases, rounds)
        finally:
            for sandbox in ours:
                sandbox.delete()


def _pid(client: sandboxkit.Client, box: sandboxkit.Sandbox) -> int:
    """Give the pid of the sandbox's PID 1, which only the provider knows."""
    pid: int = client._async.provider.state.status(box.id)[1]  # type: ignore[attr-defined]
    return pid


def _nsenter(enter: list[str]) -> Minimal:
    env = {"PATH": "/usr/local/bin:/usr/bin:/bin"}

    def run(argv: list[str], data: bytes = b"") -> tuple[int, bytes, bytes]:
        done = subprocess.run([*enter, *argv], input=data, capture_output=True, env=env)
        return done.returncode, done.stdout, done.stderr

    def write(path: str, data: bytes) -> None:
        code, _, stderr = run(["sh", "-c", WRITE, "sh", path, str(len(data))], data)
        if code:
            raise RuntimeError(f"write {path}: {stderr!r}")

    def read(path: str) -> bytes:
        code, data, stderr = run(["cat", path])
        if code:
            raise RuntimeError(f"read {path}: {stderr!r}")
        return data

    return Minimal(exec=run, write=write, read=read)
