"""The command line, as a process of its own: what a shell, a script or an impatient person sees of it."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import pytest

from sandboxkit import plugins

PATIENCE = 60.0
PYTHON = [sys.executable, "-W", "error"]
EVERY_BYTE = bytes(range(256))
SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
WHERE = {"local": [], "docker": ["--image", "sandboxkit-test:usual"]}


def sandboxkit(*words: str | bytes, input: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    command = [*PYTHON, "-m", "sandboxkit.cli", *words]
    if input is None:
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE)
    return subprocess.run(command, input=input, capture_output=True, timeout=PATIENCE)


def default_signals() -> None:
    # A test run in the background of a script has SIGINT ignored, and its children inherit that.
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)


@attrs.define
class Cli:
    """The command line with one provider; ``run`` marks its sandboxes, so that what it left is found."""

    provider: str
    label: str

    def run(self, *words: str | bytes, input: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
        return sandboxkit(*self.arguments(*words), input=input)

    def arguments(self, *words: str | bytes) -> list[str | bytes]:
        return ["run", "-p", self.provider, "-l", self.label, *WHERE[self.provider], *words]

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [*PYTHON, "-m", "sandboxkit.cli", *self.arguments(*words)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            preexec_fn=default_signals,
        )

    def there(self) -> list[str]:
        done = sandboxkit("list", "-p", self.provider, "-l", self.label, "-q")
        assert (done.returncode, done.stderr) == (0, b"")
        return done.stdout.decode().split()

    def delete(self, *ids: str) -> subprocess.CompletedProcess[bytes]:
        return sandboxkit("delete", "-p", self.provider, *ids)


@pytest.fixture(scope="module")
def installed() -> list[str]:
    """The providers that a process of its own finds; this one's path may hold more."""
    script = "import json; from sandboxkit import plugins; print(json.dumps(plugins.installed()))"
    found: list[str] = json.loads(subprocess.check_output([*PYTHON, "-c", script]))
    return found


@pytest.fixture(scope="module")
def reach() -> Callable[[str], str]:
    """Says why a provider does not work here, if so; asks each once."""
    answers: dict[str, str] = {}

    def ask(provider: str) -> str:
        if provider not in answers:
            found = plugins.probe(provider)
            answers[provider] = "" if found.works else found.reason
            if found.works:
                done = sandboxkit("run", "-p", provider, *WHERE[provider], "true")
                answers[provider] = done.stderr.decode()
        return answers[provider]

    return ask


@pytest.fixture(params=list(WHERE))
def cli(request: pytest.FixtureRequest, reach: Callable[[str], str]) -> Iterator[Cli]:
    provider = request.param
    if reason := reach(provider):
        if provider in os.environ.get("SANDBOXKIT_REQUIRE", ""):
            pytest.fail(f"{provider} does not work here: {reason}")
        pytest.skip(f"{provider} does not work here: {reason}")
    made = Cli(provider, f"test={os.urandom(6).hex()}")
    yield made
    left = made.there()
    made.delete(*left) if left else None
    assert left == []


def running(word: str) -> list[int]:
    """The processes of this host that have this word as an argument."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and word.encode() in (entry / "cmdline").read_bytes().split(b"\0"):
                found.append(int(entry.name))
    return found


# -- run: what goes in and comes out --------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [0, 1, 124, 125, 255])
def test_the_exit_code_is_the_commands(cli: Cli, code: int) -> None:
    assert cli.run("--", "sh", "-c", f"exit {code}").returncode == code


def test_a_missing_program_is_127_and_a_death_by_signal_128_and_more(cli: Cli) -> None:
    assert cli.run("--", "no-such-program").returncode == 127
    assert cli.run("--", "sh", "-c", "kill -9 $$").returncode == 137


def test_streams_stay_apart_and_exact(cli: Cli) -> None:
    script = "head -c 256; head -c 256 | tr '\\000-\\377' '\\001-\\377\\000' >&2; exit 3"
    done = cli.run("--", "sh", "-c", script, input=EVERY_BYTE * 2)
    assert done.stdout == EVERY_BYTE
    assert done.stderr == EVERY_BYTE[1:] + b"\0"
    assert done.returncode == 3


def test_megabytes_go_through_unchanged(cli: Cli) -> None:
    data = random.Random(7).randbytes(20_000_000)
    done = cli.run("cat", input=data)
    assert done.stdout == data
    assert (done.returncode, done.stderr) == (0, b"")


def test_input_and_output_flow_while_the_command_runs(cli: Cli) -> None:
    with cli.start("--", "cat") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for line in (b"one\n", b"two\n"):
            process.stdin.write(line)
            process.stdin.flush()
            assert process.stdout.readline() == line
        assert process.communicate(timeout=PATIENCE) == (b"", b"")
    assert process.returncode == 0


def test_input_comes_from_a_file(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "input").write_bytes(EVERY_BYTE * 1000)
    with (tmp_path / "input").open("rb") as file:
        done = subprocess.run(
            [*PYTHON, "-m", "sandboxkit.cli", *cli.arguments("cat")],
            stdin=file,
            capture_output=True,
            timeout=PATIENCE,
        )
    assert (done.returncode, done.stdout, done.stderr) == (0, EVERY_BYTE * 1000, b"")


def test_input_that_nobody_reads_holds_nothing_up(cli: Cli) -> None:
    assert cli.run("--", "true", input=bytes(5_000_000)).returncode == 0


def test_without_input_the_command_sees_the_end_of_it(cli: Cli) -> None:
    assert cli.run("--", "cat").stdout == b""
    with cli.start("--no-stdin", "--", "cat") as process:  # its stdin stays open
        assert process.wait(PATIENCE) == 0


def test_words_after_the_command_are_its_own(cli: Cli) -> None:
    assert cli.run("echo", "--timeout", "x", "--", "-e").stdout == b"--timeout x -- -e\n"


def test_an_argument_need_not_be_utf8(cli: Cli) -> None:
    assert cli.run("--", "printf", "%s", b"\xff\n'\xc3").stdout == b"\xff\n'\xc3"


def test_variables_and_a_directory_are_passed_on(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FROM_HERE", "b c")
    done = cli.run("-e", "A=x=y", "-e", "FROM_HERE", "-w", "/tmp", "--", "sh", "-c", 'echo "$A|$FROM_HERE|$PWD"')
    assert done.stdout == b"x=y|b c|/tmp\n"


def test_a_timeout_is_124_and_keeps_the_output_so_far(cli: Cli) -> None:
    for timeout in ("1", "8", "30"):
        done = cli.run("--timeout", timeout, "--", "sh", "-c", "echo early; echo too >&2; sleep 1000")
        assert done.returncode == 124
        *told, last = done.stderr.splitlines()
        assert last.startswith(b"sandboxkit: the command in sandbox ")
        if done.stdout or told:  # else a busy machine took all of its time
            break
    assert (done.stdout, told) == (b"early\n", [b"too"])


def test_a_closed_output_ends_it_quietly(cli: Cli) -> None:
    with cli.start("--", "yes") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"y\n"
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(PATIENCE) == 141


# -- signals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_the_tree_and_deletes_the_sandbox(cli: Cli, number: signal.Signals) -> None:
    seconds = f"{random.randrange(10**6, 10**7)}.5"
    script = f"trap '' HUP INT TERM; setsid sleep {seconds} & echo $!; exec sleep {seconds}"
    with cli.start("--", "sh", "-c", script) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().strip().isdigit()
        assert len(cli.there()) == 1
        if cli.provider == "local":
            assert running(seconds)
        process.send_signal(number)
        process.send_signal(number)
        assert process.wait(PATIENCE) == 128 + number
        assert b"Traceback" not in process.stderr.read()
    assert cli.there() == []
    assert running(seconds) == []


def test_a_signal_ends_a_command_whose_output_nobody_takes(cli: Cli) -> None:
    with cli.start("--", "yes") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"y\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 130


@pytest.mark.timeout(300)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_at_any_moment_leaves_nothing(cli: Cli, number: signal.Signals) -> None:
    began = time.monotonic()
    cli.run("--", "true")
    whole = time.monotonic() - began
    chance = random.Random(number)
    for _ in range(8):
        seconds = f"{chance.randrange(10**6, 10**7)}.25"
        with cli.start("--", "sh", "-c", f"setsid sleep {seconds} & sleep {seconds}") as process:
            time.sleep(chance.uniform(0.2, 1.1) * whole)
            process.send_signal(number)
            time.sleep(chance.uniform(0, 0.05))
            process.send_signal(number)
            # While Python itself still starts, it dies of the signal.
            assert process.wait(PATIENCE) in (128 + number, -number)
        assert cli.there() == []
        assert running(seconds) == []


# -- what is wrong ---------------------------------------------------------------------------------------------------


def one_line(done: subprocess.CompletedProcess[bytes]) -> str:
    """The message of a run that failed by itself."""
    assert (done.returncode, done.stdout) == (125, b"")
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith("sandboxkit: ")
    return line


def test_an_unknown_provider_is_told_with_what_is_installed_and_what_to_do(installed: list[str]) -> None:
    line = one_line(sandboxkit("run", "-p", "dokcer", "--", "true"))
    assert "'dokcer'" in line
    for name in installed:
        assert name in line
    assert "pip install" in line


@pytest.mark.parametrize(
    "words",
    [
        ("run", "--nonsense", "true"),
        ("run",),
        ("run", "-e", "NOT_SET_ANYWHERE", "true"),
        ("run", "-l", "label", "true"),
        ("run", "-m", "3 lots", "true"),
        ("exec", "sk-000000000000"),
        ("list", "-s", "odd"),
    ],
)
def test_wrong_usage_is_told_on_one_line_with_where_to_look(words: tuple[str, ...]) -> None:
    assert "--help" in one_line(sandboxkit(*words))


def test_what_cannot_be_is_told_on_one_line(cli: Cli) -> None:
    assert "timeout" in one_line(cli.run("--timeout", "-1", "true"))
    assert "ttl" in one_line(cli.run("--ttl", "0", "true"))
    assert "no_such_option" in one_line(cli.run("-o", "no_such_option=1", "true"))


def test_an_unknown_sandbox_is_told_on_one_line(cli: Cli) -> None:
    assert "sk-000000000000" in one_line(sandboxkit("exec", "-p", cli.provider, "sk-000000000000", "--", "true"))


@pytest.mark.parametrize("package", ["click", "rich"])
def test_a_missing_extra_is_told_with_the_line_that_adds_it(package: str) -> None:
    script = f"import sys; sys.modules[{package!r}] = None; from sandboxkit.cli import main; main()"
    leader, follower = pty.openpty()
    try:
        done = subprocess.run(
            [*PYTHON, "-c", script, "providers"], stdout=follower, stderr=subprocess.PIPE, timeout=PATIENCE
        )
    finally:
        os.close(follower)
        os.close(leader)
    assert done.returncode == 125
    assert done.stderr.decode().count("\n") == 1
    assert "pip install 'sandboxkit[cli]'" in done.stderr.decode()


# -- the other commands ----------------------------------------------------------------------------------------------


def test_a_kept_sandbox_is_found_used_and_deleted(cli: Cli) -> None:
    done = cli.run("--keep", "-e", "A=kept", "--", "sh", "-c", "echo left > /tmp/file")
    assert done.returncode == 0
    (found,) = cli.there()
    assert done.stderr.decode() == f"sandboxkit: keeping sandbox {found}\n"

    script = "cat /tmp/file; echo $A $B; exit 4"
    again = sandboxkit("exec", "-p", cli.provider, "-e", "B=new", found, "--", "sh", "-c", script)
    assert (again.returncode, again.stdout, again.stderr) == (4, b"left\nkept new\n", b"")

    (info,) = json.loads(sandboxkit("list", "-p", cli.provider, "-l", cli.label, "--json").stdout)
    assert (info["id"], info["status"], info["provider"]) == (found, "running", cli.provider)
    plain = sandboxkit("list", "-p", cli.provider, "-l", cli.label, "-s", "running").stdout.decode()
    assert plain.split("\t")[:2] == [found, "running"]
    assert sandboxkit("list", "-p", cli.provider, "-l", cli.label, "-s", "paused").stdout == b""
    assert found not in sandboxkit("gc", "-p", cli.provider, "--dry-run").stdout.decode()

    gone = cli.delete(found, found)
    assert (gone.returncode, gone.stdout.decode()) == (0, f"{found}\n")
    assert f"no sandbox {found!r}" in gone.stderr.decode()


def test_gc_deletes_what_is_expired(cli: Cli) -> None:
    cli.run("--keep", "--ttl", "1", "--", "true")
    owned: list[str] = []
    deadline = time.monotonic() + PATIENCE
    while not owned and time.monotonic() < deadline:
        found = cli.there()
        owned = [line for line in sandboxkit("gc", "-p", cli.provider).stdout.decode().split() if line in found]
        if not found:
            return  # the platform was faster
    assert owned
    assert cli.there() == []


def test_providers_are_listed_for_people_and_for_programs(installed: list[str]) -> None:
    done = sandboxkit("providers")
    assert (done.returncode, done.stderr) == (0, b"")
    assert [line.split("\t")[0] for line in done.stdout.decode().splitlines()] == installed

    found = json.loads(sandboxkit("providers", "--json", "--capabilities").stdout)
    assert [provider["name"] for provider in found] == installed
    for provider in found:
        assert provider["works"] == bool(provider["capabilities"])
        assert provider["works"] or provider["reason"]

    for provider in json.loads(sandboxkit("providers", "--json").stdout):
        assert "capabilities" not in provider  # nobody asked for them


def test_on_a_terminal_providers_are_a_table(installed: list[str]) -> None:
    leader, follower = pty.openpty()
    process = subprocess.Popen([*PYTHON, "-m", "sandboxkit.cli", "providers", "-c"], stdout=follower)
    os.close(follower)
    shown = b""
    with contextlib.suppress(OSError):  # EIO: the other end is closed
        while piece := os.read(leader, 4096):
            shown += piece
    os.close(leader)
    assert process.wait(PATIENCE) == 0
    assert "provider" in shown.decode()
    for name in installed:
        assert name in shown.decode()


def test_version_and_help() -> None:
    assert sandboxkit("--version").stdout.startswith(b"sandboxkit ")
    for words in ((), ("--help",), ("run", "-h"), ("tmux",), ("tmux", "-h")):
        done = sandboxkit(*words)
        assert (done.returncode, done.stderr) == (0, b"")
        assert done.stdout.startswith(b"Usage: sandboxkit")
