"""One call of an action, on its way through the emulator."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

import attrs

from sandboxkit_eci.emulator.faults import Fault
from sandboxkit_eci.emulator.lifecycle import Life

if TYPE_CHECKING:
    from sandboxkit_eci.emulator.service import Service


@attrs.frozen(kw_only=True)
class Call:
    """What an action gets. ``origin`` is how the client reached the emulator, such as ``http://127.0.0.1:8460``."""

    service: Service
    action: str
    account: str
    region: str
    given: dict[str, Any] = attrs.field(repr=False)
    origin: str
    request_id: str
    faults: Sequence[Fault] = ()

    @property
    def now(self) -> float:
        """The time."""
        return self.service.runtime.clock.now()

    def life(self) -> Life:
        """Give the group that the call is about, alive; raises if there is none."""
        return self.service.groups.find(self.account, self.region, self.given["ContainerGroupId"])

    def fault(self, kind: str) -> Fault | None:
        """Give the call's fault of this kind."""
        return next((fault for fault in self.faults if fault.kind == kind), None)

    def once(self, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Do it, or give the answer that the call's ClientToken had the first time."""
        token = self.given.get("ClientToken")
        if not token:
            return make()
        tokens, key = self.service.tokens, (self.account, self.region, self.action, token)
        given = {name: value for name, value in self.given.items() if name != "ClientToken"}
        answer = tokens.recall(key, given, now=self.now)
        if answer is None:
            answer = make()
            tokens.remember(key, given, answer, now=self.now)
        return dict(answer)


Action = Callable[[Call], Awaitable[dict[str, Any]]]
"""What carries out an action: it gives the answer's body without the RequestId."""
