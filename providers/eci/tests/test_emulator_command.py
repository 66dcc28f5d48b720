"""The emulator as a program: its options, its end, its state."""

from __future__ import annotations

import json
import os
import re
import signal
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from sandboxkit_eci.emulator.commandline import UsageError, keys, read
from sandboxkit_eci.emulator.testing import Emulator

from .asking import create, delete, execute, groups, no_proxy, running, sdk, until

__all__ = ["no_proxy"]

pytestmark = pytest.mark.usefixtures("no_proxy")


@contextmanager
def command(*options: str, end: int = signal.SIGTERM) -> Iterator[Any]:
    """Run the program until the block ends; give what its clients need, and its output."""
    argv = [sys.executable, "-m", "sandboxkit_eci.emulator", "--port", "0", "--time-scale", "0", *options]
    with subprocess.Popen(
        argv, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONWARNINGS": "error"}
    ) as it:
        assert it.stdout is not None
        try:
            said: list[str] = []
            while not said or not said[-1].startswith("listening on "):
                line = it.stdout.readline()
                assert line, "it ended"
                said.append(line.strip())
            endpoint = said[-1].removeprefix("listening on ")
            given = {"endpoint": endpoint, "access_key_id": "emulator", "access_key_secret": "emulator-secret"}
            yield SimpleNamespace(**given, said=said, process=it)
            it.send_signal(end)
            assert it.wait(60) == 0
        finally:
            it.kill()


def ask(it: Any, **config: Any) -> Any:
    return sdk(cast("Emulator", it), **config)


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_until_it_is_told_to_stop(end: int) -> None:
    with command("--backend", "none", end=end) as it:
        assert re.fullmatch(r"http://127\.0\.0\.1:[0-9]+", it.endpoint)
        client = ask(it)
        made = create(client)
        running(client, made)
        assert execute(client, made, '["hi"]', sync=True).sync_response == "hi\n"
        with urllib.request.urlopen(f"{it.endpoint}/_emulator/requests") as answer:
            counted = json.load(answer)
        assert counted["calls"]["CreateContainerGroup"] == 1


def test_keys_of_ones_own_are_good_and_the_usual_one_is_not() -> None:
    with command("--backend", "none", "--access-key-id", "a", "--access-key-secret", "b") as it:
        assert groups(ask(it, access_key_id="a", access_key_secret="b")) == []
        with pytest.raises(Exception, match="InvalidAccessKeyId"):
            groups(ask(it))


def test_tls_with_a_certificate_made_for_the_occasion() -> None:
    with command("--backend", "none", "--tls") as it:
        path = next(line for line in it.said if line.startswith("certificate: ")).removeprefix("certificate: ")
        context = ssl.create_default_context(cafile=path)
        with urllib.request.urlopen(f"{it.endpoint}/_emulator/requests", context=context) as answer:
            assert answer.status == 200
        assert it.endpoint.startswith("https://127.0.0.1:")
    assert not Path(path).exists()


def test_groups_come_back_from_a_state_file(tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    with command("--backend", "none", "--state", str(state)) as it:
        client = ask(it)
        kept = create(client, "kept", tags={"a": "1"}, client_token="token")
        gone = create(client, "gone")
        delete(client, gone)
        until(lambda: len(groups(client)) == 1)
    assert state.stat().st_mode & 0o777 == 0o600
    with command("--backend", "none", "--state", str(state)) as it:
        client = ask(it)
        group = running(client, kept)
        assert ([kept], "kept") == ([each.container_group_id for each in groups(client)], group.container_group_name)
        assert kept == create(client, "kept", tags={"a": "1"}, client_token="token")


def test_options_come_from_a_file_too(tmp_path: Path) -> None:
    file = tmp_path / "emulator.toml"
    file.write_text('port = 1\nbackend = "none"\ntime-scale = 0.5\nfault = ["*:slow"]\n[quirk]\ncommand-limit = 10\n')
    options = read(["--config", str(file), "--port", "2"])
    assert (options.port, options.backend, options.time_scale) == (2, "none", 0.5)
    assert (options.fault, options.quirk) == (["*:slow"], ["command-limit=10"])
    file.write_text("colour = 1\n")
    with pytest.raises(UsageError, match="unknown option 'colour'"):
        read(["--config", str(file)])


def test_keys_come_in_pairs() -> None:
    with pytest.raises(UsageError, match="in pairs"):
        keys(read(["--access-key-id", "a"]))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--quirk", "nonsense=1"], "unknown quirk: nonsense=1"),
        (["--fault", "nonsense"], "fault 'nonsense'"),
        (["--responder", "nonsense"], "MODULE:NAME"),
        (["--config", "/nonexistent"], "/nonexistent"),
        (["--nonsense"], "--nonsense"),
        (["--port", "x"], "--port"),
    ],
)
def test_a_wrong_option_is_one_line_that_names_it(options: list[str], words: str) -> None:
    argv = [sys.executable, "-m", "sandboxkit_eci.emulator", "--backend", "none", *options]
    ended = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert words in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
