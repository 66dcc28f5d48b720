"""What needs processes of its own: the time of an import, and the memory that output takes."""

from __future__ import annotations

import json
import subprocess
import sys

import attrs

from tests.benchmarks.pairs import Case, Row, measure

BUDGET_MIB = 8
MEMORY_TARGET_MIB = BUDGET_MIB + 32


@attrs.frozen(kw_only=True)
class Memory:
    """By how much the client's peak memory grows while a command writes ``output_mb``."""

    provider: str
    output_mb: int
    growth_mib: float
    target_mib: float = MEMORY_TARGET_MIB

    @property
    def reached(self) -> bool:
        """Whether the growth is within the budget and 32 MiB."""
        return self.growth_mib <= self.target_mib


def imports(rounds: int) -> list[Row]:
    """Measure ``import sandboxkit`` against importing what it cannot do without."""

    def python(code: str) -> None:
        subprocess.run([sys.executable, "-c", code], check=True)

    pair = Case(
        name="import, over attrs and pluggy",
        ours=lambda: python("import attrs, pluggy, sandboxkit"),
        least=lambda: python("import attrs, pluggy"),
    )
    (row,) = measure("-", [pair], rounds)
    assert row.least_ms is not None
    # The target is about the difference, so it is held against the other side's time and 50 ms.
    return [attrs.evolve(row, target_ms=row.least_ms + 50.0)]


_MEMORY = """if True:
    import json, re, sys
    import sandboxkit

    def peak():
        # Not getrusage: its maximum counts what the parent had when it forked.
        with open("/proc/self/status") as file:
            return int(re.search("VmHWM:\\s*([0-9]+)", file.read())[1]) / 1024

    provider, image, size = sys.argv[1], sys.argv[2], int(sys.argv[3])
    with sandboxkit.connect(provider, **({"image": image} if image else {})) as client, client.create() as box:
        box.exec(["true"])
        before = peak()
        result = box.exec("head -c %d /dev/zero | tr '\\\\0' x" % size)
        after = peak()
        kept = len(result.stdout)
        assert result.exit_code == 0 and kept + result.stdout_dropped == size, "output was lost"
        assert after > before, "nothing was measured"
        assert result.stdout == b"x" * kept and kept == min(size, 8 << 20), "output was changed"
    print(json.dumps(after - before))
"""


def memory(provider: str, image: str = "") -> list[Memory]:
    """Measure 10 and 100 MB of output with the default budget."""
    found = []
    for megabytes in (10, 100):
        done = subprocess.run(
            [sys.executable, "-c", _MEMORY, provider, image, str(megabytes * 10**6)],
            check=True,
            capture_output=True,
        )
        found.append(Memory(provider=provider, output_mb=megabytes, growth_mib=json.loads(done.stdout)))
    return found
