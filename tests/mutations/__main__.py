"""Plants each bug in a test run of its own and tells whether the tests of its promise saw it.

``python -m tests.mutations [NAME…] [--jobs N]``; a NAME is a mutation's or a promise's id.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import attrs

import sandboxkit
from sandboxkit import plugins
from tests.mutations.planting import VARIABLE, Mutation, load

ROOT = Path(__file__).resolve().parent.parent.parent
SITE = Path(__file__).resolve().parent / "site"
STUCK = 40
"""Seconds after which a run prints where it stands."""

LIMIT = 120
"""Seconds that one run may take; a test has 60."""

# Errors of the plant rather than of what it broke.
BROKEN_PLANT = re.compile(r"(Import|ModuleNotFound|Attribute|Name|Syntax|Type)Error\b|SANDBOXKIT_REQUIRE")


@attrs.frozen
class Verdict:
    """Whether a mutation was seen, and by which test, or what came instead."""

    mutation: Mutation
    seen: bool
    text: str
    seconds: float


def try_one(mutation: Mutation) -> Verdict:
    """Run the tests that must see a mutation."""
    contract = f"tests/contract/test_{mutation.provider}.py::Test{mutation.provider.title()}"
    names = [test if "::" in test else f"{contract}::{test}[{mutation.world}]" for test in mutation.tests]
    flags = (
        "-q",
        "-x",
        "-rfE",
        "--tb=line",
        "-o",
        "timeout=60",
        "-o",
        f"faulthandler_timeout={STUCK}",
        "-p",
        "tests.mutations.planted",
    )
    command = (sys.executable, "-m", "pytest", *flags, *names)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="sandboxkit-mutation-") as scratch:
        state = f"{scratch}/state"
        env = {
            # With CI set pytest explains a failed comparison of large values at any length, which takes minutes.
            **{name: value for name, value in os.environ.items() if name not in ("CI", "BUILD_NUMBER")},
            VARIABLE: mutation.name,
            "SANDBOXKIT_REQUIRE": mutation.provider,
            "SANDBOXKIT_WARM": "1" if mutation.warm else "0",
            "PYTHONPATH": os.pathsep.join((str(SITE), str(ROOT))),
            "TMPDIR": scratch,
            "SANDBOXKIT_LOCAL_STATE": state,
            "COLUMNS": "300",  # what pytest cuts its reasons to
            "PYTEST_ADDOPTS": "-p no:cacheprovider",
        }
        try:
            done = subprocess.run(
                command, cwd=ROOT, env=env, text=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=LIMIT
            )
        except subprocess.TimeoutExpired as exc:
            words = (exc.stderr or b"").decode("utf-8", "replace")[-4000:]
            return Verdict(mutation, False, f"did not end within {LIMIT} s: {words}", time.monotonic() - began)
        finally:
            _sweep(state)
    return Verdict(mutation, *_judge(done), time.monotonic() - began)


def _sweep(state: str) -> None:
    """Delete the sandboxes that a planted bug left behind."""
    with sandboxkit.connect("local", state_dir=state) as client:
        for info in client.list():
            client.delete(info.id)


def _judge(done: subprocess.CompletedProcess[str]) -> tuple[bool, str]:
    failed = [line for line in done.stdout.splitlines() if line.startswith("FAILED ")]
    if "sitecustomize" in done.stderr or (failed and BROKEN_PLANT.search(failed[0])):
        return False, f"could not be planted: {done.stderr[-800:]}{failed}"
    if done.returncode == 1 and failed:
        node, _, reason = failed[0].removeprefix("FAILED ").partition(" - ")
        return True, f"{node.rpartition('::')[2]}: {reason[:120]}"
    if done.returncode == 0:
        return False, "SURVIVED: the tests passed"
    return False, f"pytest ended with {done.returncode}: {done.stdout[-800:]}{done.stderr[-4000:]}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutations", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="mutations or promise ids (all of them)")
    parser.add_argument("--jobs", type=int, default=2, help="how many at once (2)")
    options = parser.parse_args()
    answer = plugins.probe("local")
    if not answer.works:
        print(f"the mutations need the provider local: {answer.reason}", file=sys.stderr)
        return 69
    chosen = [m for m in load().values() if not options.names or {m.name, m.promise} & set(options.names)]
    if not chosen:
        print(f"no such mutation: {' '.join(options.names)}", file=sys.stderr)
        return 64
    began = time.monotonic()
    with ThreadPoolExecutor(options.jobs) as pool:
        missed = []
        for verdict in pool.map(try_one, chosen):
            word = "seen  " if verdict.seen else "MISSED"
            mutation = verdict.mutation
            line = f"{word} {mutation.promise:3} {mutation.name} ({verdict.seconds:.0f} s): {verdict.text}"
            print(line, flush=True)
            if not verdict.seen:
                missed.append(line)
    # Once more where the end of a long output is all that is read.
    print(*missed, sep="\n", end="\n" if missed else "")
    print(f"{len(chosen) - len(missed)} of {len(chosen)} planted bugs were seen, {time.monotonic() - began:.0f} s")
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
