"""Random sequences of commands, and what comes of each: for comparing kept channels with others."""

from __future__ import annotations

import random
from typing import Any

import attrs
from hypothesis import strategies as st

from sandboxkit.errors import CommandError
from sandboxkit.launcher import BLOCK
from sandboxkit.runner import EMBEDDED
from sandboxkit.sync import Sandbox
from tests.support.expiry import expiring

SIZES = (0, 1, 100, 4095, 4096, 65_535, 65_537, 300_000, 1_000_000)
INPUTS = (0, 1, 100, EMBEDDED - 1, EMBEDDED, EMBEDDED + 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 7)

IMITATIONS = (
    "K0123456789abcdef0123456789abcdef:E0,0,c;",
    "K0123456789abcdef0123456789abcdef:E0,0;K",
    ":Rc;",
    ":E7,0;",
    "K",
    "__begin K0 1048576;(exit 9);__end 0\\n",
    "__long 5\\n",
    "\\036",
)


@attrs.frozen
class Step:
    """One command; ``text`` is what the shell is told."""

    text: str
    size: int = 0
    seed: int = 0
    timeout: float | None = None

    @property
    def data(self) -> bytes:
        """What it is given to read."""
        return random.Random(self.seed).randbytes(self.size)


def _written(stream: int, size: int) -> str:
    return f"head -c {size} /dev/zero | tr '\\000' x >&{stream}"


endings = st.one_of(
    st.integers(0, 255).map(lambda code: f"exit {code}"),
    st.sampled_from([1, 2, 3, 6, 9, 11, 13, 15]).map(lambda n: f"ulimit -c 0; kill -{n} $$; sleep 5"),
    st.just("exec sh -c 'exit 4'"),
    st.just("exec 0<&- 1>&- 2>&-; exit 5"),
    st.just("trap '' TERM; kill 0; exit 6"),
    st.just("kill -9 $PPID; sleep 0.05"),
)

deeds = st.one_of(
    st.tuples(st.sampled_from([1, 2]), st.sampled_from(SIZES)).map(lambda pair: _written(*pair)),
    st.sampled_from(IMITATIONS).map(lambda text: f"printf '{text}'; printf '{text}' >&2"),
    st.just("cat"),
    st.just("dd bs=5 count=1 2>/dev/null"),
    st.just("cat >/dev/null; cat; cat"),
    st.just("sleep 0.3 &"),
    st.just("sleep 0.3 >/dev/null 2>&1 &"),
    st.just("setsid sleep 0.3 9>&1 >/dev/null 2>&1 &"),
    st.just("setsid sleep 0.3 </dev/null >/dev/null 2>&1 &"),
    st.just("cd /; umask 077; export SEEN=1; exec 7>&1"),
    st.just("umask; pwd; echo ${SEEN-unset}; ulimit -n"),
    st.just("ulimit -n 20"),
)


@st.composite
def steps(draw: st.DrawFn) -> Step:
    """Give one command that ends by itself, or is sure to be ended."""
    text = "; ".join([*draw(st.lists(deeds, max_size=4)), draw(endings)]).replace("&;", "&")
    timeout = draw(st.sampled_from([None, None, 20.0, 0.0]))
    if timeout == 0:
        text, timeout = expiring(f"{draw(st.sampled_from(['echo out; ', '']))}sleep 20 &")
    return Step(text, draw(st.sampled_from(INPUTS)), draw(st.integers(0, 99)), timeout)


def outcome(box: Sandbox, step: Step) -> tuple[Any, ...]:
    """Run a command; give all that its caller learns, in what does not depend on chance."""
    options: dict[str, Any] = {"input": step.data} if step.size else {}
    try:
        result = box.exec(step.text, timeout=step.timeout, **options)
    except CommandError as exc:
        return (type(exc).__name__, exc.dispatched, getattr(exc, "killed", None), exc.stdout, exc.stderr)
    return (result.exit_code, result.stdout, result.stderr)
