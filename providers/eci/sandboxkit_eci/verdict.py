"""What becomes of a new group, told from its status, its container's state and its events; pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from sandboxkit.errors import ImageNotFound, InvalidSpec, NoCapacity, ProviderError, QuotaExceeded, SandboxError
from sandboxkit_eci.describe import ENDED, container_of, why

_IMAGE = re.compile(
    r"ErrImagePull|ImagePullBackOff|ErrImageNeverPull|InvalidImageName|[Ff]ailed to pull image|Back-off pulling image"
    r"|ImageInspectError|RegistryUnavailable|manifest unknown|pull access denied"
)
_STOCK = re.compile(r"NoStock|StockExhaust|out of stock|IpNotEnough|Spot\.?NotMatched|SpotNotMatched|ZoneNotOnSale")
_QUOTA = re.compile(r"QuotaExceed|InsufficientBalance|Arrearage|ArrearsOverdue|quota is exceeded", re.IGNORECASE)
_BROKEN = re.compile(r"CreateContainerConfigError|CreateContainerError|RunContainerError|StartError|CreateBackoff")


def failure(group: Mapping[str, Any]) -> SandboxError | None:
    """Give the error of a group that has failed or certainly will; ``None`` while it may still come up."""
    status = str(group.get("Status"))
    for words in _words(group):
        for pattern, kind in ((_IMAGE, ImageNotFound), (_STOCK, NoCapacity), (_QUOTA, QuotaExceeded)):
            if pattern.search(words):
                return kind(f"the sandbox cannot start: {_short(words)}", provider_code=_code(words))
    if status in ENDED:
        return _ended(status, group)
    for words in _words(group):
        if _BROKEN.search(words):
            return _broken(words)
    return None


def is_settled(group: Mapping[str, Any]) -> bool:
    """Whether waiting for a group is over: it runs, it has ended, it cannot come up, or someone removes it."""
    return str(group.get("Status")) in ("Running", "Terminating", *ENDED) or failure(group) is not None


def vanished() -> SandboxError:
    """Give the error of a group that showed, and was gone before the create was done."""
    return ProviderError("the sandbox went away while it was being created: the service does not show it any more")


def exit_code(group: Mapping[str, Any]) -> int | None:
    """Give how the sandbox's own process ended, if it has."""
    state: Mapping[str, Any] = container_of(group).get("CurrentState") or {}
    code = state.get("ExitCode")
    return code if isinstance(code, int) and state.get("State") == "Terminated" else None


def _ended(status: str, group: Mapping[str, Any]) -> SandboxError:
    said = why(group)
    if "/bin/sh" in said:
        return InvalidSpec(f"the image has no /bin/sh, which sandboxkit needs ({_short(said)})")
    return ProviderError(f"the sandbox ended before it ran ({status}){': ' + said if said else ''}")


def _broken(words: str) -> SandboxError:
    if "/bin/sh" in words:
        return InvalidSpec(f"the image has no /bin/sh, which sandboxkit needs ({_short(words)})")
    return ProviderError(f"the sandbox cannot start: {_short(words)}")


def _words(group: Mapping[str, Any]) -> list[str]:
    """Give what warnings and the container's waiting say, the newest last."""
    events: Sequence[Mapping[str, Any]] = group.get("Events") or ()
    state: Mapping[str, Any] = container_of(group).get("CurrentState") or {}
    told = [event for event in events if str(event.get("Type")) != "Normal"]
    if state.get("State") in ("Waiting", "Terminated"):
        told.append(state)
    return [f"{one.get('Reason') or ''}: {one.get('Message') or ''}".strip(": ") for one in told]


def _code(words: str) -> str | None:
    found = re.match(r"[A-Za-z.]+", words)
    return found[0] if found else None


def _short(words: str) -> str:
    return " ".join(words.split())[:400]
