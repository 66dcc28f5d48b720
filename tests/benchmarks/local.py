"""local, against ``nsenter`` into the same sandbox."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path
from typing import IO

import sandboxkit
from tests.benchmarks.common import Minimal, Targets, command_cases, file_cases, poll_case
from tests.benchmarks.pairs import Case, Row, measure
from tests.benchmarks.rawdocker import WRITE
from tests.benchmarks.transfers import Mover, few, output_case, transfer_cases

NAMESPACES = ["--user", "--mount", "--pid", "--net", "--ipc", "--uts"]


def run(rounds: int) -> list[Row]:
    """Measure everything on this host, in turns."""
    with sandboxkit.connect("local") as client, client.create() as box:
        # An ordinary user's sandbox maps one id; entering must not ask for more.
        keep = [] if os.geteuid() == 0 else ["--preserve-credentials"]
        enter = ["nsenter", "--target", str(_pid(client, box)), *NAMESPACES, *keep]
        minimal = _nsenter(enter)
        targets = Targets(true=1.0, true_timeout=1.5)
        ours: list[sandboxkit.Sandbox] = []
        lifecycle = [
            Case(name="create", ours=lambda: ours.append(client.create()), target_ms=60.0),
            Case(name="delete", ours=lambda: ours.pop().delete()),
        ]
        try:
            operations = [*command_cases(box, minimal, targets), *file_cases(box, minimal, targets)]
            cases = [*lifecycle, *operations, poll_case(box, minimal, targets)]
            rows = measure("local", cases, rounds)
            with tempfile.TemporaryDirectory(prefix="sandboxkit-benchmark-") as scratch:
                large = transfer_cases(box, _mover(enter), Path(scratch), tree=None, file=None)
                return [*rows, *measure("local", [*large, output_case(box, minimal, target=None)], few(rounds))]
        finally:
            for sandbox in ours:
                sandbox.delete()


def _pid(client: sandboxkit.Client, box: sandboxkit.Sandbox) -> int:
    """Give the pid of the sandbox's PID 1, which only the provider knows."""
    pid: int = client._async.provider.state.status(box.id)[1]  # type: ignore[attr-defined]
    return pid


def _mover(enter: list[str]) -> Mover:
    """Two tars and a pipe, and ``cat``, whose files the kernel opens itself."""
    env = {"PATH": "/usr/local/bin:/usr/bin:/bin"}

    def run(text: str, path: str, stdin: IO[bytes] | None, stdout: IO[bytes] | None) -> None:
        subprocess.run([*enter, "sh", "-c", text, "sh", path], stdin=stdin, stdout=stdout, env=env, check=True)

    def put_tree(local: Path, path: str) -> None:
        with subprocess.Popen(["tar", "-cC", local, "."], stdout=subprocess.PIPE) as tar:
            run('mkdir "$1.new" && tar -xC "$1.new" && mv "$1.new" "$1"', path, tar.stdout, None)

    def get_tree(path: str, local: Path) -> None:
        local.mkdir()
        with subprocess.Popen(["tar", "-xC", local], stdin=subprocess.PIPE) as tar:
            run('tar -cC "$1" .', path, None, tar.stdin)

    def put_file(local: Path, path: str) -> None:
        with local.open("rb") as file:
            run('cat >"$1.new" && mv "$1.new" "$1"', path, file, None)

    def get_file(path: str, local: Path) -> None:
        with local.with_suffix(".new").open("wb") as file:
            run('cat "$1"', path, None, file)
        local.with_suffix(".new").rename(local)

    return Mover(put_tree=put_tree, get_tree=get_tree, put_file=put_file, get_file=get_file)


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
