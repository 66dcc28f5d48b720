"""``python -m tests.benchmarks.page``: measure what there is to say about speed, and write ``docs/performance.md``.

Each measurement is a process of its own, one after the other. The plot beside the page needs matplotlib, which is in
the dependency group ``plot``; ``./dev page`` installs it. With ``--from FOLDER`` figures that were kept with
``--keep FOLDER`` are written once more, and nothing is measured.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.benchmarks import plot, prose

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "performance.md"


def measurements(rounds: int, seconds: float, before: str | None) -> dict[str, list[str]]:
    """Give the arguments of each."""
    found = {
        "operations": ["tests.benchmarks", "--provider=all", f"--rounds={rounds}"],
        "callers": ["tests.benchmarks.callers", f"--rounds={max(1, rounds // 3)}"],
        "eciwarm": ["tests.benchmarks.eciwarm", f"--rounds={rounds}", f"--seconds={seconds}"],
    }
    if before is not None:
        found["before"] = ["tests.benchmarks.before", before, f"--rounds={5 * rounds}"]
    return found


def measure(name: str, words: list[str], folder: Path) -> None:
    """Run one, and put its figures into the folder."""
    print(f"== {name}", file=sys.stderr)
    target = folder / f"{name}.json"
    if name == "operations":
        words = [*words, f"--json={target}"]
    done = subprocess.run(
        [sys.executable, "-m", *words], cwd=ROOT, check=True, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL
    )
    if name != "operations":
        target.write_bytes(done.stdout)


def main() -> int:
    """Measure and write."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.page", description=__doc__)
    parser.add_argument("--rounds", type=int, default=21, help="pairs of each operation (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each fleet (default: %(default)s)")
    parser.add_argument("--before", metavar="REVISION", help="what the path without kept channels is held against")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep the figures there")
    parser.add_argument("--from", dest="given", type=Path, metavar="FOLDER", help="write what was kept there")
    parser.add_argument("--page", type=Path, default=PAGE, help="the page; the plot is written beside it")
    parser.add_argument("--no-plot", action="store_true", help="leave the plot as it is")
    given = parser.parse_args()
    if given.rounds < 1 or given.seconds <= 0:
        parser.error("--rounds and --seconds must be positive")
    if not given.no_plot:
        plot.load()  # rather now than after all has been measured
    with tempfile.TemporaryDirectory(prefix="sandboxkit-benchmark-") as scratch:
        folder = given.given or given.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        wanted = measurements(given.rounds, given.seconds, given.before)
        if given.given is None:
            for name, words in wanted.items():
                measure(name, words, folder)
        found: dict[str, Any] = {each.stem: json.loads(each.read_text()) for each in sorted(folder.glob("*.json"))}
    given.page.write_text(prose.page(found))
    if not given.no_plot:
        plot.draw(found, given.page.with_suffix(".svg"))
    print(given.page, file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
