"""A group's tags and names: how sandboxkit's are told from all others, and what they carry; pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from sandboxkit.bookkeeping import CURRENT, EXPIRES_AT, KEY, OWNER, PREFIX, VERSION, entries, refuse_own
from sandboxkit.errors import InvalidSpec
from sandboxkit.model import CreateRequest
from sandboxkit.texts import is_utf8
from sandboxkit_eci.options import DEFAULT_CONTAINER

CONTAINER = PREFIX + "container"

OURS: Mapping[str, str] = {VERSION: CURRENT}
"""By this the service is asked for sandboxkit's groups of every owner."""

MOST = 20
LONGEST_KEY = 64
LONGEST_VALUE = 128
_FORBIDDEN = ("aliyun", "acs:", "http://", "https://")


def token(owner: str, key: str, generation: int) -> str:
    """Give a ClientToken (at most 64 ASCII characters); a later generation where an earlier one's group is gone."""
    return hashlib.sha256(f"{owner}\0{key}\0{generation}".encode()).hexdigest()


def tags_of(request: CreateRequest, attempt: str, container: str = DEFAULT_CONTAINER) -> dict[str, str]:
    """Give all tags of a new group; ``InvalidSpec`` for labels that the service has no room for."""
    own = {
        **entries(request, attempt),
        EXPIRES_AT: f"{request.expires_at:.6f}",
    }
    if container != DEFAULT_CONTAINER:
        own[CONTAINER] = container
    room = MOST - len(own)
    if len(request.spec.labels) > room:
        raise InvalidSpec(f"ECI has room for {room} labels, not {len(request.spec.labels)}")
    check_labels(request.spec.labels)
    if len(request.owner) > LONGEST_VALUE:
        raise InvalidSpec(f"owner: ECI takes at most {LONGEST_VALUE} characters")
    return {**own, **request.spec.labels}


def check_texts(labels: Mapping[str, str]) -> None:
    """Refuse labels that cannot be sent."""
    for name, value in labels.items():
        if not (is_utf8(name) and is_utf8(value)):
            raise InvalidSpec(f"label {name[:LONGEST_KEY]!r}: labels are UTF-8 text")


def check_labels(labels: Mapping[str, str]) -> None:
    """Refuse labels that are sandboxkit's own, or that the service does not take."""
    refuse_own(labels)
    check_texts(labels)
    for name, value in labels.items():
        if len(name) > LONGEST_KEY or len(value) > LONGEST_VALUE:
            raise InvalidSpec(
                f"label {name[:LONGEST_KEY]!r}: ECI takes names up to {LONGEST_KEY} and values up to "
                f"{LONGEST_VALUE} characters"
            )
        if name.lower().startswith(_FORBIDDEN) or value.lower().startswith(_FORBIDDEN[2:]):
            raise InvalidSpec(f"label {name!r}: ECI takes none that begin with {', '.join(_FORBIDDEN)}")


def of_group(group: Mapping[str, Any]) -> dict[str, str]:
    """Read the tags of a group as the API describes it."""
    found: Sequence[Mapping[str, Any]] = group.get("Tags") or ()
    return {str(tag.get("Key")): str(tag.get("Value") or "") for tag in found}


def is_ours(tags: Mapping[str, str]) -> bool:
    """Whether sandboxkit made the group."""
    return tags.get(VERSION) == OURS[VERSION] and OWNER in tags and KEY in tags


def user_labels(tags: Mapping[str, str]) -> dict[str, str]:
    """Give those that the user gave; the service adds some of its own (``acs:``)."""
    return {
        name: value
        for name, value in tags.items()
        if not name.startswith(PREFIX) and not name.lower().startswith(_FORBIDDEN)
    }
