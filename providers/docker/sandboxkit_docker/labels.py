"""A container's labels and name: how sandboxkit's are told from all others, and the user's from its image's."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

PREFIX = "sandboxkit."
"""Labels that begin so are ours; a user's may not."""

OWNER = PREFIX + "owner"
KEY = PREFIX + "key"
FINGERPRINT = PREFIX + "fingerprint"
ATTEMPT = PREFIX + "attempt"
EXPIRES_AT = PREFIX + "expires_at"
CREATED_AT = PREFIX + "created_at"
CPU = PREFIX + "cpu"
MEMORY = PREFIX + "memory_gib"
VERSION = PREFIX + "version"
NAMES = PREFIX + "labels"

NAME_PREFIX = "sandboxkit-"


def container_name(owner: str, key: str) -> str:
    """Give the name by which the daemon itself makes a create idempotent: names are unique there."""
    return NAME_PREFIX + digest(owner, key)


def digest(owner: str, key: str) -> str:
    """Give what name and label hold of a key: the key itself may say more than others should read."""
    return hashlib.sha256(f"{owner}\0{key}".encode()).hexdigest()[:32]


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
