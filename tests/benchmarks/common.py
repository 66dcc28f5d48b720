"""The operations of one sandbox that both providers are measured by."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import attrs

from sandboxkit import Result, Sandbox, TmuxPoll, TmuxStatus
from tests.benchmarks.pairs import Case

KB = 1_000
MB10 = 10_000_000
FOLDER = "/tmp"


@attrs.frozen(kw_only=True)
class Minimal:
    """What the minimal client does in the same sandbox."""

    exec: Callable[[list[str]], tuple[int, bytes, bytes]]
    write: Callable[[str, bytes], None]
    read: Callable[[str], bytes]


@attrs.frozen(kw_only=True)
class Targets:
    """What the ratios should not exceed, and some of our times in milliseconds."""

    true: float | None = None
    true_ms: float | None = None
    true_timeout: float | None = None
    output: float | None = None
    files: float | None = None
    small_ms: float | None = None
    """Of a file of 1 KB."""
    poll: float | None = None
    poll_ms: float | None = None


def expect(wanted: Any) -> Callable[[Any], None]:
    """Make a check for exactly this result; a command's is its exit code and both streams."""

    def check(found: Any) -> None:
        if isinstance(found, Result):
            found = (found.exit_code, found.stdout, found.stderr)
        if found != wanted:
            raise AssertionError("the operation that was measured did not do what it should")

    return check


def command_cases(box: Sandbox, minimal: Minimal, targets: Targets) -> list[Case]:
    """``true``, with and without a timeout, and 10 MB of output, compared with the file that they come from."""
    blob = os.urandom(MB10)
    source = f"{FOLDER}/source"
    box.files.write(source, blob)
    return [
        Case(
            name="run true",
            ours=lambda: box.exec(["true"]),
            least=lambda: minimal.exec(["true"]),
            check=expect((0, b"", b"")),
            target=targets.true,
            target_ms=targets.true_ms,
        ),
        Case(
            name="run true, timeout",
            ours=lambda: box.exec(["true"], timeout=60),
            least=lambda: minimal.exec(["true"]),
            check=expect((0, b"", b"")),
            target=targets.true_timeout,
        ),
        Case(
            name="10 MB of output",
            ours=lambda: box.exec(["cat", source], max_output=None),
            least=lambda: minimal.exec(["cat", source]),
            check=expect((0, blob, b"")),
            target=targets.output,
        ),
    ]


def file_cases(box: Sandbox, minimal: Minimal, targets: Targets) -> list[Case]:
    """Atomic writes and reads; each write is new content, which the other client reads back unmeasured."""
    return [
        case
        for name, size, limit in (("1 KB", KB, targets.small_ms), ("10 MB", MB10, None))
        for case in _files(box, minimal, targets.files, limit, name, size)
    ]


def _files(
    box: Sandbox, minimal: Minimal, ratio: float | None, limit: float | None, name: str, size: int
) -> list[Case]:
    target = f"{FOLDER}/target-{size}"
    source = f"{FOLDER}/source-{size}"
    content = [os.urandom(size)]
    known = os.urandom(size)
    box.files.write(source, known)

    def check(_: object) -> None:
        if box.files.read(target) != content[0]:
            raise AssertionError("the file does not hold what was written")
        content[0] = os.urandom(size)

    return [
        Case(
            name=f"write {name}",
            ours=lambda: box.files.write(target, content[0]),
            least=lambda: minimal.write(target, content[0]),
            check=check,
            target=ratio,
            target_ms=limit,
        ),
        Case(
            name=f"read {name}",
            ours=lambda: box.files.read(source),
            least=lambda: minimal.read(source),
            check=expect(known),
            target=ratio,
            target_ms=limit,
        ),
    ]


SOCKET = f"{FOLDER}/benchmark-tmux"
LOOK = f"tmux -S {SOCKET} has-session -t benchmark && tmux -S {SOCKET} capture-pane -p -t benchmark"
START = f'tmux -S {SOCKET} -f /dev/null new-session -d -s benchmark "$1"'
WORDS = "it runs"
RUNS = f"echo {WORDS}; exec sleep 100000"


def poll_case(box: Sandbox, minimal: Minimal, targets: Targets) -> Case:
    """A look at a tmux session that runs; the least is whether it is there, and its screen, in one command."""
    session = box.tmux.start(RUNS, name="benchmark", echo=False)
    code, _, stderr = minimal.exec(["sh", "-c", START, "sh", RUNS])
    if code:
        raise AssertionError(f"tmux did not start: {stderr!r}")
    session.wait(0.5)

    def check(found: TmuxPoll | tuple[int, bytes, bytes]) -> None:
        if isinstance(found, TmuxPoll):
            right = (found.status, found.output) == (TmuxStatus.RUNNING, f"{WORDS}\n".encode())
        else:
            right = found[0] == 0 and found[1].startswith(WORDS.encode())
        if not right:
            raise AssertionError("the session is not what it should be")

    return Case(
        name="tmux poll",
        ours=session.poll,
        least=lambda: minimal.exec(["sh", "-c", LOOK]),
        check=check,
        target=targets.poll,
        target_ms=targets.poll_ms,
    )
