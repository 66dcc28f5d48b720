"""A client of ECI that others wrote, unchanged but for its endpoint, against the emulator."""

from __future__ import annotations

import asyncio
import importlib.metadata
import inspect
import logging
import shutil
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from sandboxkit_eci.emulator.testing import Emulator, emulator

from .asking import PATIENCE, no_proxy
from .test_parity import GUIDE_KEY, METHODS, PARAMETERS, blocks, needs_local, run

__all__ = ["no_proxy"]

pytestmark = needs_local

T = TypeVar("T")

needs_tmux = pytest.mark.skipif(
    shutil.which("tmux") is None, reason="this host has no tmux, which eci-as-sandbox needs in the image"
)

LINES = "for n in 1 2 3; do echo epoch $n; done; exit 4"
POINTED = """
from alibabacloud_eci20180808 import client as module

class Client(module.Client):
    def __init__(self, config):
        super().__init__(config)
        self._endpoint, self._protocol = ENDPOINT, "http"

module.Client = Client
"""
"""What goes before the guide's code for eci-as-sandbox: its SDK asks ``ENDPOINT``."""

LONG = "echo " + "x" * 5000 + " | wc -c"


@pytest.fixture
def library(no_proxy: None) -> Iterator[Any]:
    """Give eci-as-sandbox; importing it sets up the root logger, which is put back."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    try:
        yield pytest.importorskip(
            "eci_as_sandbox", reason="eci-as-sandbox is not installed: pip install eci-as-sandbox==0.2.6"
        )
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)


@pytest.fixture
def eci() -> Iterator[Emulator]:
    with emulator("local") as running:
        yield running


class Awaited:
    """The asyncio client as if it were a blocking one."""

    def __init__(self, client: Any, run: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
        self._client = client
        self._run = run

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)
        return lambda *args, **given: self._run(method(*args, **given))


@pytest.fixture(params=["EciSandbox", "AsyncEciSandbox"])
def client(request: pytest.FixtureRequest, library: Any, eci: Emulator) -> Iterator[Any]:
    """Give one of the two clients, pointed to the emulator."""
    made = getattr(library, request.param)(
        access_key_id=eci.access_key_id,
        access_key_secret=eci.access_key_secret,
        cfg=library.Config(endpoint="", timeout_ms=30000, region_id="cn-hangzhou"),
    )
    # It has no way to say http, and the blocking one takes the region's endpoint whatever it is told.
    made.client._endpoint = eci.endpoint.partition("://")[2]
    made.client._protocol = "http"
    if request.param == "EciSandbox":
        yield made
        return
    loop = asyncio.new_event_loop()
    try:
        yield Awaited(made, loop.run_until_complete)
    finally:
        # Its SDK drops the sessions that it asks with instead of closing them.
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()


def status(client: Any, sandbox_id: str) -> str:
    found = client.get_sandbox(sandbox_id)
    return str(found.data.status) if found.success else "gone"


def wait_for(client: Any, sandbox_id: str, wanted: str) -> None:
    limit = time.monotonic() + PATIENCE
    while status(client, sandbox_id) != wanted:
        assert time.monotonic() < limit, "it never came to that"
        time.sleep(0.05)


@pytest.fixture
def box(client: Any) -> str:
    """Make a sandbox as its users do; give its id."""
    made = client.create(
        image="any:1",
        name="Demo_1",
        command=["sleep", "3600"],
        env={"STAGE": "test"},
        ports=[{"port": 8080, "protocol": "TCP"}],
        restart_policy="Never",
        tags={"team": "blue"},
    )
    assert made.success, made.error_message
    wait_for(client, made.sandbox.sandbox_id, "Running")
    return str(made.sandbox.sandbox_id)


def good(result: Any) -> Any:
    assert result.success, result.error_message
    return result


def test_it_finds_restarts_and_deletes_sandboxes(client: Any, box: str) -> None:
    found = good(client.get_sandbox_info(box)).data
    assert (found.name, found.cpu, found.memory, found.region_id) == ("demo-1", 1.0, 2.0, "cn-hangzhou")
    assert found.containers[0]["Name"] == "sandbox"
    assert good(client.get(box)).sandbox.sandbox_id == box
    assert good(client.list(limit=10, status="Running", tags={"team": "blue"})).sandbox_ids == [box]
    assert good(client.list(name="other")).sandbox_ids == []
    assert "not found" in client.get("eci-unknown").error_message
    good(client.restart(box))
    wait_for(client, box, "Running")
    assert good(client.exec_command(box, ["echo", "back"], timeout=30)).output == "back\n"
    good(client.delete(box))
    wait_for(client, box, "gone")


def test_it_runs_commands(client: Any, box: str) -> None:
    # Its output is one text; of which stream a line came is not told, nor which came first.
    ran = good(client.exec_command(box, ["sh", "-c", "echo out; echo err >&2; exit 3"], timeout=30))
    assert sorted(ran.output.split()) == ["err", "out"]
    addresses = good(client.exec_command(box, ["true"], sync=False))
    assert addresses.websocket_url.startswith("ws://")
    assert addresses.http_url.startswith("http://")
    assert good(client.bash(box, "echo $STAGE; pwd", exec_dir="/tmp", timeout=30)).output == "test\n/tmp\n"
    assert good(client.bash(box, LONG, timeout=30)).output == "5001\n"
    assert good(client.bash_ws(box, LONG, exec_dir="/tmp", timeout=30)).output == "5001\n"


def test_it_writes_files(client: Any, box: str) -> None:
    good(client.write_file_ws(box, "/tmp/big.txt", "line é\n" * 20_000, timeout=30))
    assert good(client.bash(box, "wc -c </tmp/big.txt", timeout=30)).output.strip() == "160001"


@needs_tmux
@pytest.mark.parametrize("command", [LINES, f"{LINES} # {'z' * 2000}\n"], ids=["short", "long"])
def test_it_has_sessions(client: Any, box: str, command: str, library: Any) -> None:
    started = good(client.tmux_start(box, command, exec_dir="/tmp"))
    assert [found["session_id"] for found in good(client.tmux_list(box)).data] == [started.session_id]
    waited = good(client.tmux_wait(box, started.session_id, timeout=PATIENCE, cleanup=False))
    assert (waited.status, waited.exit_code) == (library.TmuxCommandStatus.COMPLETED, 4)
    assert waited.output.split("\n")[:3] == ["epoch 1", "epoch 2", "epoch 3"]
    good(client.tmux_kill(box, started.session_id))
    assert good(client.tmux_poll(box, started.session_id)).status is library.TmuxCommandStatus.NOT_FOUND


@needs_tmux
def test_the_code_that_the_guide_says_was_before_ran(library: Any, tmp_path: Path) -> None:
    with emulator("local", keys=[GUIDE_KEY]) as running:
        prelude = POINTED.replace("ENDPOINT", repr(running.endpoint.partition("://")[2]))
        ran = run(prelude + "".join(blocks("Before")), tmp_path, running)
    # It raises nothing: what went wrong is in its log alone.
    assert (ran.returncode, " ERROR " in ran.stderr) == (0, False), ran.stderr


def functions(kind: type) -> dict[str, Callable[..., Any]]:
    """Give a class's own public methods."""
    return {name: value for name, value in vars(kind).items() if inspect.isfunction(value) and name[0] != "_"}


def test_what_it_has_is_what_the_guide_was_written_for(library: Any) -> None:
    clients = [functions(kind) for kind in (library.EciSandbox, library.AsyncEciSandbox)]
    sandboxes = [functions(kind) for kind in (library.Sandbox, library.AsyncSandbox)]
    assert {name for each in (*clients, *sandboxes) for name in each} == set(METHODS)
    made = [kind.__init__ for kind in (library.EciSandbox, library.AsyncEciSandbox, library.Config)]
    takes = {
        name
        for function in (*made, *(method for each in (*clients, *sandboxes) for method in each.values()))
        for name in inspect.signature(function).parameters
    }
    assert takes - {"self", "file_path", "content"} | {"http_proxy", "https_proxy"} == set(PARAMETERS)
    assert importlib.metadata.version("eci-as-sandbox") == "0.2.6"
