"""What a user can say about Docker: when connecting, and for one sandbox."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import attrs

from sandboxkit.commands import LONGEST_TIMEOUT
from sandboxkit.errors import InvalidSpec
from sandboxkit.kinds import check_kinds, mapping, words
from sandboxkit.texts import is_utf8

DEFAULT_PIDS = 512
"""Processes that a sandbox may have unless told otherwise; the keep-alive takes up to four."""


@attrs.frozen(kw_only=True)
class ConnectOptions:
    """How to reach the daemon.

    ``base_url`` is ``unix:///path``, ``tcp://host:port`` or ``npipe:////./pipe/name``; without it
    ``DOCKER_HOST``, ``DOCKER_TLS_VERIFY`` and ``DOCKER_CERT_PATH`` count, as for the ``docker`` command. ``timeout``
    is the most seconds that one call of the API may take; a pull may take longer while it makes progress.
    ``tls_ca``, ``tls_cert`` and ``tls_key`` are files; ``tls_verify=False`` accepts any certificate of the daemon's.
    """

    base_url: str | None = None
    timeout: float = 60.0
    tls_ca: str | None = None
    tls_cert: str | None = None
    tls_key: str | None = None
    tls_verify: bool = True


def connect_options(options: Mapping[str, Any]) -> ConnectOptions:
    """Check the connect options; ``InvalidSpec`` names the unknown one and those that are known."""
    known = [field.name for field in attrs.fields(ConnectOptions)]
    for name in options:
        if name not in known:
            raise InvalidSpec(f"no connect option {name!r} for docker (known: {', '.join(known)}, image, owner)")
    made = ConnectOptions(**options)
    if made.base_url is not None and not isinstance(made.base_url, str):
        raise InvalidSpec(f"base_url must be text like 'unix:///var/run/docker.sock', not {made.base_url!r}")
    if not _is_number(made.timeout) or not 0 < made.timeout <= LONGEST_TIMEOUT:
        raise InvalidSpec(
            f"timeout must be a positive number of seconds, at most {LONGEST_TIMEOUT:g}, not {made.timeout!r}"
        )
    if made.base_url is None and (made.tls_ca or made.tls_cert or made.tls_key):
        raise InvalidSpec("tls_ca, tls_cert and tls_key need base_url, like 'tcp://host:2376'")
    if bool(made.tls_cert) != bool(made.tls_key):
        raise InvalidSpec("tls_cert and tls_key belong together; give both")
    return made


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


@attrs.frozen(kw_only=True)
class RegistryAuth:
    """Credentials for pulling one image; they are sent to the daemon only, and never shown."""

    username: str
    password: str = attrs.field(repr=False)
    registry: str | None = None


@attrs.frozen(kw_only=True)
class DockerOptions:
    """What only Docker has, for ``SandboxSpec.options``.

    ``pids`` limits the sandbox's processes (``None``: the daemon's default). ``read_only`` makes the root file system
    so; ``tmpfs`` maps a directory to mount options like ``"size=64m,mode=1777"`` (``""`` for Docker's defaults).
    ``cap_add`` and ``cap_drop`` change the few kernel capabilities that a sandbox keeps; ``security_opt`` adds to
    ``no-new-privileges`` (``"no-new-privileges:false"`` takes it back). ``extra_hosts`` maps names to addresses.
    ``volumes`` maps a path of the daemon's host, or a volume's name, to a path inside, with ``:ro`` for read-only:
    whatever it names, code in the sandbox can reach. ``shm_mib`` is the size of ``/dev/shm``. ``platform`` is like
    ``"linux/arm64"``, ``runtime`` like ``"runsc"``.

    ``pull``: ``"missing"`` pulls an image that is not there, ``"always"`` asks the registry each time, ``"never"``
    does not pull. ``auth`` is for that; without it the SDK's ``~/.docker/config.json`` counts.
    """

    pids: int | None = DEFAULT_PIDS
    read_only: bool = False
    tmpfs: Mapping[str, str] = attrs.field(factory=dict, converter=mapping)
    cap_add: tuple[str, ...] = attrs.field(default=(), converter=words)
    cap_drop: tuple[str, ...] = attrs.field(default=(), converter=words)
    security_opt: tuple[str, ...] = attrs.field(default=(), converter=words)
    extra_hosts: Mapping[str, str] = attrs.field(factory=dict, converter=mapping)
    volumes: Mapping[str, str] = attrs.field(factory=dict, converter=mapping)
    shm_mib: int | None = None
    platform: str | None = None
    runtime: str | None = None
    pull: Literal["missing", "always", "never"] = "missing"
    auth: RegistryAuth | None = attrs.field(default=None, repr=False)


def docker_options(options: Any) -> DockerOptions:
    """Check ``SandboxSpec.options``."""
    if options is None:
        return DockerOptions()
    if not isinstance(options, DockerOptions):
        raise InvalidSpec(f"options for docker are a DockerOptions, not a {type(options).__name__}")
    check_kinds(
        options,
        texts=("platform", "runtime"),
        flags=("read_only",),
        lists={"cap_add": str, "cap_drop": str, "security_opt": str},
        mappings={"tmpfs": str, "extra_hosts": str, "volumes": str},
    )
    if options.pids is not None and (not isinstance(options.pids, int) or options.pids < 16):
        raise InvalidSpec(f"pids must be a whole number of 16 or more, or None, not {options.pids!r}")
    if options.shm_mib is not None and (not isinstance(options.shm_mib, int) or options.shm_mib < 1):
        raise InvalidSpec(f"shm_mib must be a whole number of 1 or more, not {options.shm_mib!r}")
    if options.pull not in ("missing", "always", "never"):
        raise InvalidSpec(f"pull is 'missing', 'always' or 'never', not {options.pull!r}")
    for path in (*options.tmpfs, *(inner.split(":")[0] for inner in options.volumes.values())):
        if not path.startswith("/"):
            raise InvalidSpec(f"{path!r} is not an absolute path inside the sandbox")
    for name, value in attrs.asdict(options).items():
        if not all(map(is_utf8, _texts(value))):
            raise InvalidSpec(f"{name} is not UTF-8 text, and the daemon takes no other")
    return options


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for pair in value.items():
            yield from _texts(pair)
    elif isinstance(value, tuple):
        for item in value:
            yield from _texts(item)
