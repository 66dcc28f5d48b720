"""A call that makes something, in a thread: how it ended is wanted also when its caller has gone."""

from __future__ import annotations

import threading
from collections.abc import Callable

import attrs

from sandboxkit.errors import DeadlineExceeded, SandboxError
from sandboxkit_eci.api import Body
from sandboxkit_eci.faults import never_arrived


@attrs.define(eq=False)
class Post:
    """One call in a thread whose result is wanted also when its caller has gone."""

    done: threading.Event = attrs.field(factory=threading.Event, init=False)
    group_id: str | None = attrs.field(default=None, init=False)
    refused: bool = attrs.field(default=False, init=False)
    _send: Callable[[], Body] | None = attrs.field(default=None, init=False)
    _late: Callable[[str], object] | None = attrs.field(default=None, init=False)
    _begun: bool = attrs.field(default=False, init=False)
    _given_up: bool = attrs.field(default=False, init=False)
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False)

    def around(self, send: Callable[[], Body]) -> Callable[[], Body]:
        """Give what is to be called in the thread in place of ``send``."""
        self._send = send
        return self._run

    def _run(self) -> Body:
        assert self._send is not None
        with self._lock:
            self._begun = not self._given_up
        try:
            if not self._begun:
                self.refused = True
                raise DeadlineExceeded("the create was given up")
            body = self._send()
            self.group_id = str(body.get("ContainerGroupId") or "") or None
            return body
        except SandboxError as exc:
            self.refused = self.refused or never_arrived(exc)
            raise
        finally:
            self.done.set()
            with self._lock:
                late = self._late
            if late is not None and self.group_id is not None:
                late(self.group_id)

    def give_up(self) -> bool:
        """Have it not sent if it was not begun; say whether an outcome will come."""
        with self._lock:
            self._given_up = True
            return self._begun

    def when_late(self, late: Callable[[str], object]) -> bool:
        """Do this in its thread once the result is there; ``False`` if that is so already."""
        with self._lock:
            if self.done.is_set():
                return False
            self._late = late
            return True
