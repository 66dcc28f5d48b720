"""What is run in a container besides its own process: hooks, and the probes that say whether it lives and is ready.

Only what is executed: the documents also have hooks and probes by HTTP and TCP, for which the emulator would have
to be in the containers' network. Those are described, and do nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import attrs

from sandboxkit_eci.emulator.backend import Machine
from sandboxkit_eci.emulator.containers import Container
from sandboxkit_eci.emulator.errors import invalid
from sandboxkit_eci.emulator.groups import Group
from sandboxkit_eci.emulator.runtime import Runtime

GRACE = 30.0
"""Seconds that a container has to stop, its hook included, where the request does not say."""

MOST_WORDS = 1024
"""Bytes of a failed command's output that its event has."""


@attrs.frozen(kw_only=True)
class Probe:
    """A command that is run every ``period`` seconds; its word holds after so many failures or successes."""

    kind: str
    argv: tuple[str, ...]
    delay: float = 0.0
    period: float = 10.0
    timeout: float = 1.0
    failures: int = 3
    successes: int = 1


def probe(given: Mapping[str, Any], kind: str) -> Probe | None:
    """Give a container's ``Liveness`` or ``Readiness`` probe; ``None`` if it has none that is executed."""
    told = given.get(f"{kind}Probe", {})
    argv = tuple(told.get("Exec", {}).get("Command", ()))
    names = {"delay": "InitialDelaySeconds", "period": "PeriodSeconds", "timeout": "TimeoutSeconds"}
    names |= {"failures": "FailureThreshold", "successes": "SuccessThreshold"}
    asked: dict[str, Any] = {name: told[word] for name, word in names.items() if word in told}
    return Probe(kind=kind, argv=argv, **asked) if argv else None


def check(given: Mapping[str, Any]) -> None:
    """Raise what the service answers to a container's probes with numbers that cannot be."""
    for kind in ("Liveness", "Readiness"):
        told = given.get(f"{kind}Probe", {})
        for name in (
            "PeriodSeconds",
            "TimeoutSeconds",
            "FailureThreshold",
            "SuccessThreshold",
            "InitialDelaySeconds",
        ):
            least = 0 if name == "InitialDelaySeconds" else 1
            if told.get(name, least) < least:
                raise invalid(f"Container.{kind}Probe.{name}", f"must be at least {least}")


async def started(group: Group, container: Container, runtime: Runtime) -> None:
    """Run the hook of a container that has just started, however long it takes; if it fails, the container ends."""
    argv, machine = container.given.get("LifecyclePostStartHandlerExec"), container.machine
    if not argv or machine is None:
        return
    if (words := await _complaint(machine, tuple(argv))) is not None:
        runtime.note(group, "FailedPostStartHook", f"PostStartHook failed: {words}", warning=True)
        await machine.kill()


async def stopping(group: Group, container: Container, runtime: Runtime) -> None:
    """Run the hook of a container that is to be stopped, for as long as it has for that."""
    argv, machine = container.given.get("LifecyclePreStopHandlerExec"), container.machine
    if not argv or machine is None or container.state.kind != "Running":
        return
    grace = group.given.get("TerminationGracePeriodSeconds", GRACE)
    if (words := await _complaint(machine, tuple(argv), timeout=grace)) is not None:
        runtime.note(group, "FailedPreStopHook", f"PreStopHook failed: {words}", warning=True)


async def wait(group: Group, container: Container, runtime: Runtime) -> int:
    """Wait for the end of a container's own process, and probe it until then; give its exit code."""
    machine = container.machine
    assert machine is not None
    probes = [each for kind in ("Liveness", "Readiness") if (each := probe(container.given, kind)) is not None]
    tasks = [asyncio.create_task(_watch(each, group, container, runtime)) for each in probes]
    try:
        return await machine.wait()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _watch(it: Probe, group: Group, container: Container, runtime: Runtime) -> None:
    """Probe a container until it ends, or is ended because it does not live."""
    good = bad = 0
    await runtime.clock.sleep(it.delay)
    while (machine := container.machine) is not None:
        words = await _complaint(machine, it.argv, timeout=it.timeout)
        good, bad = (good + 1, 0) if words is None else (0, bad + 1)
        if words is not None:
            runtime.note(group, "Unhealthy", f"{it.kind} probe failed: {words}", warning=True)
        if it.kind == "Readiness" and good >= it.successes:
            container.passed = True
        elif it.kind == "Readiness" and bad >= it.failures:
            container.passed = False
        elif it.kind == "Liveness" and bad >= it.failures:
            message = f"Container {container.name} failed liveness probe, will be restarted"
            runtime.note(group, "Killing", message)
            await stopping(group, container, runtime)
            await machine.kill()
            return
        await runtime.clock.sleep(it.period)


async def _complaint(machine: Machine, argv: tuple[str, ...], *, timeout: float | None = None) -> str | None:
    """Run a command in a container; give what it says if it fails or is not done in time, ``None`` if it succeeds."""
    said = bytearray()
    try:
        stream = await machine.exec(argv, tty=False, stdin=False)
        try:
            async with asyncio.timeout(timeout):
                async for _, data in stream:
                    said += data[: MOST_WORDS - len(said)]
        except TimeoutError:
            await stream.kill()
            return f"command timed out after {timeout:g} s"
        finally:
            await stream.close()
    except Exception as exc:  # noqa: BLE001 - whatever a backend raises is the event's message
        return str(exc) or type(exc).__name__
    if stream.exit_code == 0:
        return None
    return said.decode("utf-8", "replace").strip() or f"command exited with {stream.exit_code}"
