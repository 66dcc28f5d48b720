"""A command waits for its turn where an account may start only so many, and for no longer than its timeout."""

from __future__ import annotations

import pytest

from sandboxkit import execution
from sandboxkit.client import AsyncClient
from sandboxkit.errors import CommandTimeout, ProviderError, ProviderUnavailable, Throttled
from sandboxkit.model import Command
from sandboxkit.provider import Exchange, ProcessChannel, Report, World
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


class Unheard:
    """A command whose end no kill from outside could confirm, and whose watchdog tells of it late."""

    started = True
    report: Report | None = None

    def __init__(self, late: Report, world: World) -> None:
        self.late = late
        self.world = world
        self.killed = False

    async def exchange(
        self, outgoing: bytes | memoryview = b"", *, receive: bool = True, until: float | None = None
    ) -> Exchange:
        if self.killed:
            self.report = self.late
            return Exchange(closed=True)
        assert until is not None
        await self.world.sleep(max(0.0, until - self.world.now()))
        return Exchange()

    async def kill(self, *, until: float) -> bool | None:
        self.killed = True
        return None

    async def close_stdin(self, *, until: float | None = None) -> None: ...

    async def signal(self, number: int, *, until: float | None = None) -> None: ...

    async def close(self) -> None: ...


class Deaf(HostShell):
    def __init__(self, late: Report) -> None:
        super().__init__(BlockingWorld(), dict(shells())["dash"])
        self.late = late

    async def start_process(self, sandbox_id: str, command: Command, *, until: float | None) -> ProcessChannel:
        return Unheard(self.late, self.world)


@pytest.mark.parametrize(
    ("late", "killed"),
    [(Report(timed_out=True, killed=True), True), (Report(timed_out=True, killed=False), False), (Report(), None)],
)
def test_what_a_late_watchdog_knows_is_told(late: Report, killed: bool | None) -> None:
    with Client(AsyncClient(Deaf(late), "test")) as client, pytest.raises(CommandTimeout) as caught:
        client.get("host").exec(["sleep", "600"], timeout=0.1)
    assert caught.value.killed is killed
