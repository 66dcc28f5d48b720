"""Hooks and probes: on a clock that the test moves, and over real processes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from typing import Any

import attrs
import pytest
from alibabacloud_eci20180808 import models
from sandboxkit_eci.emulator import describe, podstatus
from sandboxkit_eci.emulator.creation import check
from sandboxkit_eci.emulator.errors import ApiError
from sandboxkit_eci.emulator.quirks import Quirks
from sandboxkit_eci.emulator.testing import emulator

from sandboxkit import plugins

from .asking import create, execute, groups, no_proxy, running, sdk, until
from .manualclock import settle
from .scene import Scene, scene

__all__ = ["no_proxy"]


@attrs.define
class Answers:
    """Ends each command with a code: the one set for its first word, or 0."""

    codes: dict[str, int] = attrs.field(factory=dict)

    def __call__(self, argv: tuple[str, ...]) -> Answer:
        return Answer(self.codes.get(argv[0], 0))


@attrs.define
class Answer:
    code: int
    exit_code: int | None = None

    def feed(self, data: bytes) -> Iterable[tuple[int, bytes]]:
        self.exit_code = self.code
        return [(2, b"no\n")] if self.code else []


def probe(word: str, **numbers: int) -> dict[str, Any]:
    return {"Exec": {"Command": [word]}, **numbers}


def main(**more: Any) -> list[dict[str, Any]]:
    return [{"Name": "main", "Image": "busybox", **more}]


def answering(it: Scene, **codes: int) -> Answers:
    """Have every command of the scene's answered."""
    it.backend.responder = answers = Answers(dict(codes))
    return answers


def asked(it: Scene) -> list[str]:
    return [argv[0] for machine in it.backend.machines for argv in machine.asked]


def messages(it: Scene, reason: str) -> list[tuple[str, int, str]]:
    return [(event.message, event.count, event.type) for event in it.group.events if event.reason == reason]


def ready(it: Scene) -> tuple[bool, bool]:
    """Whether the first container is ready, in both descriptions; they agree with the group's condition."""
    (shown,) = describe.group(it.group, Quirks())["Containers"]
    status = podstatus.group(it.group, Quirks())["PodStatus"]
    conditions = {each["type"]: each["status"] for each in status["Conditions"]}
    assert conditions["ContainersReady"] == str(shown["Ready"])
    return shown["Ready"], status["ContainerStatuses"][0]["Ready"]


@pytest.mark.parametrize(("policy", "restarts"), [("Always", 1), ("OnFailure", 1), ("Never", 0)])
def test_a_container_that_does_not_live_is_started_anew_if_the_policy_says_so(policy: str, restarts: int) -> None:
    async def body() -> None:
        given = main(LivenessProbe=probe("alive", InitialDelaySeconds=7, PeriodSeconds=5, FailureThreshold=2))
        async with scene(Container=given, RestartPolicy=policy) as it:
            answers = answering(it)
            await it.run()
            await it.clock.advance(6)
            assert asked(it) == []
            await it.clock.advance(7)
            assert asked(it) == ["alive"] * 2
            answers.codes["alive"] = 1
            await it.clock.advance(5)
            assert messages(it, "Unhealthy") == [("Liveness probe failed: no", 1, "Warning")]
            assert it.group.containers[0].state.kind == "Running"
            await it.clock.advance(5)
            assert messages(it, "Unhealthy") == [("Liveness probe failed: no", 2, "Warning")]
            assert it.reasons().count("Killing") == 1
            await it.clock.advance(it.runtime.delays.back_off)
            container = it.group.containers[0]
            assert (restarts, restarts) == (container.restarts, it.machine.restarts)
            if policy == "Never":
                assert (it.status, container.state.exit_code) == ("Failed", 137)
            else:
                assert (it.status, container.state.kind) == ("Running", "Running")

    asyncio.run(body())


def test_one_success_makes_up_for_failures() -> None:
    async def body() -> None:
        given = main(LivenessProbe=probe("alive", PeriodSeconds=1, FailureThreshold=2))
        async with scene(Container=given) as it:
            answers = answering(it)
            await it.run()
            for turn in range(20):
                answers.codes["alive"] = turn % 2
                await it.clock.advance(1)
            assert (it.group.containers[0].restarts, "Killing" in it.reasons()) == (0, False)

    asyncio.run(body())


def test_a_container_is_ready_while_its_probe_says_so() -> None:
    async def body() -> None:
        given = main(
            ReadinessProbe=probe("ready", PeriodSeconds=1, SuccessThreshold=2, FailureThreshold=3, TimeoutSeconds=9)
        )
        async with scene(Container=given) as it:
            answers = answering(it, ready=1)
            await it.run()
            assert (it.status, ready(it)) == ("Running", (False, False))
            answers.codes["ready"] = 0
            await it.clock.advance(1)
            assert ready(it) == (False, False)
            await it.clock.advance(1)
            assert ready(it) == (True, True)
            answers.codes["ready"] = 1
            await it.clock.advance(2)
            assert ready(it) == (True, True)
            await it.clock.advance(1)
            assert (ready(it), it.status, it.machine.restarts) == ((False, False), "Running", 0)
            assert [words for words, _, _ in messages(it, "Unhealthy")] == ["Readiness probe failed: no"]
            it.machine.end(0)
            answers.codes["ready"] = 0
            await it.clock.advance(it.runtime.delays.back_off)
            assert it.group.containers[0].state.kind == "Running"
            await it.clock.advance(2)
            assert ready(it) == (True, True)

    asyncio.run(body())


@pytest.mark.parametrize("given", [{}, {"HttpGet": {"Port": 80}}, {"TcpSocket": {"Port": 80}}])
def test_a_container_without_a_probe_that_is_executed_is_ready_when_it_runs(given: dict[str, Any]) -> None:
    async def body() -> None:
        async with scene(Container=main(ReadinessProbe=given, LivenessProbe=given)) as it:
            await it.run()
            await it.clock.advance(100)
            assert (ready(it), asked(it)) == ((True, True), [])

    asyncio.run(body())


def test_a_hook_is_run_after_each_start_and_before_each_stop() -> None:
    async def body() -> None:
        given = main(LifecyclePostStartHandlerExec=["up"], LifecyclePreStopHandlerExec=["down"])
        async with scene(Container=given) as it:
            answering(it)
            await it.run()
            assert asked(it) == ["up"]
            it.life.restart()
            await it.clock.advance(it.runtime.delays.restarting + it.runtime.delays.pull)
            assert asked(it) == ["up", "down", "up"]
            it.life.delete(force=False)
            await it.clock.advance(it.runtime.delays.terminating)
            assert (asked(it), it.gone) == (["up", "down", "up", "down"], [it.group])

    asyncio.run(body())


def test_who_deletes_by_force_runs_no_hook() -> None:
    async def body() -> None:
        async with scene(Container=main(LifecyclePreStopHandlerExec=["down"])) as it:
            answering(it)
            await it.run()
            it.life.delete(force=True)
            await settle()
            assert (asked(it), it.gone) == ([], [it.group])

    asyncio.run(body())


def test_a_container_whose_hook_fails_after_its_start_ends() -> None:
    async def body() -> None:
        async with scene(Container=main(LifecyclePostStartHandlerExec=["up"]), RestartPolicy="Never") as it:
            answering(it, up=1)
            await it.clock.advance(100)
            assert (it.status, it.group.containers[0].state.exit_code) == ("Failed", 137)
            assert messages(it, "FailedPostStartHook") == [("PostStartHook failed: no", 1, "Warning")]

    asyncio.run(body())


def test_a_hook_that_fails_before_a_stop_stops_nothing() -> None:
    async def body() -> None:
        async with scene(Container=main(LifecyclePreStopHandlerExec=["down"])) as it:
            answering(it, down=3)
            await it.run()
            it.life.delete(force=False)
            await it.clock.advance(it.runtime.delays.terminating)
            assert (messages(it, "FailedPreStopHook")[0][0], it.gone) == ("PreStopHook failed: no", [it.group])

    asyncio.run(body())


@pytest.mark.parametrize("kind", ["LivenessProbe", "ReadinessProbe"])
@pytest.mark.parametrize(
    "number", ["PeriodSeconds", "TimeoutSeconds", "FailureThreshold", "SuccessThreshold", "InitialDelaySeconds"]
)
def test_a_probes_numbers_are_checked(kind: str, number: str) -> None:
    least = 0 if number == "InitialDelaySeconds" else 1
    check({"ContainerGroupName": "group", "Container": main(**{kind: {number: least}})}, Quirks())
    with pytest.raises(ApiError, match=number):
        check({"ContainerGroupName": "group", "Container": main(**{kind: {number: least - 1}})}, Quirks())


@pytest.mark.skipif(not plugins.probe("local").works, reason="local does not work here")
@pytest.mark.usefixtures("no_proxy")
def test_hooks_and_probes_are_processes_of_the_container() -> None:
    liveness = models.CreateContainerGroupRequestContainerLivenessProbe(
        exec=models.CreateContainerGroupRequestContainerLivenessProbeExec(command=["test", "-e", "/tmp/alive"]),
        initial_delay_seconds=1,
        period_seconds=1,
        failure_threshold=2,
        timeout_seconds=20,
    )
    readiness = models.CreateContainerGroupRequestContainerReadinessProbe(
        exec=models.CreateContainerGroupRequestContainerReadinessProbeExec(
            command=["/bin/sh", "-c", "test -e /tmp/ready || sleep 100"]
        ),
        period_seconds=1,
        timeout_seconds=1,
    )
    container = {
        "command": ["/bin/sh", "-c", "touch /tmp/alive; while :; do sleep 1; done"],
        "liveness_probe": liveness,
        "readiness_probe": readiness,
        "lifecycle_post_start_handler_exec": ["/bin/sh", "-c", "echo up >>/tmp/hooks"],
        "lifecycle_pre_stop_handler_exec": ["/bin/sh", "-c", "echo down >>/tmp/hooks"],
    }
    # So that what a hook wrote is there after a restart.
    with emulator("local", quirks={"restart-files": "kept"}) as eci:
        client = sdk(eci)
        made = create(client, container=container)

        def shown() -> Any:
            return groups(client, made, with_event=True)[0]

        def sh(script: str) -> str:
            command = json.dumps(["/bin/sh", "-c", script])
            return str(execute(client, made, command, sync=True, stdin=False, tty=False).sync_response)

        running(client, made)
        assert sh("cat /tmp/hooks") == "up\n"
        slow = "Readiness probe failed: command timed out after 1 s"
        until(lambda: slow in [event.message for event in shown().events])
        assert not shown().containers[0].ready
        sh("touch /tmp/ready")
        until(lambda: shown().containers[0].ready)
        assert shown().containers[0].restart_count == 0
        sh("rm /tmp/alive")
        until(lambda: shown().containers[0].restart_count == 1)
        until(lambda: shown().containers[0].ready)
        assert sh("cat /tmp/hooks") == "up\ndown\nup\n"
        assert {"Unhealthy", "Killing"} <= {event.reason for event in shown().events}
        assert shown().containers[0].previous_state.exit_code == 137
