"""Faults on purpose: by action, with a probability, or at certain calls."""

from __future__ import annotations

import copy
import difflib
import math
import random
from collections.abc import Iterable, Sequence
from contextlib import suppress

import attrs

from sandboxkit_eci.emulator.quirks import convert
from sandboxkit_eci.emulator.schemas import SCHEMAS
from sandboxkit_eci.emulator.session import SessionQuirks

KINDS = {
    "throttle": "refused as throttled; the value is x-acs-retry-after in milliseconds",
    "error": "500 InternalError or 503 ServiceUnavailable, or any CODE of the API with status 400",
    "slow": "dealt with so many seconds later",
    "lost": "the call takes effect and the connection ends without an answer",
    "error-reply": "the call takes effect and is answered like one with an error",
    "slow-reply": "the call takes effect and is answered so many seconds later",
    "dropped": "the connection ends without an answer, and nothing happens",
    "html": "502 with a page that is no JSON",
    "no-stock": "a create is refused: OperationDenied.NoStock; the value is the one zone, type or family without",
    "schedule-failed": "a group is made and cannot be scheduled: no stock",
    "quota": "a create is refused: the quota is used up",
    "image-pull": "a group's or cache's images cannot be pulled; the value is how often, otherwise always",
    "late-running": "a group runs so many seconds later",
    "stale": "a list is as it was so many seconds ago",
    "reclaim": "a spot group is taken back after it has run so many seconds",
    "session": "the exec's session has a quirk, NAME=VALUE",
}
"""Each kind of fault with what it does."""

CREATION = frozenset({"no-stock", "schedule-failed", "quota", "image-pull", "late-running", "reclaim"})
"""Kinds that only a create can have."""


@attrs.define(kw_only=True)
class Fault:
    """One rule, written ``ACTION:KIND[=VALUE][,p=0.1][,nth=3][,times=2]``.

    It holds for calls of the action (``*`` is any), with probability ``p``; or only for its ``nth`` such call (1 is
    the first), and for ``times`` calls at most.
    """

    action: str
    kind: str
    value: str = ""
    probability: float = 1.0
    nth: int | None = None
    times: int | None = None
    calls: int = attrs.field(default=0, init=False)
    struck: int = attrs.field(default=0, init=False)

    def strikes(self, action: str, chance: random.Random) -> bool:
        """Count a call, and say whether it has this fault."""
        creates = ["CreateContainerGroup"] + ["CreateImageCache"] * (self.kind == "image-pull")
        if self.action not in ("*", action) or (self.kind in CREATION and action not in creates):
            return False
        self.calls += 1
        if self.times is not None and self.struck >= self.times:
            return False
        if self.nth is not None and not (self.nth <= self.calls < self.nth + (self.times or 1)):
            return False
        if self.probability < 1.0 and chance.random() >= self.probability:
            return False
        self.struck += 1
        return True

    @property
    def seconds(self) -> float:
        """The value as seconds."""
        return float(self.value or 1.0)


class Faults:
    """The rules of an emulator; they may be changed while it runs. The same ``seed`` gives the same faults."""

    def __init__(self, rules: Iterable[Fault | str] = (), *, seed: int = 0) -> None:
        self.rules = [parse(rule) if isinstance(rule, str) else rule for rule in rules]
        self._chance = random.Random(seed)

    def draw(self, action: str) -> Sequence[Fault]:
        """Give what befalls this call."""
        return [rule for rule in self.rules if rule.strikes(action, self._chance)]

    def foresee(self, action: str) -> Sequence[Fault]:
        """Give what the next such call would meet, if it came now; to look ahead counts as no call."""
        return copy.deepcopy(self).draw(action)


def _check_action(action: str) -> None:
    """Raise ``ValueError`` for an action that the emulator does not have: its fault would never strike."""
    if action == "*" or action in SCHEMAS:
        return
    lower = {name.lower(): name for name in SCHEMAS}
    close = [lower[name] for name in difflib.get_close_matches(action.lower(), lower)]
    known = f"close to it: {', '.join(close)}" if close else f"there are *, {', '.join(SCHEMAS)}"
    raise ValueError(f"no action {action!r}; {known}")


def _check_value(kind: str, value: str) -> None:
    """Raise ``ValueError`` for a value that the kind cannot have."""
    if kind == "session":
        name, _, given = value.partition("=")
        if name.replace("-", "_") not in attrs.fields_dict(SessionQuirks):
            raise ValueError(f"a session has no quirk {name!r}")
        convert(given, SessionQuirks, name.replace("-", "_"))
    elif kind == "throttle":
        _whole("the value", value or "0", least=0)
    elif kind not in ("error", "error-reply", "no-stock"):
        _number("the value", value or "0")


def _whole(name: str, text: str, *, least: int) -> int:
    with suppress(ValueError):
        if (number := int(text)) >= least:
            return number
    raise ValueError(f"{name} is a whole number from {least} on, not {text!r}")


def _number(name: str, text: str, *, most: float = math.inf) -> float:
    with suppress(ValueError):
        if 0 <= (number := float(text)) <= most and math.isfinite(number):
            return number
    raise ValueError(f"{name} is a number from 0 {'on' if most == math.inf else f'to {most:g}'}, not {text!r}")


def parse(text: str) -> Fault:
    """Read a rule; raises ``ValueError`` with what is wrong with it."""
    action, colon, rest = text.partition(":")
    what, *others = rest.split(",")
    kind, _, value = what.partition("=")
    if not colon or kind not in KINDS:
        raise ValueError(
            f"fault {text!r}: write ACTION:KIND[=VALUE][,p=…][,nth=…][,times=…], KIND one of {', '.join(KINDS)}"
        )
    fault = Fault(action=action, kind=kind, value=value)
    try:
        _check_action(action)
        for other in others:
            name, _, number = other.partition("=")
            if name == "p":
                fault.probability = _number("p", number, most=1)
            elif name in ("nth", "times"):
                setattr(fault, name, _whole(name, number, least=1))
            else:
                raise ValueError(f"unknown {name!r}")
        _check_value(kind, value)
    except ValueError as exc:
        raise ValueError(f"fault {text!r}: {exc}") from None
    return fault
