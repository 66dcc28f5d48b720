"""One container of a group: what was asked for, the machine behind it, and its states."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import attrs

from sandboxkit_eci.emulator.backend import ContainerSpec, Machine, Usage
from sandboxkit_eci.emulator.logs import Written
from sandboxkit_eci.emulator.volumes import ConfigFile


@attrs.frozen(kw_only=True)
class State:
    """``Waiting``, ``Running`` or ``Terminated``, with what the API tells of it."""

    kind: str = "Waiting"
    reason: str = ""
    message: str = ""
    exit_code: int | None = None
    started: float | None = None
    finished: float | None = None


@attrs.define(eq=False, kw_only=True)
class Container:
    """A container's life; ``given`` is its part of the create request."""

    given: Mapping[str, Any] = attrs.field(repr=False)
    group_id: str
    size: tuple[float, float]
    """The group's vCPUs and GiB, for a container that asks for nothing itself."""
    fields: Mapping[str, str] = attrs.field(factory=dict)
    """What an environment variable may take its value from."""
    directories: tuple[str, ...] = ()
    files: Mapping[str, ConfigFile] = attrs.field(factory=dict)
    state: State = State(reason="ContainerCreating")
    previous: State | None = None
    restarts: int = 0
    passed: bool = True
    """Whether its readiness probe says so."""
    machine: Machine | None = None
    kept: str | None = None
    """What a backend calls the machine that an emulator before this one left."""
    kept_log: Written = attrs.field(factory=Written)
    sample: tuple[float, int] = (0.0, 0)
    """When its CPU time was last looked at, and what it was."""
    used: Usage = attrs.field(factory=Usage)
    """What it had used then."""
    previous_log: Written = attrs.field(factory=Written)

    @property
    def name(self) -> str:
        """Its name, unique in the group."""
        return str(self.given["Name"])

    @property
    def spec(self) -> ContainerSpec:
        """What the backend is to start."""
        given, security = self.given, self.given.get("SecurityContext", {})
        return ContainerSpec(
            group_id=self.group_id,
            name=self.name,
            image=given["Image"],
            command=tuple(given.get("Command", ())),
            args=tuple(given.get("Arg", ())),
            env={each["Key"]: self._value(each) for each in given.get("EnvironmentVar", ()) if each.get("Key")},
            working_dir=given.get("WorkingDir") or None,
            cpu=given.get("Cpu") or self.size[0],
            memory=given.get("Memory") or self.size[1],
            run_as_user=security.get("RunAsUser"),
            read_only_root=security.get("ReadOnlyRootFilesystem", False),
            directories=self.directories,
            files=self.files,
        )

    def _value(self, variable: Mapping[str, Any]) -> str:
        path = variable.get("FieldRef", {}).get("FieldPath")
        return str(variable.get("Value", "") if path is None else self.fields.get(path, ""))

    def runs(self, *, now: float) -> None:
        """Note that its process has started."""
        self.state = State(kind="Running", started=now)
        # One that is executed has to succeed first; another is not asked.
        self.passed = not self.given.get("ReadinessProbe", {}).get("Exec", {}).get("Command")

    @property
    def ready(self) -> bool:
        """Whether it runs and its readiness probe, if it has one, says so."""
        return self.state.kind == "Running" and self.passed

    def waits(self, reason: str, message: str = "") -> None:
        """Note that it is held up."""
        if self.state.kind == "Terminated":
            self.previous = self.state
        self.state = State(reason=reason, message=message)

    def ends(self, code: int | None, *, now: float, reason: str = "", message: str = "") -> None:
        """Note that its process has ended."""
        if self.state.kind == "Terminated":
            return
        reason = reason or ("Completed" if code == 0 else "Error")
        self.state = State(
            kind="Terminated",
            reason=reason,
            message=message,
            exit_code=code,
            started=self.state.started,
            finished=now,
        )

    def log(self, *, previous: bool = False) -> Written:
        """Give what its process wrote, this one or the one before."""
        if previous:
            return self.previous_log
        return self.kept_log if self.machine is None else self.machine.log()

    def turn_log(self) -> None:
        """Begin a new log: the process is about to be started anew."""
        self.previous_log = self.log()

    async def usage(self) -> Usage:
        """Tell what it has used."""
        return Usage() if self.machine is None else await self.machine.usage()

    async def release(self) -> None:
        """Let go of what is behind it, for ever; its log stays. What is cancelled or fails can be done again."""
        machine = self.machine
        if machine is not None:
            with suppress(Exception):  # a log that cannot be had is no reason to keep the machine
                self.kept_log = machine.log()
            await machine.remove()
            self.machine = None
