"""``sandboxkit cp``, as a process of its own."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import sandboxkit
from sandboxkit import plugins
from sandboxkit.cli.copying import remote

COMMAND = [sys.executable, "-W", "error", "-m", "sandboxkit.cli", "cp", "-p", "local"]


@pytest.fixture(scope="module")
def box() -> Iterator[sandboxkit.Sandbox]:
    if not plugins.probe("local").works:
        pytest.skip("provider 'local' does not work here")
    with sandboxkit.connect("local") as client, client.create(ttl=300) as made:
        yield made


def cp(*words: str) -> tuple[int, str]:
    done = subprocess.run([*COMMAND, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    assert done.stdout == ""
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("sk-1:/a/b", ("sk-1", "/a/b")),
        ("sk-1:", ("sk-1", ".")),
        ("sk-1:a:b", ("sk-1", "a:b")),
        ("./a:b", None),
        ("/a:b", None),
        ("a/b:c", None),
        (".a:b", None),
        ("a", None),
        (":a", None),
    ],
)
def test_a_sandboxs_path_is_told_from_one_of_this_machine(text: str, found: tuple[str, str] | None) -> None:
    assert remote(text) == found


def test_a_directory_goes_there_and_back(box: sandboxkit.Sandbox, tmp_path: Path) -> None:
    (tmp_path / "d" / "sub").mkdir(parents=True)
    (tmp_path / "d" / "sub" / "f").write_text("f")
    os.mkfifo(tmp_path / "d" / "fifo")
    said = "sandboxkit: left out, neither file nor directory: 'fifo'\n"
    for _ in range(2):
        assert cp(f"{tmp_path}/d", f"{box.id}:there") == (0, said)
        assert cp(f"{box.id}:there", f"{tmp_path}/back") == (0, "")
    assert [path.name for path in (tmp_path / "back").rglob("*")] == ["sub", "f"]


def test_a_file_keeps_its_name_in_a_directory(box: sandboxkit.Sandbox, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("f")
    assert cp(f"{tmp_path}/f", f"{box.id}:named/g") == (0, "")
    assert cp(f"{tmp_path}/f", f"{box.id}:named") == (0, "")
    assert cp(f"{tmp_path}/f", f"{box.id}:new/") == (0, "")
    assert [info.path for info in box.files.list("named")] == ["named/f", "named/g"]
    assert box.files.read("new/f") == b"f"
    assert cp(f"{box.id}:named/g", str(tmp_path)) == (0, "")
    assert cp(f"{box.id}:named/g", f"{tmp_path}/new/") == (0, "")
    assert cp(f"{box.id}:named/g", f"{tmp_path}/h") == (0, "")
    assert (tmp_path / "g").read_text() == (tmp_path / "new" / "g").read_text() == (tmp_path / "h").read_text() == "f"


def test_what_is_wrong_is_told_in_one_line(box: sandboxkit.Sandbox, tmp_path: Path) -> None:
    code, said = cp(f"{tmp_path}/missing", f"{box.id}:x")
    assert (code, said.count("\n")) == (125, 1)
    assert f"'{tmp_path}/missing' on this machine: No such file" in said
    code, said = cp(f"{box.id}:missing", f"{tmp_path}/x")
    assert (code, "no such file" in said) == (125, True)
    for pair in (("a", "b"), (f"{box.id}:a", f"{box.id}:b")):
        code, said = cp(*pair)
        assert (code, "ID:PATH" in said) == (125, True)
    code, said = cp(f"{tmp_path}", "sk-000000000000:x")
    assert (code, "sk-000000000000" in said) == (125, True)


def test_a_terminal_gets_a_bar(box: sandboxkit.Sandbox, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"x" * 9_000_000)
    ours, theirs = pty.openpty()
    env = {**os.environ, "TERM": "xterm"}
    process = subprocess.Popen(
        [*COMMAND, f"{tmp_path}/large", f"{box.id}:large"], stdin=subprocess.DEVNULL, stderr=theirs, env=env
    )
    os.close(theirs)
    seen = b""
    while True:
        try:
            data = os.read(ours, 65536)
        except OSError:
            break
        seen += data
    os.close(ours)
    assert process.wait(30) == 0
    assert b"9.0/9.0 MB" in seen
    assert box.files.stat("large").size == 9_000_000
