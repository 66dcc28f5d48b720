"""What only ``local`` has: its connect options, and its part of a sandbox's specification."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any, Literal

import attrs

from sandboxkit.errors import InvalidSpec

Isolation = Literal["namespaces", "none"]

_OWN_PLACES = ("/", "/dev", "/home", "/proc", "/root", "/run", "/sys", "/tmp", "/var", "/workspace")


def _paths(value: Iterable[str | os.PathLike[str]]) -> tuple[str, ...]:
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        raise InvalidSpec(f"read_only is a list of paths, not {value!r}")
    paths = tuple(value)
    if not all(isinstance(path, str | os.PathLike) for path in paths):
        raise InvalidSpec("read_only is a list of paths, each a text or a pathlib.Path")
    return tuple(os.fspath(path) for path in paths)


def _path(value: Any) -> Any:
    """Make text of a path; what is none stays as it is, as a converter does not know its field."""
    return os.fspath(value) if isinstance(value, os.PathLike) else value


@attrs.frozen(kw_only=True)
class LocalConnect:
    """The connect options.

    ``isolation="none"`` runs commands as plain processes of this user, with no protection at all.
    ``state_dir`` is where sandboxes are kept (else ``SANDBOXKIT_LOCAL_STATE``, else ``/var/lib/sandboxkit`` for root
    and ``~/.local/state/sandboxkit`` for a user); sandboxes are found only by who uses the same one.
    """

    isolation: Isolation = "namespaces"
    state_dir: str | None = attrs.field(default=None, converter=_path)

    @classmethod
    def read(cls, options: Mapping[str, Any]) -> LocalConnect:
        """Make them from what ``connect`` was given; raises ``InvalidSpec`` naming what is known."""
        known = [field.name for field in attrs.fields(cls)]
        for name in options:
            if name not in known:
                raise InvalidSpec(f"provider 'local' has no option {name!r} (known: {', '.join(known)})")
        made = cls(**options)
        if made.isolation not in ("namespaces", "none"):
            raise InvalidSpec(f"isolation must be 'namespaces' or 'none', not {made.isolation!r}")
        if made.state_dir == "":
            raise InvalidSpec("state_dir is empty; leave it out for the usual place")
        if made.state_dir is not None and (not isinstance(made.state_dir, str) or "\0" in made.state_dir):
            raise InvalidSpec(f"state_dir is a path as text or a pathlib.Path, not {made.state_dir!r}")
        return made


@attrs.frozen(kw_only=True)
class LocalOptions:
    """What of a specification only ``local`` has: ``create(options=LocalOptions(...))``.

    ``pids`` is the most processes and threads at a time. ``read_only`` names files and directories of the host that
    the sandbox sees too, at the same paths and read-only.
    """

    pids: int = 512
    read_only: tuple[str, ...] = attrs.field(default=(), converter=_paths)

    def check(self, state: str) -> None:
        """Raise ``InvalidSpec`` for what cannot be right; ``state`` is the directory that must not be shown."""
        if isinstance(self.pids, bool) or not isinstance(self.pids, int) or not 8 <= self.pids <= 1_000_000:
            raise InvalidSpec(f"pids must be a number from 8 to 1,000,000, not {self.pids!r}")
        for path in self.read_only:
            _check_shown(path)
            real = os.path.realpath(path)
            if real == state or real.startswith(state + "/"):
                raise InvalidSpec(f"read_only cannot show {path!r}: it is the state directory of the sandboxes")


def _check_shown(path: str) -> None:
    plain = str(PurePosixPath(path))
    if not path.startswith("/") or ".." in PurePosixPath(path).parts:
        raise InvalidSpec(f"read_only paths are absolute and without '..', not {path!r}")
    if plain in _OWN_PLACES or plain.startswith(("/proc/", "/sys/", "/dev/")):
        raise InvalidSpec(f"read_only cannot show {plain!r}: the sandbox has its own there")
    if not os.path.lexists(plain):
        raise InvalidSpec(f"read_only names {plain!r}, which does not exist on this host")
