"""The provider over TLS: API and websockets trust what ``ca_file`` says, and nothing else."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Iterator

import attrs
import pytest

import sandboxkit


@attrs.frozen
class Served:
    """An emulator's own process, and how to reach it."""

    endpoint: str
    certificate: str

    def options(self, **more: str) -> dict[str, str]:
        given = {"access_key_id": "emulator", "access_key_secret": "emulator-secret", "region_id": "cn-hangzhou"}
        return {**given, "endpoint": self.endpoint, "image": "busybox:1", **more}


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    argv = [sys.executable, "-m", "sandboxkit_eci.emulator", "--port", "0", "--tls", "--backend", "local"]
    with subprocess.Popen([*argv, "--time-scale", "0"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline().strip() for _ in range(2)]
        said = dict(line.replace(" on ", ": ").split(": ", 1) for line in lines)
        yield Served(said["listening"], said["certificate"])
        process.send_signal(signal.SIGTERM)


def test_commands_run_over_trusted_connections(served: Served) -> None:
    with (
        sandboxkit.connect("eci", **served.options(ca_file=served.certificate)) as client,
        client.create() as box,
    ):
        assert box.exec("cat; exit 3", input=b"x" * 100_000).stdout == b"x" * 100_000


def test_in_asyncio_too(served: Served) -> None:
    async def body() -> None:
        options = served.options(ca_file=served.certificate)
        async with sandboxkit.connect_async("eci", **options) as client, client.create() as box:
            assert (await box.exec("echo hi")).text == "hi\n"

    asyncio.run(body())


def test_a_stranger_is_not_trusted(served: Served) -> None:
    with sandboxkit.connect("eci", **served.options()) as client, pytest.raises(sandboxkit.ProviderUnavailable):
        next(iter(client.list()))
