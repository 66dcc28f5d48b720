"""A container runs another command."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import attrs

from sandboxkit_eci.emulator.backend import Machine, NotRunning, Stream
from sandboxkit_eci.emulator.calls import Call
from sandboxkit_eci.emulator.containers import Container
from sandboxkit_eci.emulator.errors import ApiError, incorrect_status, invalid, too_much
from sandboxkit_eci.emulator.lifecycle import Life
from sandboxkit_eci.emulator.quirks import Quirks, convert
from sandboxkit_eci.emulator.session import SessionQuirks, collect
from sandboxkit_eci.emulator.tickets import Ticket


async def exec_container_command(call: Call) -> dict[str, Any]:
    """Prepare a command's session, or run the command to its end with ``Sync=true``."""
    given, quirks = call.given, call.service.runtime.quirks
    argv = read_command(given["Command"], quirks)
    tty, stdin, sync = given.get("TTY", False), given.get("Stdin", True), given.get("Sync", False)
    if argv == ("/bin/bash",) and (sync or (quirks.bash_needs_tty and not tty)):
        raise invalid("Command", "/bin/bash needs TTY=true and Sync=false")
    if sync and tty:
        raise invalid("TTY", "must be false if Sync is true")
    container, machine = running_container(call, quirks.exec_statuses.split(","))
    if sync:
        return {"SyncResponse": await _output(machine, argv, quirks, stdin=stdin)}
    stream = None
    if quirks.exec_starts == "on-call":
        stream = await _start(machine, argv, tty=tty, stdin=stdin)
    ticket = Ticket(
        container=container,
        argv=argv,
        tty=tty,
        stdin=stdin,
        made=call.now,
        quirks=_session_quirks(call),
        stream=stream,
    )
    key = call.service.tickets.add(ticket)
    address = call.origin.replace("http", "ws", 1)
    return {"WebSocketUri": f"{address}/exec/?s={key}", "HttpUrl": f"{call.origin}/terminal?param={key}"}


def read_command(text: str, quirks: Quirks) -> tuple[str, ...]:
    """Read Command: a JSON array of strings, in all no longer than the service takes."""
    if len(text.encode("utf-8", "replace")) > quirks.command_limit:
        raise ApiError(400, quirks.command_limit_code, f"Command has at most {quirks.command_limit} bytes.")
    try:
        argv = json.loads(text)
    except (ValueError, RecursionError):
        argv = None
    if not isinstance(argv, list) or not argv or not all(isinstance(each, str) for each in argv):
        raise invalid("Command", "must be a JSON array of strings")
    if quirks.command_elements == "documented" and (len(argv) > 20 or any(len(each) > 256 for each in argv)):
        raise too_much("Command has at most 20 elements of 256 characters")
    if any("\0" in each for each in argv):
        raise invalid("Command", "must not contain NUL")
    return tuple(argv)


def running_container(call: Call, statuses: Sequence[str]) -> tuple[Container, Machine]:
    """Give the container that the call names and what runs it; raises unless its group has one of the statuses."""
    life = call.life()
    group = life.group
    container = named_container(call, life)
    if group.status not in statuses:
        raise incorrect_status(group.id, group.status, call.action)
    if container.machine is None or container.state.kind != "Running":
        raise ApiError(400, "IncorrectStatus", f"The container {container.name} is {container.state.kind}.")
    return container, container.machine


def named_container(call: Call, life: Life) -> Container:
    """Give the container that the call names."""
    name = call.given["ContainerName"]
    for container in life.group.all_containers:
        if container.name == name:
            return container
    words = f"The specified container {name} does not exist."
    raise ApiError(call.service.runtime.quirks.not_found_status, "InvalidParameter.NotFound", words)


async def _start(machine: Machine, argv: tuple[str, ...], *, tty: bool, stdin: bool) -> Stream:
    try:
        return await machine.exec(argv, tty=tty, stdin=stdin)
    except NotRunning as exc:  # it has ended since it was looked at
        raise ApiError(400, "IncorrectStatus", f"The command cannot be started: {exc}.") from exc


async def _output(machine: Machine, argv: tuple[str, ...], quirks: Quirks, *, stdin: bool) -> str:
    try:
        stream = await _start(machine, argv, tty=False, stdin=stdin)
        return await collect(stream, limit=quirks.sync_bytes, timeout=quirks.sync_seconds)
    except TimeoutError:
        raise ApiError(408, "RequestTimeout", "The command did not end in time.") from None
    except OSError as exc:  # the program is not there: the words are all that a client gets
        return str(exc)


def _session_quirks(call: Call) -> SessionQuirks:
    """Give the session's quirks: the emulator's, and those of the faults that strike this exec."""
    quirks = call.service.session_quirks
    for fault in call.faults:
        if fault.kind == "session":
            name, _, text = fault.value.partition("=")
            name = name.replace("-", "_")
            quirks = attrs.evolve(quirks, **{name: convert(text, SessionQuirks, name)})
    return quirks
