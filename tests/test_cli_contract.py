"""``sandboxkit contract``: the suite from the command line, against any provider."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from sandboxkit import plugins

needs_local = pytest.mark.skipif(not plugins.probe("local").works, reason="local does not work here")


def contract(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run it as a user would."""
    return subprocess.run(
        (sys.executable, "-m", "sandboxkit.cli", "contract", *arguments),
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )


@needs_local
def test_a_part_of_the_contract_runs_in_both_worlds() -> None:
    done = contract("local", "--", "-k", "test_exit_codes_come_back", "-v")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout
    done = contract("-p", "local", "--world", "asyncio", "--delta", "--", "-k", "test_exit_codes_come_back", "-v")
    assert "1 passed" in done.stdout


@needs_local
def test_its_exit_code_is_the_tests() -> None:
    # With less memory than that no sandbox is made: local has no limit of memory.
    done = contract("-p", "local", "-m", "64m", "--", "-k", "test_exit_codes_come_back")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Unsupported" in done.stdout
    assert contract("-p", "local", "--", "-k", "no_such_test").returncode == 5


def test_an_unknown_provider_is_named() -> None:
    for done in (contract("-p", "nowhere"), contract("nowhere"), contract(SANDBOXKIT_PROVIDER="nowhere")):
        assert done.returncode == 125
        assert "no provider 'nowhere'" in done.stderr


def test_a_provider_is_named_once() -> None:
    done = contract("-p", "local", "local")
    assert done.returncode == 125
    assert "leave out -p" in done.stderr


def test_what_may_cost_money_is_asked_for() -> None:
    done = contract("-p", "eci", "-i", "any:1")
    assert done.returncode != 0
    assert "Go on?" in done.stdout
    assert "passed" not in done.stdout


@pytest.mark.parametrize("answer", ["n\n", "\n"])
def test_a_no_to_what_may_cost_money_is_no_interruption(answer: str) -> None:
    command = (sys.executable, "-m", "sandboxkit.cli", "contract", "eci")
    done = subprocess.run(command, input=answer, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, "sandboxkit: nothing was done\n")
    assert "passed" not in done.stdout


@needs_local
def test_the_emulator_is_reached_by_settings_alone() -> None:
    from sandboxkit_eci.emulator.testing import emulator

    with emulator("local") as eci:
        done = contract(
            *("-p", "eci", "-i", "any:1", "-y", "--", "-k", "test_exit_codes_come_back"),
            ECI_SANDBOX_ENDPOINT=eci.endpoint,
            ECI_SANDBOX_ACCESS_KEY_ID=eci.access_key_id,
            ECI_SANDBOX_ACCESS_KEY_SECRET=eci.access_key_secret,
            ECI_SANDBOX_REGION_ID="cn-hangzhou",
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "2 passed" in done.stdout
        # What was made has been deleted.
        assert eci.requests["CreateContainerGroup"] == eci.requests["DeleteContainerGroup"] == 2
