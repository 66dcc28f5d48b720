"""The guide for users of eci-as-sandbox says what is so: its code runs, and it leaves out nothing."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from sandboxkit_eci.emulator.signature import Key
from sandboxkit_eci.emulator.testing import Emulator, emulator

from sandboxkit import plugins

GUIDE = Path(__file__).resolve().parents[3] / "docs" / "from-eci-as-sandbox.md"

needs_local = pytest.mark.skipif(not plugins.probe("local").works, reason="the emulator's containers are local's")

GUIDE_KEY = Key(id="my-id", secret="my-secret")
"""The key that the guide names."""

METHODS = (
    *(
        "create",
        "get",
        "get_sandbox",
        "get_sandbox_info",
        "info",
        "list",
        "delete",
        "restart",
        "exec_command",
        "bash",
    ),
    *("bash_ws", "write_file_ws", "tmux_start", "tmux_poll", "tmux_wait", "tmux_kill", "tmux_list"),
)
"""What can be done with its clients and sandboxes."""

PARAMETERS = (
    *("access_key_id", "access_key_secret", "cfg", "env_file", "security_token", "region_id", "proxy", "http_proxy"),
    *("https_proxy", "endpoint", "timeout_ms", "image", "name", "container_name", "cpu", "memory", "command", "args"),
    *("env", "ports", "v_switch_id", "security_group_id", "zone_id", "instance_type", "restart_policy", "tags"),
    *("auto_create_eip", "eip_bandwidth", "eip_instance_id", "limit", "next_token", "status", "force", "sync"),
    *("timeout", "exec_dir", "session_id", "history_limit", "tail_lines", "poll_interval", "max_poll_interval"),
    *("backoff_factor", "cleanup", "sandbox_id"),
)
"""What its clients and their methods take, but for what a method's own words say (``file_path``, ``content``)."""

VARIABLES = (
    *(
        f"ECI_SANDBOX_{name}"
        for name in ("ACCESS_KEY_ID", "ACCESS_KEY_SECRET", "REGION_ID", "ENDPOINT", "TIMEOUT_MS")
    ),
    *(f"ALIBABA_CLOUD_{name}" for name in ("ACCESS_KEY_ID", "ACCESS_KEY_SECRET", "REGION_ID")),
)
"""The variables that it reads."""


def blocks(kind: str) -> list[str]:
    """Give the guide's code that stands under ``Before:`` or ``After:``."""
    return re.findall(rf"^{kind}:\n\n```python\n(.*?)```", GUIDE.read_text(), re.DOTALL | re.MULTILINE)


def test_every_block_of_the_guide_has_its_counterpart() -> None:
    assert len(blocks("Before")) == len(blocks("After")) > 0
    assert GUIDE.read_text().count("```python") == 2 * len(blocks("After"))
    for block in blocks("Before"):
        ast.parse(block)


@pytest.mark.parametrize("word", [*METHODS, *PARAMETERS, *VARIABLES])
def test_the_guide_speaks_of(word: str) -> None:
    prose = re.sub(r"```.*?```", "", GUIDE.read_text(), flags=re.DOTALL)
    titles = re.findall(r"^## (.*)$", prose, re.MULTILINE)
    assert re.search(rf"\b{word}\b", " ".join([*titles, *re.findall(r"`([^`\n]+)`", prose)]))


def run(code: str, directory: Path, eci: Emulator, *options: str) -> subprocess.CompletedProcess[str]:
    """Run code of the guide's where its files are; only the environment leads it to the emulator."""
    # One file is named by the guide; the other is the nearest .env, from which asyncio's part has its keys.
    for name in ("production.env", ".env"):
        (directory / name).write_text(
            f"ECI_SANDBOX_ACCESS_KEY_ID={GUIDE_KEY.id}\nECI_SANDBOX_ACCESS_KEY_SECRET={GUIDE_KEY.secret}\n"
        )
    (directory / "guide.py").write_text(code)
    return subprocess.run(
        [sys.executable, *options, "guide.py"],
        capture_output=True,
        text=True,
        cwd=directory,
        env={**surroundings(), "ECI_SANDBOX_ENDPOINT": eci.endpoint, "ECI_SANDBOX_REGION_ID": "cn-hangzhou"},
    )


def surroundings() -> dict[str, str]:
    """Give the environment without keys, endpoints and proxies."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("ECI_SANDBOX_", "ALIBABA_CLOUD_")) and not name.lower().endswith("_proxy")
    }


@needs_local
def test_the_code_of_the_guide_runs_and_prints_what_it_says(tmp_path: Path) -> None:
    code = "".join(blocks("After"))
    with emulator("local", keys=[GUIDE_KEY]) as eci:
        ran = run(code, tmp_path, eci, "-W", "error")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.splitlines() == re.findall(r"print\(.*\)  # (.*)$", code, re.MULTILINE)
