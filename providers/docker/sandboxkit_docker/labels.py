"""A container's labels and name: how sandboxkit's are told from all others, and the user's from its image's."""

from __future__ import annotations

import json
from collections.abc import Mapping

from sandboxkit.bookkeeping import KEY, OWNER, PREFIX, digest

CREATED_AT = PREFIX + "created_at"
CPU = PREFIX + "cpu"
MEMORY = PREFIX + "memory_gib"
NAMES = PREFIX + "labels"

NAME_PREFIX = "sandboxkit-"


def container_name(owner: str, key: str) -> str:
    """Give the name by which the daemon itself makes a create idempotent: names are unique there."""
    return NAME_PREFIX + digest(owner, key)


def is_ours(labels: Mapping[str, str] | None, name: str) -> bool:
    """Whether sandboxkit made the container: its name must agree with its labels.

    Labels alone do not tell: an image that was committed from a sandbox hands them on to whatever runs it.
    """
    key = (labels or {}).get(KEY)
    return key is not None and OWNER in (labels or {}) and name.lstrip("/") == NAME_PREFIX + key


def user_labels(labels: Mapping[str, str]) -> dict[str, str]:
    """Give those that the user gave."""
    try:
        names = json.loads(labels.get(NAMES, "[]"))
    except ValueError:
        names = []  # a label that someone else wrote
    return {name: labels[name] for name in names if name in labels}
