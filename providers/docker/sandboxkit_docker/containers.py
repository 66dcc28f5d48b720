"""Calls about one container by its id or name."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any

from sandboxkit.errors import DeadlineExceeded, ProviderError
from sandboxkit.model import STDOUT
from sandboxkit_docker.daemon import Daemon
from sandboxkit_docker.faults import failure
from sandboxkit_docker.frames import FrameParser

_REFERENCE = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}")

POLL = 0.05
"""Seconds between two looks at a container that is going away."""


def is_reference(text: str) -> bool:
    """Whether this can be a container's id or name: anything else must not get into a path."""
    return _REFERENCE.fullmatch(text) is not None


def inspect(daemon: Daemon, reference: str, *, until: float | None) -> Mapping[str, Any] | None:
    """Give ``GET /containers/ID/json``, ``None`` if there is no such container."""
    answer = daemon.request("GET", f"/containers/{reference}/json", until=until)
    if answer.status == 404:
        return None
    if answer.status != 200 or not isinstance(answer.body, Mapping):
        raise failure(answer.status, answer.message, "asking for the sandbox")
    return answer.body


def output(
    daemon: Daemon, container: str, argv: tuple[str, ...], *, user: str = "", until: float | None
) -> bytes | None:
    """Run a small program to its end and give what it wrote on stdout; ``None`` if the container does not run."""
    until = daemon.limited(until)
    body = {"AttachStdout": True, "Cmd": list(argv), "User": user}
    answer = daemon.request("POST", f"/containers/{container}/exec", until=until, body=body)
    if answer.status == 201:
        path = f"/exec/{answer.body['Id']}/start"
        response = daemon.send("POST", path, until=until, body={"Detach": False, "Tty": False})
        if response.status == 200:
            frames = FrameParser().feed(daemon.read_bytes(response, path, until))
            return b"".join(data for stream, data in frames if stream == STDOUT)
        answer = daemon.read(response, path, until)
    if answer.status in (404, 409) or "is not running" in answer.message:
        return None
    raise failure(answer.status, answer.message, "running a program")


def set_modes(
    daemon: Daemon, container: str, owner: str, modes: list[tuple[str, str]], *, until: float | None
) -> None:
    """Give directories these modes, each a mode and a path, as their owner; nothing if the container has ended."""
    script = 'while [ $# -gt 0 ];do chmod "$1" "$2"||exit;shift 2;done;echo done'
    argv = ("/bin/sh", "-c", script, "sandboxkit", *(word for pair in modes for word in pair))
    said = output(daemon, container, argv, user=owner, until=until)
    if said is not None and said.strip() != b"done":
        paths = ", ".join(path for _, path in modes)
        raise ProviderError(f"the mode of the tmpfs at {paths} could not be set")


def remove(daemon: Daemon, container: str, *, until: float | None) -> bool:
    """Remove a container with its processes and anonymous volumes, and wait until it is gone.

    ``False`` if it was gone already; never silent about a failure. SIGKILL, not ``stop``: nothing in it can delay it.
    """
    until = time.monotonic() + daemon.options.timeout if until is None else until
    removed = False
    while True:
        answer = daemon.request("DELETE", f"/containers/{container}", until=until, query={"v": 1, "force": 1})
        if answer.status == 204:
            return True  # the daemon answers when it has forgotten the container
        if answer.status == 404:
            return removed
        in_progress = answer.status == 409 and "already in progress" in answer.message
        if not in_progress and answer.status not in (409, 500):
            raise failure(answer.status, answer.message, "deleting the sandbox")
        if time.monotonic() + POLL >= until:
            error = failure(answer.status, answer.message, "deleting the sandbox")
            raise DeadlineExceeded(f"{error}; it is not gone yet") from error
        # Someone else is at it, or a busy mount: it may pass, and only 404 says that it did.
        removed = removed or not in_progress
        time.sleep(POLL)
