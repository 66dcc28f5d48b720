"""Safe calls are repeated on passing faults only, with pauses, and under a deadline."""

from __future__ import annotations

import pytest

from sandboxkit.driver import run
from sandboxkit.errors import ProviderError, ProviderUnavailable, SandboxNotFound, Throttled
from sandboxkit.retry import ATTEMPTS, TURNS, retrying
from sandboxkit.worlds import BlockingWorld


class Clock(BlockingWorld):
    """A world whose time passes only by sleeping."""

    def __init__(self) -> None:
        self.time = 0.0
        self.pauses: list[float] = []

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.time += seconds


class Flaky:
    """Fails as it is told, then answers."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls = 0

    async def __call__(self) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "answer"


def test_a_passing_fault_is_tried_again_after_growing_pauses() -> None:
    world, call = Clock(), Flaky(ProviderUnavailable("a"), ProviderUnavailable("b"), ProviderUnavailable("c"))
    assert run(retrying(world, call, until=None)) == "answer"
    assert call.calls == 4
    assert 0.05 <= world.pauses[0] <= 0.1
    assert 0.2 <= world.pauses[2] <= 0.4


def test_the_last_error_comes_out() -> None:
    call = Flaky(*[ProviderUnavailable(str(n)) for n in range(10)])
    with pytest.raises(ProviderUnavailable, match=str(ATTEMPTS - 1)):
        run(retrying(Clock(), call, until=None))
    assert call.calls == ATTEMPTS


def test_a_backend_that_has_too_much_to_do_is_asked_more_often() -> None:
    call = Flaky(*[Throttled(str(n)) for n in range(20)])
    with pytest.raises(Throttled, match=str(TURNS - 1)):
        run(retrying(Clock(), call, until=None))
    assert call.calls == TURNS > ATTEMPTS
    mixed = Flaky(*[Throttled("t")] * (TURNS - 1), *[ProviderUnavailable("u")] * (ATTEMPTS - 1))
    assert run(retrying(Clock(), mixed, until=None)) == "answer"


@pytest.mark.parametrize("error", [ProviderError("no"), SandboxNotFound("no"), ValueError("no")])
def test_what_will_not_pass_is_not_repeated(error: Exception) -> None:
    call = Flaky(error)
    with pytest.raises(type(error)):
        run(retrying(Clock(), call, until=None))
    assert call.calls == 1


def test_the_provider_may_ask_for_a_longer_pause() -> None:
    world = Clock()
    assert run(retrying(world, Flaky(Throttled("slow down", retry_after=7.0)), until=None)) == "answer"
    assert world.pauses == [7.0]


def test_no_attempt_starts_past_the_deadline() -> None:
    world, call = Clock(), Flaky(Throttled("slow down", retry_after=7.0))
    with pytest.raises(Throttled):
        run(retrying(world, call, until=5.0))
    assert call.calls == 1
    assert world.pauses == []
