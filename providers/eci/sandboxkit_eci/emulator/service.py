"""The emulated service: a request comes in, an answer goes out. No HTTP server in here."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Iterable
from typing import Any

import attrs

from sandboxkit_eci.emulator import parameters
from sandboxkit_eci.emulator.actions.table import ACTIONS
from sandboxkit_eci.emulator.calls import Call
from sandboxkit_eci.emulator.errors import (
    ApiError,
    ConnectionLost,
    RawAnswer,
    missing,
    unknown_action,
    unsupported_action,
)
from sandboxkit_eci.emulator.faults import Fault, Faults
from sandboxkit_eci.emulator.images import Images
from sandboxkit_eci.emulator.limits import Limits, throttled
from sandboxkit_eci.emulator.nonces import Nonces
from sandboxkit_eci.emulator.runtime import Runtime
from sandboxkit_eci.emulator.schemas import UNSUPPORTED
from sandboxkit_eci.emulator.session import SessionQuirks
from sandboxkit_eci.emulator.signature import EXPIRED_TOKEN, Key, Request, authenticate
from sandboxkit_eci.emulator.store import Groups, request_id
from sandboxkit_eci.emulator.tickets import Tickets
from sandboxkit_eci.emulator.tokens import ClientTokens

logger = logging.getLogger("sandboxkit.eci.emulator")

VERSION = "2018-08-08"


@attrs.frozen(kw_only=True)
class Answer:
    """What goes back: a JSON body, or ``text`` that is none."""

    status: int
    body: dict[str, Any] = attrs.field(factory=dict)
    headers: dict[str, str] = attrs.field(factory=dict)
    text: str | None = None


@attrs.define(kw_only=True, eq=False)
class Counts:
    """What was asked of the emulator, by action."""

    calls: Counter[str] = attrs.field(factory=Counter)
    throttled: Counter[str] = attrs.field(factory=Counter)
    failed: Counter[str] = attrs.field(factory=Counter)
    sessions: int = 0


class Service:
    """Everything behind the HTTP server."""

    def __init__(
        self,
        runtime: Runtime,
        keys: Iterable[Key],
        *,
        session_quirks: SessionQuirks | None = None,
        faults: Faults | None = None,
        region: str = "cn-hangzhou",
    ) -> None:
        self.runtime = runtime
        self.keys = {key.id: key for key in keys}
        self.session_quirks = session_quirks or SessionQuirks()
        self.faults = faults or Faults()
        self.region = region
        self.groups = Groups(runtime)
        self.images = Images(runtime)
        self.tickets = Tickets(runtime.quirks, runtime.clock)
        self.tokens = ClientTokens(runtime.quirks.client_token_seconds, compared=runtime.quirks.client_token_compared)
        self.counts = Counts()
        self._limits = Limits(runtime.quirks)
        self._nonces = Nonces()

    async def handle(self, request: Request, origin: str) -> Answer:
        """Answer a request; raises :class:`ConnectionLost` where none is to be given."""
        identifier = request_id()
        try:
            return await self._answer(request, origin, identifier)
        except RawAnswer as raw:
            return Answer(status=raw.status, text=raw.text)
        except ApiError as error:
            refused = error
        except ConnectionLost:
            raise
        except Exception:
            # The traceback is for the emulator's author; a client sees what the service would show it.
            logger.exception("an action failed")
            refused = ApiError(500, "InternalError", "The request processing has failed due to some unknown error.")
        return Answer(status=refused.status, body=refused.body(identifier, self.region), headers=refused.headers)

    async def _answer(self, request: Request, origin: str, identifier: str) -> Answer:
        pairs = request.query_parameters() + request.form_parameters()
        given = dict(pairs)
        action = self._action(request, given)
        now = self.runtime.clock.now()
        try:
            key, claim = authenticate(request, self.keys, now=now)
        except ApiError as error:
            if error.code == EXPIRED_TOKEN:
                error.status = self.runtime.quirks.expired_token_status
            raise
        self._nonces.use(key.id, claim.nonce, now=now)
        self.counts.calls[action] += 1
        try:
            self._limits.count(key.account, given.get("RegionId", ""), action, now=now)
            faults = self.faults.draw(action)
            await self._befall(faults)
            read = parameters.read(action, pairs)
            call = Call(
                service=self,
                action=action,
                account=key.account,
                region=read.pop("RegionId", self.region),
                given=read,
                origin=origin,
                request_id=identifier,
                faults=faults,
            )
            body = await ACTIONS[action](call)
            if not action.startswith(("Describe", "List", "Exec")):
                self.runtime.changed()
                await asyncio.sleep(0)  # what is to be written is written before it is answered
            await self._befall_reply(faults)
        except ApiError as error:
            self.counts.failed[action] += 1
            self.counts.throttled[action] += error.code.startswith("Throttling")
            raise
        return Answer(status=200, body={"RequestId": identifier, **body})

    def _action(self, request: Request, given: dict[str, str]) -> str:
        """Find out which action is meant; a V3 request says it in a header."""
        action = request.headers.get("x-acs-action") or given.get("Action", "")
        version = request.headers.get("x-acs-version") or given.get("Version", "")
        if not request.headers.get("authorization"):  # V1: the headers are not signed
            action, version = given.get("Action", ""), given.get("Version", "")
        if request.method not in ("GET", "POST"):
            raise ApiError(400, "UnsupportedHTTPMethod", "The HTTP method is not supported.")
        if not action:
            raise missing("Action")
        if version != VERSION:
            raise ApiError(400, "InvalidVersion", "Specified parameter Version is not valid.")
        if action in UNSUPPORTED:
            raise unsupported_action(action)
        if action not in ACTIONS:
            raise unknown_action(action)
        return action

    async def _befall(self, faults: Iterable[Fault]) -> None:
        """Let happen what faults do before a call takes effect."""
        for fault in faults:
            if fault.kind == "slow":
                await self.runtime.clock.sleep(fault.seconds)
            elif fault.kind == "throttle":
                raise throttled(self.runtime.quirks, int(fault.value) if fault.value else None)
            elif fault.kind == "error":
                raise _error(fault.value or "500")
            elif fault.kind == "dropped":
                raise ConnectionLost
            elif fault.kind == "html":
                raise RawAnswer(502, "<html>bad gateway</html>")

    async def _befall_reply(self, faults: Iterable[Fault]) -> None:
        """Let happen what faults do to the answer of a call that has taken effect."""
        for fault in faults:
            if fault.kind == "slow-reply":
                await self.runtime.clock.sleep(fault.seconds)
            elif fault.kind == "error-reply":
                raise _error(fault.value or "500")
            elif fault.kind == "lost":
                raise ConnectionLost

    def forget_token_of_deleted(self, account: str, region: str, token: str) -> None:
        """Let a create's token be new again if its group is gone."""
        key = (account, region, "CreateContainerGroup", token)
        made = self.tokens.group_of(key)
        if made is not None and all(group.id != made for group in self.groups.seen(account, region)):
            self.tokens.forget(key)

    async def close(self, *, keep: bool = False) -> None:
        """Remove everything that was made, or let go of it to ``keep`` it for another life of the emulator."""
        try:
            await self.images.close()
            await self.tickets.close()
            await self.groups.close(keep=keep)
        finally:
            await self.runtime.backend.close(keep=keep)


def _error(value: str) -> ApiError:
    if value == "503":
        return ApiError(503, "ServiceUnavailable", "The request has failed due to a temporary failure of the server.")
    if value == "500":
        return ApiError(500, "InternalError", "The request processing has failed due to some unknown error.")
    return ApiError(400, value, "The request was refused on purpose.")
