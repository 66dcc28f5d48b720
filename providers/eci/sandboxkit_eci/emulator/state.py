"""What outlives the emulator: groups come back with their ids, tags and files; their processes are started anew."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import attrs

from sandboxkit_eci.emulator.events import Events
from sandboxkit_eci.emulator.groups import ENDED, Group, make_containers
from sandboxkit_eci.emulator.images import Commit, ImageCache, Phase
from sandboxkit_eci.emulator.service import Service

VERSION = 3
PLAIN = (
    "id",
    "serial",
    "account",
    "region",
    "given",
    "created",
    "tags",
    "zone",
    "instance_type",
    "intranet_ip",
    "succeeded",
    "failed",
    "expired",
    "cached",
)
"""What of a group is kept as it is."""


class StateError(Exception):
    """The file holds something else, or cannot be kept."""


class StateFile:
    """Keeps a service's state in a JSON file, which only its owner may read: it holds env and passwords."""

    def __init__(self, service: Service, path: Path) -> None:
        self._service = service
        self._path = path
        self._pending: asyncio.Handle | None = None
        self._open = False

    def load(self) -> None:
        """Take up what the file has, if it is there, and write every change from now on."""
        self._check()
        if self._path.exists():
            try:
                self._take(json.loads(self._path.read_text()))
            except OSError as exc:
                raise StateError(f"--state {self._path}: it cannot be read: {exc.strerror}") from exc
            except (ValueError, KeyError, TypeError) as exc:
                raise StateError(f"--state {self._path}: this is no emulator's state: {exc}") from exc
        self._open = True
        self._service.runtime.changed = self.soon

    def _check(self) -> None:
        """Raise :class:`StateError` where the file cannot be written, which no client could be told later."""
        if self._path.is_dir():
            raise StateError(f"--state {self._path}: it is a directory")
        try:
            # Tried, not asked for: permissions do not tell of a file system that is read-only.
            os.close(self._begin())
            self._temporary.unlink()
        except OSError as exc:
            raise StateError(f"--state {self._path}: it cannot be written: {exc.strerror}") from exc

    @property
    def _temporary(self) -> Path:
        return self._path.with_name(self._path.name + ".new")

    def _begin(self) -> int:
        return os.open(self._temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)

    def soon(self) -> None:
        """Write the file when the loop has time for it."""
        if self._open and self._pending is None:
            self._pending = asyncio.get_running_loop().call_soon(self.save)

    def save(self) -> None:
        """Write the file, whole or not at all."""
        self._pending = None
        with os.fdopen(self._begin(), "w") as file:
            json.dump(self._give(), file)
        self._temporary.replace(self._path)

    def close(self) -> None:
        """Write it for the last time: what happens now is the end of the machines, not of the groups."""
        if self._open:
            self.save()
            self._open = False

    def _give(self) -> dict[str, Any]:
        return {
            "version": VERSION,
            "groups": [
                {
                    **{name: getattr(group, name) for name in PLAIN},
                    "status": group.status,
                    "size": list(group.size),
                    "machines": [None if each.machine is None else each.machine.key for each in group.containers],
                }
                for group in self._service.groups.all()
                if group.status != "Terminating"
            ],
            "tokens": self._service.tokens.dump(),
            "images": sorted(self._service.runtime.images),
            "caches": [attrs.asdict(cache) for cache in self._service.images.caches.values()],
            "commits": [attrs.asdict(commit) for commit in self._service.images.commits.values()],
            "backend": self._service.runtime.backend.dump(),
        }

    def _take(self, kept: dict[str, Any]) -> None:
        if kept["version"] != VERSION:
            raise ValueError(f"version {kept['version']}, not {VERSION}")
        self._service.runtime.backend.load(kept["backend"])
        self._service.tokens.load(kept["tokens"])
        for each in kept["caches"]:
            # One that was being made is begun again.
            self._service.images.make(ImageCache(**each))
        for each in kept["commits"]:
            phases = [Phase(**phase) for phase in each.pop("phases")]
            self._service.images.resume(Commit(**each, phases=phases))
        self._service.runtime.images.update(kept["images"])
        for each in kept["groups"]:
            status, size, machines = each.pop("status"), tuple(each.pop("size")), each.pop("machines")
            given = each["given"]
            group = Group(
                **each,
                size=size,
                containers=make_containers(given, "Container", each["id"], size, each["intranet_ip"]),
                init_containers=make_containers(given, "InitContainer", each["id"], size, each["intranet_ip"]),
                events=Events(each["id"]),
                status=status if status in ENDED else "Scheduling",
            )
            for container, key in zip(group.containers, machines, strict=True):
                container.kept = key
            self._service.groups.begin(group)
