"""Whatever commands come in a row, in a container each ends on a kept channel as on one of its own."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import sandboxkit
from sandboxkit.sync import Sandbox
from tests.support.sequences import Step, outcome, steps


@pytest.mark.heavy
@pytest.mark.timeout(900)
@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    # Commands take their time, and a sequence that was found is short: it is not made any shorter.
    phases=(Phase.generate,),
    suppress_health_check=list(HealthCheck),
)
@given(sequence=st.lists(steps(), min_size=1, max_size=6))
def test_a_sequence_of_commands_ends_the_same_on_a_kept_channel(
    shared: Sandbox, owner: str, request: pytest.FixtureRequest, sequence: list[Step]
) -> None:
    if not request.config.getoption("sandboxkit_full"):
        pytest.skip("heavy: runs with --full")
    with sandboxkit.connect("docker", owner=owner, warm=False) as client:
        cold = client.get(shared.id)
        for step in sequence:
            assert outcome(cold, step) == outcome(shared, step)
