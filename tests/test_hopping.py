"""Chains of forks: each process is gone before a scan gets to it, and its child was not in the list yet."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sandboxkit_local import LocalOptions

import sandboxkit
from sandboxkit.sync import Client, Sandbox

CHAINS = """
hop() { printf . >>hops; (PAUSE hop) & exit 0; }
for n in 1 2 3 4 5 6 7 8 9 10; do (hop) & done
echo hopping
sleep 600
"""


# Who lives on goes on hopping; to look for it among the processes would miss it as well.
SIZES = "touch hops; wc -c <hops; sleep 0.1; wc -c <hops"

ENOUGH = 100
ROUNDS = 5

# For the zombies too, which come faster than they are reaped.
ROOM = LocalOptions(pids=25_000)


@pytest.fixture(params=["poor", "local"])
def client(request: pytest.FixtureRequest) -> Iterator[Client]:
    with sandboxkit.connect(request.param, owner="tests") as client:
        yield client


@pytest.fixture(params=["", "sleep 0.002;"])
def script(request: pytest.FixtureRequest) -> str:
    return CHAINS.replace("PAUSE", request.param)


def test_a_kill_that_says_so_has_ended_every_chain(client: Client, script: str) -> None:
    said = 0
    for _ in range(ROUNDS):
        with client.create(ttl=240, options=ROOM) as box:
            with box.spawn(script, timeout=200) as process:
                while sizes(box)[0] < ENOUGH:
                    assert process.exit_code is None
                killed = process.kill()
            said += killed is True
            before, after = sizes(box)
            # On a machine that has much else to do it may not be done in time; then it must not say that it is.
            assert after == before or killed is not True
    assert said


def test_a_timeout_that_says_so_has_ended_every_chain(client: Client, script: str) -> None:
    said = 0
    for timeout in (*[0.2] * ROUNDS, 2, 10):
        with client.create(ttl=240, options=ROOM) as box:
            with pytest.raises(sandboxkit.CommandTimeout) as caught:
                box.exec(script, timeout=timeout)
            before, after = sizes(box)
            assert after == before or caught.value.killed is not True
            said += caught.value.killed is True and before >= ENOUGH
            if said == ROUNDS:
                break
    assert said


def sizes(box: Sandbox) -> tuple[int, int]:
    """Give how often the chains have hopped, now and a moment later."""
    before, after = map(int, box.exec(SIZES).text.split())
    return before, after
