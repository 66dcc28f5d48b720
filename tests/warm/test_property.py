"""Whatever commands come in a row, each ends on a kept channel as on one of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from sandboxkit.client import AsyncClient
from sandboxkit.driver import run
from sandboxkit.sync import Client, Sandbox
from tests.support.sequences import Step, outcome, steps
from tests.support.warmside import make_host


@pytest.fixture(scope="module", params=["dash", "bash", "busybox"])
def boxes(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Sandbox, Sandbox]]:
    """Give the same sandbox twice: with kept channels, and without."""
    hosts = [make_host(request.param, "blocking", tmp_path_factory) for _ in range(2)]
    for host, on in zip(hosts, (True, False), strict=True):
        host.keep_warm(on)
    clients = [AsyncClient(host, "test") for host in hosts]
    warm, cold = (Client(client).get("host") for client in clients)
    yield warm, cold
    for client in clients:
        run(client.close())


@settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    database=None,
    # Commands take their time, and a sequence that was found is short: it is not made any shorter.
    phases=(Phase.generate,),
    suppress_health_check=list(HealthCheck),
)
@given(sequence=st.lists(steps(), min_size=1, max_size=6))
def test_a_sequence_of_commands_ends_the_same_on_a_kept_channel(
    boxes: tuple[Sandbox, Sandbox], sequence: list[Step]
) -> None:
    warm, cold = boxes
    for step in sequence:
        assert outcome(cold, step) == outcome(warm, step)
