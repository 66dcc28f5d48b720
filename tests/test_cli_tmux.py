"""``sandboxkit tmux``: sessions from the command line, each command in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest

import sandboxkit
from sandboxkit import plugins
from sandboxkit.sync import Sandbox


def cli(*words: str, input: bytes = b"") -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "sandboxkit.cli", "tmux", *words],
        input=input,
        capture_output=True,
        timeout=60,
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    answer = plugins.probe("local")
    if not answer.works:
        pytest.skip(f"local does not work here: {answer.reason}")
    with sandboxkit.connect("local") as client, client.create(ttl=120) as made:
        yield made


def test_a_session_from_start_to_kill(box: Sandbox) -> None:
    command = ("sh", "-c", 'printf "$A"; exit 3')
    assert cli("start", "-p", "local", "-n", "one", "--no-echo", "-e", "A=out", box.id, "--", *command) == (
        0,
        "one\n",
        "",
    )
    code, out, err = cli("wait", "-p", "local", "-t", "20", box.id, "one")
    assert (code, out, err) == (3, "out", "sandboxkit: completed, exit code 3, offset 3\n")
    assert cli("poll", "-p", "local", "--offset", "1", box.id, "one")[:2] == (0, "ut")
    code, out, _ = cli("poll", "-p", "local", "--json", box.id, "one")
    assert json.loads(out) == {
        "status": "completed",
        "exit_code": 3,
        "output": "out",
        "offset": 3,
        "truncated": False,
    }
    assert cli("ls", "-p", "local", box.id)[1].split("\t")[:3] == ["one", "completed", "3"]
    code, _, err = cli("start", "-p", "local", "-n", "one", box.id, "--", "true")
    assert (code, "already" in err) == (125, True)
    assert cli("kill", "-p", "local", box.id, "one") == (0, "", "")
    assert cli("ls", "-p", "local", "--json", box.id)[1] == "[]\n"
    code, _, err = cli("poll", "-p", "local", box.id, "one")
    assert (code, "no session 'one'" in err) == (125, True)


def test_typing_and_looking(box: Sandbox) -> None:
    if box.exec("command -v tmux").exit_code:
        pytest.skip("this host has no tmux")
    session = box.tmux.start("cat", name="two")
    assert cli("send", "-p", "local", box.id, "two", "typed", "-k", "Enter") == (0, "", "")
    while "typed\r\ntyped\r\n" not in session.poll().text:
        pass
    assert cli("send", "-p", "local", box.id, "two", "-", input=b"-piped\n") == (0, "", "")
    while "-piped\r\n-piped\r\n" not in session.poll().text:
        pass
    assert cli("capture", "-p", "local", box.id, "two")[1].split() == ["typed", "typed", "-piped", "-piped"]
    assert "attach-session -t two" in cli("attach", "-p", "local", box.id, "two")[1]
    code, _, err = cli("wait", "-p", "local", "-t", "0.2", box.id, "two")
    assert (code, err.split()[1]) == (124, "running,")
    code, _, err = cli("wait", "-p", "local", "-t", "0.2", "--kill", box.id, "two")
    assert code == 137
    session.kill()
