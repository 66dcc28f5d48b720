"""What a client holds: threads, tasks, descriptors, child processes, temporary files."""

from __future__ import annotations

import asyncio
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs


@contextmanager
def own_temporary_directory() -> Iterator[None]:
    """Give this process a directory for temporary files that no other process uses."""
    with tempfile.TemporaryDirectory(prefix="sandboxkit-contract-") as directory:
        before, tempfile.tempdir = tempfile.tempdir, directory
        try:
            yield
        finally:
            tempfile.tempdir = before


@attrs.frozen
class Footprint:
    """A count of each; those that this system cannot tell are 0."""

    threads: int
    tasks: int
    descriptors: int
    children: int
    temporary: int

    @classmethod
    def now(cls) -> Footprint:
        """Count."""
        try:
            tasks = len(asyncio.all_tasks())
        except RuntimeError:
            tasks = 0
        return cls(
            threads=len([t for t in threading.enumerate() if not _pooled(t)]),
            tasks=tasks,
            descriptors=_entries("/proc/self/fd"),
            children=sum(len(path.read_text().split()) for path in Path("/proc/self/task").glob("*/children")),
            temporary=_entries(tempfile.gettempdir()),
        )

    def grown_beyond(self, before: Footprint) -> list[str]:
        """Name what there is more of than before."""
        return [
            f"{name}: {old} -> {new}"
            for name, old in attrs.asdict(before).items()
            if (new := getattr(self, name)) > old
        ]


def _pooled(thread: threading.Thread) -> bool:
    # Bounded pools fill up as needed and are let go of with their client.
    return thread.name.startswith(("sandboxkit-call", "sandboxkit-urgent"))


def _entries(directory: str) -> int:
    try:
        return len(list(Path(directory).iterdir()))
    except OSError:
        return 0
