"""A command waits for its turn where an account may start only so many, and for no longer than its timeout."""

from __future__ import annotations

import pytest

from sandboxkit import execution
from sandboxkit.client import AsyncClient
from sandboxkit.errors import ProviderError, ProviderUnavailable, Throttled
from sandboxkit.model import Command
from sandboxkit.provider import ProcessChannel
from sandboxkit.sync import Client
from sandboxkit.worlds import BlockingWorld
from tests.support.hostshell import HostShell, shells


class Refusing(HostShell):
    """Refuses to start a command as often as there are ``refusals``."""

    def __init__(self, *refusals: ProviderError) -> None:
        super().__init__(BlockingWorld(), dict(shells())["dash"])
        self.refusals = list(refusals)
        self.limits: list[float] = []

    async def start_process(self, sandbox_id: str, command: Command, *, until: float | None) -> ProcessChannel:
        assert until is not None
        self.limits.append(until)
        if self.refusals:
            raise self.refusals.pop(0)
        return await super().start_process(sandbox_id, command, until=until)


def run(provider: Refusing, *, timeout: float | None = None) -> str:
    with Client(AsyncClient(provider, "test")) as client:
        return client.get("host").exec(["echo", "done"], timeout=timeout).text


def throttled(after: float | None) -> Throttled:
    return Throttled("not now", retry_after=after)


def test_a_command_without_a_timeout_waits_for_its_turn_and_has_all_its_time_then() -> None:
    provider = Refusing(throttled(0.02), throttled(0.02))
    assert run(provider) == "done\n"
    assert len(provider.limits) == 3
    assert provider.limits == sorted(set(provider.limits))


def test_a_command_with_a_timeout_is_told_at_once() -> None:
    provider = Refusing(throttled(0.02))
    with pytest.raises(Throttled):
        run(provider, timeout=30)
    assert len(provider.limits) == 1


@pytest.mark.parametrize(
    "refusal", [throttled(None), throttled(execution.TURN_LIMIT + 1), ProviderUnavailable("gone", retry_after=0.02)]
)
def test_what_names_no_turn_or_one_too_late_is_told_at_once(refusal: ProviderError) -> None:
    provider = Refusing(refusal)
    with pytest.raises(type(refusal)):
        run(provider)
    assert len(provider.limits) == 1
