"""Whether the command of a sandbox can be run, where a keep-alive starts it and the backend knows nothing of it."""

from __future__ import annotations

from sandboxkit.errors import InvalidSpec

PROGRAM = (
    'set -f;case $1 in */*)[ -f "$1" ]&&[ -x "$1" ];;*)IFS=:;for d in $PATH;do [ -f "$d/$1" ]&&[ -x "$d/$1" ]&&break;'
    "done;esac&&echo yes||echo no"
)


def question(program: str) -> tuple[str, ...]:
    """Give the argv that, run in the sandbox, says whether the command's ``program`` can be run there."""
    return ("/bin/sh", "-c", PROGRAM, "sandboxkit", program)


def answer(said: bytes | None) -> bool | None:
    """Read what it said; ``None`` when it did not come to say anything."""
    return {b"yes\n": True, b"no\n": False}.get(said or b"")


def no_program(program: str) -> InvalidSpec:
    """Give the error for a command whose program cannot be run."""
    return InvalidSpec(f"the image has no program {program!r} that could be run as the sandbox's command")
