"""The question whether a program can be run, asked of the shells found here."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from sandboxkit.commandcheck import answer, no_program, question
from tests.support.hostshell import shells


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Two directories for ``$PATH``; only the second one's programs can be run."""
    for directory, mode in (("first", 0o644), ("se*cond", 0o755)):
        (tmp_path / directory).mkdir()
        for name in ("there", "two words"):
            (tmp_path / directory / name).touch(mode)
    (tmp_path / "se*cond" / "folder").mkdir()
    (tmp_path / "se-cond").mkdir()
    (tmp_path / "se-cond" / "astray").touch(0o755)
    (tmp_path / "first" / "dead").touch(0o644)
    return tmp_path


@pytest.mark.parametrize("shell", [argv for _, argv in shells()], ids=[name for name, _ in shells()])
@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("there", True),
        ("two words", True),
        ("{}/se*cond/there", True),
        ("th*re", False),
        ("folder", False),
        ("dead", False),
        ("astray", False),
        ("missing", False),
        ("{}/first/there", False),
        ("{}/se*cond", False),
    ],
)
def test_a_program_is_found_as_exec_would_find_it(
    shell: tuple[str, ...], place: Path, program: str, expected: bool
) -> None:
    argv = (*shell, *question(program.replace("{}", str(place)))[1:])
    done = subprocess.run(argv, env={"PATH": f"{place}/first:{place}/se*cond"}, capture_output=True, check=False)
    assert (answer(done.stdout), done.stderr) == (expected, b"")


@pytest.mark.parametrize("said", [None, b"", b"ye", b"something else\n"])
def test_who_was_cut_short_has_not_answered(said: bytes | None) -> None:
    assert answer(said) is None


def test_the_error_names_the_program() -> None:
    assert "'make it so'" in str(no_program("make it so"))
