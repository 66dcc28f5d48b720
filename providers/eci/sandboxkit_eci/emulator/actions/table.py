"""The actions by name."""

from __future__ import annotations

from sandboxkit_eci.emulator.actions.execution import exec_container_command
from sandboxkit_eci.emulator.actions.lifecycle import (
    create_container_group,
    delete_container_group,
    restart_container_group,
    update_container_group,
)
from sandboxkit_eci.emulator.actions.listing import (
    describe_container_group_events,
    describe_container_group_status,
    describe_container_groups,
)
from sandboxkit_eci.emulator.calls import Action

ACTIONS: dict[str, Action] = {
    "CreateContainerGroup": create_container_group,
    "DeleteContainerGroup": delete_container_group,
    "RestartContainerGroup": restart_container_group,
    "UpdateContainerGroup": update_container_group,
    "DescribeContainerGroups": describe_container_groups,
    "DescribeContainerGroupStatus": describe_container_group_status,
    "DescribeContainerGroupEvents": describe_container_group_events,
    "ExecContainerCommand": exec_container_command,
}
