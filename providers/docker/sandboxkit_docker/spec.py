"""What a specification becomes in the daemon's JSON; pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from sandboxkit import bookkeeping as books
from sandboxkit.errors import InvalidSpec
from sandboxkit.model import CreateRequest, SandboxSpec
from sandboxkit.texts import is_utf8
from sandboxkit_docker import keepalive
from sandboxkit_docker.labels import CPU, CREATED_AT, MEMORY, NAMES
from sandboxkit_docker.options import DockerOptions, docker_options

GIB = 1 << 30

NANO = 1e9
"""What the daemon counts in a core."""

LARGEST = 1 << 63
"""The daemon's whole numbers are below this."""

# All that root in a container needs to install packages and to manage files, users and processes. Docker's own
# default has six more, which ordinary work does without: AUDIT_WRITE, MKNOD (device nodes), NET_RAW (forged packets;
# ping works without), SETFCAP, SETPCAP and SYS_CHROOT.
CAPABILITIES = (
    "CHOWN",  # apt, dpkg, tar, install: give files to their owners
    "DAC_OVERRIDE",  # root reads and writes files of other users
    "FOWNER",  # chmod, utime and rename in sticky directories on files of other users
    "FSETID",  # keep setgid and setuid bits when tar or dpkg write
    "KILL",  # end processes of other users: also sandboxkit's own kill
    "NET_BIND_SERVICE",  # listen on ports below 1024
    "SETGID",  # su, setpriv, apt's _apt, daemons that drop privileges
    "SETUID",
)


def container_body(request: CreateRequest, *, attempt: str, now: float) -> dict[str, Any]:
    """Give the body of ``POST /containers/create``; raises ``InvalidSpec`` for what cannot be right."""
    spec, options = request.spec, docker_options(request.spec.options)
    check(spec)
    body: dict[str, Any] = {
        "Image": spec.image,
        # The entry point is the whole command line: an image's own would get it as arguments.
        "Entrypoint": list(keepalive.argv(request.expires_at, spec.command)),
        "Cmd": [],
        "Env": [f"{name}={value}" for name, value in spec.env.items()],
        "Labels": {**spec.labels, **_labels(request, attempt, now)},
        "AttachStdin": False,
        "OpenStdin": False,
        "StopSignal": "SIGTERM",
        # An image's health check would run as extra processes in the sandbox.
        "Healthcheck": {"Test": ["NONE"]},
        "HostConfig": _host_config(spec, options),
    }
    if spec.cwd is not None:
        body["WorkingDir"] = spec.cwd
    if spec.user is not None:
        body["User"] = spec.user
    if spec.ports:
        body["ExposedPorts"] = {f"{port}/tcp": {} for port in spec.ports}
    return body


def check(spec: SandboxSpec) -> None:
    """Refuse what the daemon would refuse late, or would take to mean something else."""
    if not spec.image:
        raise InvalidSpec("docker needs an image: create(image='python:3.12-slim') or connect(..., image=...)")
    if not re.fullmatch(r"[\w.:/@-]+", spec.image, re.ASCII) or spec.image.startswith("-"):
        raise InvalidSpec(f"{spec.image!r} is not the name of an image")
    books.refuse_own(spec.labels)
    if spec.cwd is not None and not spec.cwd.startswith("/"):
        raise InvalidSpec(f"cwd must be an absolute path, not {spec.cwd!r}")
    if spec.ports and spec.network is False:
        raise InvalidSpec("ports need a network; leave one of ports and network=False out")
    if spec.memory_gib is not None and spec.memory_gib * GIB < 6 * 2**20:
        raise InvalidSpec(f"docker needs at least 6 MiB of memory, not memory_gib={spec.memory_gib:g}")
    if spec.cpu is not None and spec.cpu < 0.01:
        raise InvalidSpec(f"docker needs at least a hundredth of a core, not cpu={spec.cpu:g}")
    if spec.memory_gib is not None and spec.memory_gib * GIB >= LARGEST:
        raise InvalidSpec(f"memory_gib={spec.memory_gib:g} is more than the daemon can be told")
    if spec.cpu is not None and spec.cpu * NANO >= LARGEST:
        raise InvalidSpec(f"cpu={spec.cpu:g} is more than the daemon can be told")
    _check_texts(spec)
    if spec.command and spec.command[0].startswith("-"):
        # The shell that starts it would take the name for an option.
        raise InvalidSpec(f"a command's program cannot begin with a dash: {spec.command[0]!r}")


def _check_texts(spec: SandboxSpec) -> None:
    fields: Mapping[str, Sequence[str]] = {
        "command": spec.command or (),
        "env": (*spec.env, *spec.env.values()),
        "labels": (*spec.labels, *spec.labels.values()),
        "user": (spec.user or "",),
        "cwd": (spec.cwd or "",),
    }
    for name, texts in fields.items():
        if any("\0" in text for text in texts):
            raise InvalidSpec(f"{name} cannot hold a NUL byte")
        # The daemon would put U+FFFD in its place and say nothing.
        if not all(map(is_utf8, texts)):
            raise InvalidSpec(f"{name} is not UTF-8 text, and the daemon takes no other")


def _labels(request: CreateRequest, attempt: str, now: float) -> dict[str, str]:
    labels = {
        **books.entries(request, attempt),
        books.EXPIRES_AT: repr(float(request.expires_at)),
        CREATED_AT: repr(float(now)),
        # A container has its image's labels too: this tells them from the user's.
        NAMES: json.dumps(sorted(request.spec.labels)),
    }
    # A listing of the daemon's does not tell the limits.
    if request.spec.cpu is not None:
        labels[CPU] = repr(float(request.spec.cpu))
    if request.spec.memory_gib is not None:
        labels[MEMORY] = repr(float(request.spec.memory_gib))
    return labels


def _host_config(spec: SandboxSpec, options: DockerOptions) -> dict[str, Any]:
    security = list(options.security_opt)
    if not any(item.startswith("no-new-privileges") for item in security):
        security.append("no-new-privileges")
    host: dict[str, Any] = {
        "NetworkMode": "none" if spec.network is False else "bridge",
        "CapDrop": ["ALL"],
        "CapAdd": _capabilities(options),
        "SecurityOpt": security,
        "ReadonlyRootfs": options.read_only,
        # PID 1 is the keep-alive and reaps; a sandbox must not come back by itself after its deadline.
        "Init": False,
        "RestartPolicy": {"Name": "no"},
        "AutoRemove": False,
    }
    if options.pids is not None:
        host["PidsLimit"] = options.pids
    if spec.cpu is not None:
        host["NanoCpus"] = round(spec.cpu * NANO)
    if spec.memory_gib is not None:
        # MemorySwap is memory and swap together: equal means no swap beyond the limit.
        host["Memory"] = host["MemorySwap"] = round(spec.memory_gib * GIB)
    if options.tmpfs:
        host["Tmpfs"] = tmpfs_mounts(options, spec.user)
    if options.volumes:
        host["Binds"] = [f"{source}:{inner}" for source, inner in options.volumes.items()]
    if options.extra_hosts:
        host["ExtraHosts"] = [f"{name}:{address}" for name, address in options.extra_hosts.items()]
    if options.shm_mib is not None:
        host["ShmSize"] = options.shm_mib << 20
    if options.runtime is not None:
        host["Runtime"] = options.runtime
    if spec.ports:
        # No host port: the daemon picks a free one, so that no two creates can clash.
        binding = [{"HostIp": "127.0.0.1", "HostPort": ""}]
        host["PortBindings"] = {f"{port}/tcp": binding for port in spec.ports}
    return host


def tmpfs_mounts(options: DockerOptions, user: str | None) -> dict[str, str]:
    """Give the tmpfs of a sandbox, as path and mount options."""
    return {path: _owned(mount, user) for path, mount in options.tmpfs.items()}


def _owned(mount: str, user: str | None) -> str:
    """Give a tmpfs to a user who is a number: else, over a directory of root's, he could not write to it."""
    found = re.fullmatch(r"(\d+)(?::(\d+))?", user or "")
    if found is None or re.search(r"\b[ug]id=", mount):
        return mount
    return ",".join(filter(None, (mount, f"uid={found[1]}", f"gid={found[2] or found[1]}")))


def modes_of(mounts: Mapping[str, str]) -> dict[str, list[tuple[str, str]]]:
    """Give the modes that a container's tmpfs should have, as mode and path, by the owner who can set them.

    runc gives a tmpfs the mode of the directory that it is mounted over, whatever its options say; that directory is
    the daemon's making if it is the working directory. Root cannot do it for others: where the sandbox's user is not
    root, root has no capabilities there either.
    """
    found: dict[str, list[tuple[str, str]]] = {}
    for path, mount in mounts.items():
        if mode := re.search(r"\bmode=([0-7]+)", mount):
            owner = re.search(r"\buid=(\d+)", mount)
            found.setdefault(owner[1] if owner else "0", []).append((mode[1], path))
    return found


def _capabilities(options: DockerOptions) -> list[str]:
    def bare(name: str) -> str:
        return name.upper().removeprefix("CAP_")

    dropped = {bare(name) for name in options.cap_drop}
    kept = [] if "ALL" in dropped else [name for name in CAPABILITIES if name not in dropped]
    return [*kept, *(name for name in map(bare, options.cap_add) if name not in kept)]
