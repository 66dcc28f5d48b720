"""A client of an emulated account, and what the account was asked and has."""

from __future__ import annotations

from typing import Any

from sandboxkit_eci.emulator.testing import Emulator

import sandboxkit

CREATE, DELETE, GROUPS = "CreateContainerGroup", "DeleteContainerGroup", "DescribeContainerGroups"
STATUS, EXEC, RESTART = "DescribeContainerGroupStatus", "ExecContainerCommand", "RestartContainerGroup"


def connect(eci: Emulator, **options: Any) -> sandboxkit.Client:
    return sandboxkit.connect("eci", **{**eci.options, "image": "busybox:1", **options})


def asked(eci: Emulator, *actions: str) -> list[int]:
    return [eci.requests.get(action, 0) for action in actions]


def living(eci: Emulator) -> list[str]:
    """The groups that there are, as another client sees them."""
    with connect(eci, owner="another") as client:
        return [info.id for info in client.list()]
