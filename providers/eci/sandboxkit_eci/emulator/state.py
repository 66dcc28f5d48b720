"""What outlives the emulator: groups come back with their ids, as if their machines had been started anew."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

from sandboxkit_eci.emulator.events import Events
from sandboxkit_eci.emulator.groups import ENDED, Group, make_containers
from sandboxkit_eci.emulator.service import Service

VERSION = 1
PLAIN = (
    "id",
    "serial",
    "account",
    "region",
    "given",
    "created",
    "tags",
    "intranet_ip",
    "succeeded",
    "failed",
    "expired",
)
"""What of a group is kept as it is."""


class StateFile:
    """Keeps a service's state in a JSON file, which only its owner may read: it holds env and passwords."""

    def __init__(self, service: Service, path: Path) -> None:
        self._service = service
        self._path = path
        self._pending: asyncio.Handle | None = None
        self._open = False

    def load(self) -> None:
        """Take up what the file has, if it is there, and write every change from now on."""
        if self._path.exists():
            self._take(json.loads(self._path.read_text()))
        self._open = True
        self._service.groups.changed = self.soon

    def soon(self) -> None:
        """Write the file when the loop has time for it."""
        if self._open and self._pending is None:
            self._pending = asyncio.get_running_loop().call_soon(self.save)

    def save(self) -> None:
        """Write the file, whole or not at all."""
        self._pending = None
        temporary = self._path.with_name(self._path.name + ".new")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(self._give(), file)
        temporary.replace(self._path)

    def close(self) -> None:
        """Write it for the last time: what happens now is the end of the machines, not of the groups."""
        if self._open:
            self.save()
            self._open = False

    def _give(self) -> dict[str, Any]:
        return {
            "version": VERSION,
            "groups": [
                {**{name: getattr(group, name) for name in PLAIN}, "status": group.status, "size": list(group.size)}
                for group in self._service.groups.all()
                if group.status != "Terminating"
            ],
            "tokens": self._service.tokens.dump(),
            "images": sorted(self._service.runtime.images),
        }

    def _take(self, kept: dict[str, Any]) -> None:
        self._service.tokens.load(kept["tokens"])
        self._service.runtime.images.update(kept["images"])
        for each in kept["groups"]:
            status, size = each.pop("status"), tuple(each.pop("size"))
            given = each["given"]
            group = Group(
                **each,
                size=size,
                containers=make_containers(given, "Container", each["id"], size),
                init_containers=make_containers(given, "InitContainer", each["id"], size),
                events=Events(each["id"]),
                status=status if status in ENDED else "Scheduling",
            )
            self._service.groups.begin(group)
