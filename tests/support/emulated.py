"""The contract class of ``eci`` through the emulator.

The emulator is a process of its own: what the client leaves in its process is counted, and its loop is watched.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import pytest

from sandboxkit import plugins
from sandboxkit.testing import ContractSuite

KEYS = {"access_key_id": "contract", "access_key_secret": "not-a-secret"}

UNLIMITED = 1_000_000
"""Calls a minute: the suite makes more of them than an account may."""

HOSTILE = (
    # Every byte alone, of as many as the launcher's records and a command's first output have.
    "--quirk=split=1",
    "--quirk=split-first=4096",
    "--quirk=uri-single-use=true",
    "--quirk=idle-close=30",
    "--quirk=error-text-on-nonzero=true",
    "--quirk=leading-empty-frame=true",
    "--fault=*:throttle,p=0.1",
    "--fault=*:lost,p=0.02",
)
"""What makes the service do all that is not known not to happen."""


@contextmanager
def emulated(*arguments: str) -> Iterator[dict[str, Any]]:
    """Run an emulator; give the connect options that lead to it."""
    with emulating(*arguments) as (_, options):
        yield options


@contextmanager
def emulating(*arguments: str, **environment: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Run an emulator with more in its environment; give its process' id, too."""
    command = [sys.executable, "-m", "sandboxkit_eci.emulator", "--port=0", "--time-scale=0", "--quirk=limits=none"]
    command += arguments
    command += [f"--{name.replace('_', '-')}={value}" for name, value in KEYS.items()]
    env = {**os.environ, **environment}
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, env=env) as process:
        try:
            assert process.stdout is not None
            words = process.stdout.readline().split()
            assert words[:2] == ["listening", "on"], "the emulator did not start"
            limits = {"ExecContainerCommand": UNLIMITED, "DescribeContainerGroups": UNLIMITED}
            yield process.pid, {"endpoint": words[2], "region_id": "cn-hangzhou", "limits": limits, **KEYS}
        finally:
            process.terminate()
        assert process.wait(timeout=60) == 0


class Emulated(ContractSuite):
    provider = "eci"
    arguments: ClassVar[tuple[str, ...]] = ()
    rests_on = ("local",)

    @classmethod
    def prerequisite(cls) -> str:
        for name in cls.rests_on:
            answer = plugins.probe(name)
            if not answer.works:
                return f"the emulator's containers are {name}'s, which does not work here: {answer.reason}"
        return ""

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def emulator(cls) -> Iterator[None]:
        """Run one emulator for all tests of the class."""
        if cls.unready():
            yield
            return
        given = cls.options
        with emulated(*cls.arguments) as options:
            cls.options = {**options, **given}
            yield
        cls.options = given
