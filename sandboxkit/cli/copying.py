"""``cp``: files and directories to a sandbox or from one, with a bar where somebody watches."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import click

from sandboxkit import SandboxError, TransferProgress, TransferResult, connect_async
from sandboxkit.cli.entry import fail, say
from sandboxkit.cli.interruption import Interruption
from sandboxkit.cli.options import connect_options
from sandboxkit.sandbox import AsyncSandbox

_REMOTE = re.compile(r"([^/:.][^/:]*):(.*)\Z", re.DOTALL)
_SHOWN = 10
"""Names of each kind that are told; the rest is counted."""

Listener = Callable[[TransferProgress], object]


def remote(text: str) -> tuple[str, str] | None:
    """Read ``ID:PATH``, ``None`` for a path of this machine: one with a slash or a dot before any colon."""
    match = _REMOTE.match(text)
    return (match[1], match[2] or ".") if match else None


def copy(given: Mapping[str, Any]) -> int:
    """Copy one thing."""
    source, target = remote(given["source"]), remote(given["target"])
    if (source is None) == (target is None):
        raise click.UsageError("one of SRC and DST must be a sandbox's, written ID:PATH, and the other a local path")

    async def work(interruption: Interruption) -> int:
        async with connect_async(given["provider"], **connect_options(given["connect"])) as client:
            box = await client.get((source or target or ("", ""))[0])
            with _progress() as listener:
                if target is not None:
                    result = await _upload(box, given["source"], target[1], listener)
                else:
                    assert source is not None
                    result = await _download(box, source[1], given["target"], listener)
        _tell(result)
        return 0

    try:
        return Interruption().run(work)
    except SandboxError:
        raise
    except OSError as exc:
        return fail(f"{exc.filename!r} on this machine: {exc.strerror}" if exc.filename else str(exc))


async def _upload(box: AsyncSandbox, local: str, path: str, listener: Listener | None) -> TransferResult:
    if _is_local_file(local) and (path.endswith("/") or await _is_directory(box, path)):
        path = str(PurePosixPath(path) / _local_name(local))
    return await box.files.upload(local, path, progress=listener)


async def _download(box: AsyncSandbox, path: str, local: str, listener: Listener | None) -> TransferResult:
    if _is_local_directory(local) and not await _is_directory(box, path):
        local = f"{local.rstrip('/')}/{PurePosixPath(path).name}"
    return await box.files.download(path, local, progress=listener)


def _is_local_file(path: str) -> bool:
    return Path(path).is_file()


def _local_name(path: str) -> str:
    return Path(path).absolute().name


def _is_local_directory(path: str) -> bool:
    return path.endswith("/") or Path(path).is_dir()


async def _is_directory(box: AsyncSandbox, path: str) -> bool:
    return await box.files.exists(path) and (await box.files.stat(path)).type == "directory"


def _tell(result: TransferResult) -> None:
    for names, what in (
        (result.skipped, "left out, neither file nor directory"),
        (result.changed, "changed meanwhile"),
    ):
        for name in names[:_SHOWN]:
            say(f"{what}: {name!r}")
        if len(names) > _SHOWN:
            say(f"{what}: {len(names) - _SHOWN} more")


@contextlib.contextmanager
def _progress() -> Iterator[Listener | None]:
    """Show a bar on stderr if that is a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)

        def listener(progress: TransferProgress) -> None:
            name = progress.path.encode("utf-8", "replace").decode()
            shown = name if len(name) <= 40 else f"…{name[-39:]}"
            plain = "".join(c if c.isprintable() else "?" for c in shown)
            bar.update(task, completed=progress.bytes, total=progress.total, description=plain)

        yield listener
