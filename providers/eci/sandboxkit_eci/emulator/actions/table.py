"""The actions by name."""

from __future__ import annotations

from sandboxkit_eci.emulator.actions import (
    account,
    availability,
    execution,
    imaging,
    lifecycle,
    listing,
    observation,
    tagging,
)
from sandboxkit_eci.emulator.calls import Action

ACTIONS: dict[str, Action] = {
    "CreateContainerGroup": lifecycle.create_container_group,
    "DeleteContainerGroup": lifecycle.delete_container_group,
    "RestartContainerGroup": lifecycle.restart_container_group,
    "UpdateContainerGroup": lifecycle.update_container_group,
    "DescribeContainerGroups": listing.describe_container_groups,
    "DescribeContainerGroupStatus": listing.describe_container_group_status,
    "DescribeContainerGroupEvents": listing.describe_container_group_events,
    "ExecContainerCommand": execution.exec_container_command,
    "DescribeContainerLog": observation.describe_container_log,
    "DescribeContainerGroupMetric": observation.describe_container_group_metric,
    "TagResources": tagging.tag_resources,
    "UntagResources": tagging.untag_resources,
    "ListTagResources": tagging.list_tag_resources,
    "DescribeRegions": account.describe_regions,
    "ListUsage": account.list_usage,
    "DescribeAvailableResource": availability.describe_available_resource,
    "DescribeContainerGroupPrice": account.describe_container_group_price,
    "CommitContainer": imaging.commit_container,
    "DescribeCommitContainerTask": imaging.describe_commit_container_task,
    "CreateImageCache": imaging.create_image_cache,
    "DescribeImageCaches": imaging.describe_image_caches,
    "DeleteImageCache": imaging.delete_image_cache,
}
"""What carries out each; its parameters are in ``schemas``."""
