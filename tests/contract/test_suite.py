"""The suite itself: inert where it is not asked for, and not to be talked out of a test."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAD = "from sandboxkit.testing import ContractSuite\n\n\n"


def run(directory: Path, text: str, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run pytest on one file of a project that is not this one."""
    (directory / "test_it.py").write_text(text)
    (directory / "pytest.ini").write_text(
        "[pytest]\naddopts = --strict-markers --strict-config\nfilterwarnings = error\n"
    )
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "SANDBOXKIT"))}
    return subprocess.run(
        (sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", directory, *arguments, "test_it.py"),
        cwd=directory,
        env={**clean, **env},
        text=True,
        capture_output=True,
        stdin=subprocess.DEVNULL,
    )


def test_a_foreign_project_notices_nothing(tmp_path: Path) -> None:
    text = """if True:
        import sys, pytest

        @pytest.fixture
        def client(): return 5

        @pytest.mark.parametrize("box", [1, 2])
        def test_fine(client, box):
            assert client == 5
            assert "sandboxkit.testing.stage" not in sys.modules
            assert "sandboxkit.testing.suite" not in sys.modules
            assert "asyncio" not in sys.modules
        """
    done = run(tmp_path, text, "-p", "no:hypothesispytest", "-p", "no:hypothesis")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout
    assert "providers" not in done.stdout


@pytest.mark.parametrize(
    "text",
    [
        "class TestIt(ContractSuite):\n    provider = 'local'\n    def test_exit_codes_come_back(self): pass\n",
        "class TestIt(ContractSuite):\n    provider = 'local'\n    test_exit_codes_come_back = None\n",
        "class TestIt(ContractSuite):\n    provider = 'local'\n\nTestIt.test_exit_codes_come_back = None\n",
        "class Less:\n    test_exit_codes_come_back = None\n\n"
        "class TestIt(Less, ContractSuite):\n    provider = 'local'\n",
        "from sandboxkit.testing.suite.commands import Commands\ndel Commands.test_exit_codes_come_back\n\n"
        "class TestIt(ContractSuite):\n    provider = 'local'\n",
    ],
)
def test_a_contract_test_cannot_be_overridden_or_removed(tmp_path: Path, text: str) -> None:
    done = run(tmp_path, HEAD + text, "--collect-only", "-q")
    assert done.returncode == 2, done.stdout + done.stderr
    assert "test_exit_codes_come_back: a contract test may not be overridden" in done.stdout


def test_a_class_must_say_which_provider(tmp_path: Path) -> None:
    done = run(tmp_path, HEAD + "class TestIt(ContractSuite):\n    pass\n", "--collect-only", "-q")
    assert done.returncode == 2
    assert "must set provider" in done.stdout


def test_a_provider_that_is_not_there_is_skipped_unless_required(tmp_path: Path) -> None:
    text = HEAD + "class TestIt(ContractSuite):\n    provider = 'nowhere'\n"
    only = ("-k", "exit_codes_come_back", "-rs")
    done = run(tmp_path, text, *only)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 skipped" in done.stdout
    assert "no provider 'nowhere'" in done.stdout
    assert "TestIt: skipped: " in done.stdout
    done = run(tmp_path, text, *only, SANDBOXKIT_REQUIRE="local,nowhere")
    assert done.returncode == 1
    assert "TestIt: FAILS, SANDBOXKIT_REQUIRE names it" in done.stdout


def test_what_cannot_be_tried_here_is_skipped_and_says_why(tmp_path: Path) -> None:
    without = "    without = {'network_on': 'there is no cable'}\n"
    text = HEAD + "class TestIt(ContractSuite):\n    provider = 'local'\n    worlds = ('blocking',)\n" + without
    done = run(tmp_path, text, "-k", "network_is_more", "-rs")
    assert "there is no cable" in done.stdout
    assert "1 skipped" in done.stdout
    assert "1 passed" in run(tmp_path, text.replace(without, ""), "-k", "network_is_more").stdout


def test_tiers_and_worlds_are_kept(tmp_path: Path) -> None:
    text = (
        HEAD
        + "class TestIt(ContractSuite):\n    provider = 'nowhere'\n    tier = 'delta'\n    worlds = ('asyncio',)\n"
    )
    done = run(tmp_path, text, "--collect-only", "-q")
    collected = [line for line in done.stdout.splitlines() if "::" in line]
    assert collected
    assert all(line.endswith("[asyncio]") for line in collected)
    assert not any("test_one_key_gives_one_sandbox" in line for line in collected)
    assert any("test_exit_codes_come_back" in line for line in collected)
    done = run(tmp_path, text, "-q", "-rs")
    assert "heavy: runs with --sandboxkit-full" not in done.stdout
    whole = text.replace("'delta'", "'full'")
    assert "heavy: runs with --sandboxkit-full" in run(tmp_path, whole, "-q", "-rs").stdout
    assert "heavy: runs with --sandboxkit-full" not in run(tmp_path, whole, "-q", "-rs", "--sandboxkit-full").stdout
