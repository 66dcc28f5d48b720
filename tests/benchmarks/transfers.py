"""Directories and large files, in both directions, and much output: what a transfer is measured by."""

from __future__ import annotations

import filecmp
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import attrs

from sandboxkit import Sandbox
from tests.benchmarks.common import FOLDER, Minimal, expect
from tests.benchmarks.pairs import Case

MB100 = 100_000_000
FILES = 2_000


def few(rounds: int) -> int:
    """Give how many rounds of what takes half a second are enough."""
    return max(1, rounds // 3)


@attrs.frozen(kw_only=True)
class Mover:
    """What the minimal client moves: trees from and to this machine, and files, which appear whole."""

    put_tree: Callable[[Path, str], object]
    get_tree: Callable[[str, Path], object]
    put_file: Callable[[Path, str], object]
    get_file: Callable[[str, Path], object]


def make_tree(directory: Path) -> Path:
    """Make 2,000 files of about 1 KB in 40 directories."""
    for number in range(FILES):
        place = directory / "tree" / f"directory-{number % 40}"
        place.mkdir(parents=True, exist_ok=True)
        (place / f"file-{number}.txt").write_bytes(os.urandom(500 + number % 1000))
    return directory / "tree"


def transfer_cases(
    box: Sandbox, mover: Mover, scratch: Path, *, tree: float | None, file: float | None
) -> list[Case]:
    """Trees and files to where nothing is yet; each is compared with its source, unmeasured."""
    source = make_tree(scratch)
    blob = scratch / "blob"
    blob.write_bytes(os.urandom(MB100))
    there, back = f"{FOLDER}/there", scratch / "back"
    box.files.upload(source, f"{FOLDER}/tree")
    box.files.upload(blob, f"{FOLDER}/blob")

    def sent(_: object) -> None:
        counted = box.exec(
            f"find {there} -type f | wc -l; cat $(find {there} -type f | sort) | cksum; rm -rf {there}"
        )
        wanted = box.exec(f"cat $(find {FOLDER}/tree -type f | sort) | cksum")
        if counted.text != f"{FILES}\n{wanted.text}":
            raise AssertionError("the directory did not arrive as it is")

    def received(_: object) -> None:
        names = [str(path.relative_to(source)) for path in source.rglob("*") if path.is_file()]
        same, _different, _missing = filecmp.cmpfiles(source, back, names, shallow=False)
        if len(same) != FILES:
            raise AssertionError("the directory did not arrive as it is")
        shutil.rmtree(back)

    def sent_file(_: object) -> None:
        if box.exec(["cmp", f"{FOLDER}/blob", there]).exit_code:
            raise AssertionError("the file did not arrive as it is")
        box.files.remove(there)

    def received_file(_: object) -> None:
        if not filecmp.cmp(blob, back, shallow=False):
            raise AssertionError("the file did not arrive as it is")
        back.unlink()

    return [
        Case(
            name="upload 2,000 files",
            ours=lambda: box.files.upload(source, there),
            least=lambda: mover.put_tree(source, there),
            check=sent,
            target=tree,
        ),
        Case(
            name="download 2,000 files",
            ours=lambda: box.files.download(f"{FOLDER}/tree", back),
            least=lambda: mover.get_tree(f"{FOLDER}/tree", back),
            check=received,
            target=tree,
        ),
        Case(
            name="upload 100 MB",
            ours=lambda: box.files.upload(blob, there),
            least=lambda: mover.put_file(blob, there),
            check=sent_file,
            target=file,
        ),
        Case(
            name="download 100 MB",
            ours=lambda: box.files.download(f"{FOLDER}/blob", back),
            least=lambda: mover.get_file(f"{FOLDER}/blob", back),
            check=received_file,
            target=file,
        ),
    ]


def output_case(box: Sandbox, minimal: Minimal, *, target: float | None) -> Case:
    """100 MB of output, kept whole."""
    source = f"{FOLDER}/output"
    made = box.exec(f"head -c {MB100} /dev/urandom >{source}; cat {source}", max_output=None)
    return Case(
        name="100 MB of output",
        ours=lambda: box.exec(["cat", source], max_output=None),
        least=lambda: minimal.exec(["cat", source]),
        check=expect((0, made.stdout, b"")),
        target=target,
    )
