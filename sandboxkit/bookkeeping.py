"""What a provider writes down with a sandbox, as labels or tags, so that any client finds it again; pure.

Names and values stay as they are: sandboxes that an older client made are found by them too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from sandboxkit.errors import InvalidSpec
from sandboxkit.model import CreateRequest

PREFIX = "sandboxkit."
"""Labels that begin so are sandboxkit's; a user's may not."""

VERSION = PREFIX + "version"
OWNER = PREFIX + "owner"
KEY = PREFIX + "key"
FINGERPRINT = PREFIX + "fingerprint"
ATTEMPT = PREFIX + "attempt"
EXPIRES_AT = PREFIX + "expires_at"

CURRENT = "1"
"""The value of :data:`VERSION`."""


def digest(owner: str, key: str) -> str:
    """Give what names and labels hold of a key: the key itself may say more than others should read."""
    return hashlib.sha256(f"{owner}\0{key}".encode()).hexdigest()[:32]


def entries(request: CreateRequest, attempt: str) -> dict[str, str]:
    """Give all of it but :data:`EXPIRES_AT`, which providers write with different digits."""
    return {
        VERSION: CURRENT,
        OWNER: request.owner,
        KEY: digest(request.owner, request.key),
        FINGERPRINT: request.fingerprint,
        ATTEMPT: attempt,
    }


def refuse_own(names: Iterable[str]) -> None:
    """Refuse a user's labels that would be taken for sandboxkit's."""
    for name in names:
        if name.startswith(PREFIX):
            raise InvalidSpec(f"label {name!r}: names that begin with {PREFIX!r} are sandboxkit's own")
