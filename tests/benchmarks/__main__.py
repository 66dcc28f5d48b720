"""``python -m tests.benchmarks``: measure, print Markdown, and write files if asked to.

Times of a shared machine say little; compare the ratios. Nothing here fails for being slow, only for being wrong.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from sandboxkit import plugins
from tests.benchmarks import docker, local, processes, report


def main() -> int:
    """Measure the providers that work here."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--provider", choices=("local", "docker", "all"), default="all")
    parser.add_argument("--rounds", type=int, default=21, help="pairs of each operation (default: %(default)s)")
    parser.add_argument("--image", default=docker.IMAGE, help="docker's image (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables to FILE")
    given = parser.parse_args()
    if given.rounds < 1:
        parser.error("--rounds must be at least 1")

    wanted = ("local", "docker") if given.provider == "all" else (given.provider,)
    rows, memory = processes.imports(given.rounds), []
    for provider in wanted:
        probe = plugins.probe(provider)
        if not probe.works:
            print(f"{provider} is skipped: {probe.reason}", file=sys.stderr)
            if provider in os.environ.get("SANDBOXKIT_REQUIRE", ""):
                return 1
            continue
        print(f"measuring {provider}", file=sys.stderr)
        if provider == "docker":
            rows += docker.run(given.rounds, given.image)
            memory += processes.memory(provider, given.image)
        else:
            rows += local.run(given.rounds)
            memory += processes.memory(provider)

    text = report.to_markdown(rows, memory, rounds=given.rounds)
    print(text, end="")
    if given.markdown:
        given.markdown.write_text(text)
    if given.json:
        given.json.write_text(report.to_json(rows, memory, rounds=given.rounds))
    return 0


if __name__ == "__main__":
    sys.exit(main())
