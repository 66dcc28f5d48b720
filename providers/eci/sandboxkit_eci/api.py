"""The service's API: the SDK's synchronous client, one method for each action that is used.

The SDK's own asyncio methods open a connection and an SSL context for each call, which takes 24 ms of the loop; its
synchronous ones reuse connections and are run by ``world.call``: here and now, or in the world's bounded threads.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from alibabacloud_eci20180808 import models  # type: ignore[import-untyped]
from alibabacloud_eci20180808.client import Client  # type: ignore[import-untyped]
from alibabacloud_tea_openapi.models import Config  # type: ignore[import-untyped]
from alibabacloud_tea_util.models import ExtendsParameters, RuntimeOptions  # type: ignore[import-untyped]

from sandboxkit.errors import AuthenticationFailed, DeadlineExceeded, InvalidSpec, SandboxError, Throttled
from sandboxkit.provider import World
from sandboxkit_eci.chain import chain
from sandboxkit_eci.faults import CREATE, Answer, ApiFault, cause_of, translated
from sandboxkit_eci.limiter import Limiter, shared_limiter
from sandboxkit_eci.quiet import quietly
from sandboxkit_eci.request import flat
from sandboxkit_eci.sessions import pool_size, prepare
from sandboxkit_eci.settings import ConnectOptions

CONNECT_TIMEOUT = 5.0
"""Seconds that a connection may take to come about."""

PAGE = 20
"""The most groups of one DescribeContainerGroups, and ids of one query."""

Body = dict[str, Any]

Around = Callable[[Callable[[], Body]], Callable[[], Body]]
"""What wraps a call that is made in a thread."""


class Api:
    """One account in one region. Everything raises sandboxkit's errors, with nothing of the request in them."""

    def __init__(self, world: World, options: ConnectOptions) -> None:
        self.world = world
        self.options = options
        self.region = options.region_id
        self.limiter = shared_limiter(_account(options), lambda: Limiter(options.limits))
        self._client: Client | None = None

    async def create(
        self, wire: Mapping[str, Any], *, around: Around, until: float | None, secrets: tuple[str, ...]
    ) -> str:
        """CreateContainerGroup; gives the new group's id. ``around`` wraps what is done in the thread."""
        body = await self._call(
            "CreateContainerGroup",
            "creating the sandbox",
            wire,
            until=until,
            around=around,
            secrets=secrets,
        )
        return str(body.get("ContainerGroupId") or "")

    async def groups(
        self,
        *,
        ids: Sequence[str] = (),
        tags: Mapping[str, str] | None = None,
        status: str | None = None,
        cursor: str | None = None,
        events: bool = False,
        until: float | None,
        urgent: bool = False,
    ) -> tuple[list[Body], str | None]:
        """DescribeContainerGroups: one page of groups, and the token of the next; all ``tags`` must match."""
        wire: Body = {"Limit": PAGE}
        if ids:
            wire["ContainerGroupIds"] = json.dumps(list(ids))
        if tags:
            wire["Tag"] = [{"Key": key, "Value": value} for key, value in tags.items()]
        if status is not None:
            wire["Status"] = status
        if cursor:
            wire["NextToken"] = cursor
        if events:
            wire["WithEvent"] = True
        body = await self._call(
            "DescribeContainerGroups", "asking for the sandboxes", wire, until=until, urgent=urgent
        )
        return list(body.get("ContainerGroups") or ()), body.get("NextToken") or None

    async def group(
        self, group_id: str, *, events: bool = False, until: float | None, urgent: bool = False
    ) -> Body | None:
        """Give one group, ``None`` if there is none."""
        found, _ = await self.groups(ids=[group_id], events=events, until=until, urgent=urgent)
        return next((group for group in found if group.get("ContainerGroupId") == group_id), None)

    async def statuses(self, ids: Sequence[str], *, until: float | None) -> list[Body]:
        """DescribeContainerGroupStatus: what is known of these groups, which may be less than all."""
        wire = {"ContainerGroupIds": json.dumps(list(ids)), "Limit": 200}
        body = await self._call("DescribeContainerGroupStatus", "waiting for the sandbox", wire, until=until)
        return list(body.get("Data") or ())

    async def delete(self, group_id: str, *, until: float | None, urgent: bool = False) -> None:
        """DeleteContainerGroup, without a grace: ``Force`` is in the API and not in the SDK's model."""
        await self._call(
            "DeleteContainerGroup",
            "deleting the sandbox",
            {"ContainerGroupId": group_id},
            until=until,
            queries={"Force": "true"},
            who=group_id,
            urgent=urgent,
        )

    def delete_now(self, group_id: str) -> None:
        """Delete a group from the thread that has just learnt its id: nobody waits for that any more."""
        until = time.monotonic() + self.options.timeout
        with contextlib.suppress(SandboxError):
            self._send(
                "DeleteContainerGroup",
                "deleting the sandbox",
                {"ContainerGroupId": group_id},
                {"Force": "true"},
                (),
                until,
            )

    async def restart(self, group_id: str, *, token: str, until: float | None) -> None:
        """RestartContainerGroup."""
        wire = {"ContainerGroupId": group_id, "ClientToken": token}
        await self._call("RestartContainerGroup", "restarting the sandbox", wire, until=until, who=group_id)

    async def exec(
        self,
        group_id: str,
        container: str,
        argv: Sequence[str],
        *,
        tty: bool,
        until: float | None,
        urgent: bool = False,
        undo: Callable[[str], object],
    ) -> str:
        """ExecContainerCommand; gives the websocket's URI, which is a secret and soon worth nothing.

        ``undo`` is given the URI, in a thread, where nobody waits for it any more.
        """
        wire = {
            "ContainerGroupId": group_id,
            "ContainerName": container,
            "Command": json.dumps(list(argv), separators=(",", ":"), ensure_ascii=False),
            "TTY": tty,
            "Stdin": True,
            "Sync": False,
        }
        body = await self._call(
            "ExecContainerCommand",
            "starting a command",
            wire,
            until=until,
            who=group_id,
            urgent=urgent,
            undo=lambda late: undo(_uri(late)),
        )
        return _uri(body)

    async def ask(self, action: str, doing: str, wire: Mapping[str, Any], *, until: float | None) -> Body:
        """Call any other action that the SDK has, by the API's own names; gives the answer's body."""
        return await self._call(action, doing, wire, until=until)

    async def _call(
        self,
        action: str,
        doing: str,
        wire: Mapping[str, Any],
        *,
        until: float | None,
        queries: Mapping[str, str] | None = None,
        secrets: tuple[str, ...] = (),
        who: str = "",
        urgent: bool = False,
        around: Around | None = None,
        undo: Callable[[Body], object] | None = None,
    ) -> Body:
        gate = self.limiter.gate(action)
        await gate.enter(self.world, who, until=until, urgent=urgent)
        most = self.world.now() + self.options.timeout
        until = most if until is None else min(until, most)
        send = functools.partial(self._send, action, doing, wire, dict(queries or {}), secrets, until)
        try:
            function = send if around is None else around(send)
            return await self.world.call(function, until=until + 0.5, urgent=urgent, undo=undo)
        except Throttled as exc:
            # Without a time to wait, each call's own backoff is enough: it may have been one in many.
            if exc.retry_after:
                gate.pause(self.world.now(), exc.retry_after)
            raise

    def _send(
        self,
        action: str,
        doing: str,
        wire: Mapping[str, Any],
        queries: dict[str, str],
        secrets: tuple[str, ...],
        until: float,
    ) -> Body:
        left = until - time.monotonic()
        if left <= 0:
            raise DeadlineExceeded(f"{doing}: there was no time left to ask the ECI service")
        if self.options.credentials is None:
            chain.renew(left)
            left = max(0.001, until - time.monotonic())
        # Not raised where it is caught: the SDK's exception would stay in __context__, with the URL in it.
        failed: Exception
        request = self._request(action, doing, wire, queries)
        try:
            client = self._made_client()
            with quietly():
                answer = _method(client, action)(request, self._runtime(left, queries))
            return dict(answer.body.to_map()) if answer.body is not None else {}
        except Exception as exc:  # noqa: BLE001 - the SDK raises anything, and none of it may go on
            failed = exc
        error = translated(failed, doing, action=action, secrets=secrets, endpoint=str(self.options.endpoint))
        fault = cause_of(failed)
        del failed
        if isinstance(error, AuthenticationFailed):
            chain.forget()
        raise error from fault

    def _request(self, action: str, doing: str, wire: Mapping[str, Any], queries: dict[str, str]) -> Any:
        """Give the SDK's model of a request; adds to ``queries`` what it has no field for."""
        try:
            request = getattr(models, f"{action}Request")().from_map({"RegionId": self.region, **wire})
            if action == CREATE:
                # Fields that the service has and the SDK does not know would be dropped without a word.
                known = flat(request.to_map())
                queries |= {name: text for name, text in flat(wire).items() if name not in known}
            return request
        except Exception as exc:  # noqa: BLE001 - the SDK raises anything for what has not the API's shape
            kind = type(exc).__name__
        said = f"the SDK does not take the request's shape ({kind})"
        advice = "; check EciOptions.extra" if action == CREATE else ""
        raise InvalidSpec(f"{doing}: {said}{advice}") from ApiFault(said, Answer(sent=False))

    def _runtime(self, left: float, queries: dict[str, str]) -> RuntimeOptions:
        # Both in milliseconds. A connection that is kept open makes no use of the first.
        more: Body = {
            "connect_timeout": max(1, round(min(left, CONNECT_TIMEOUT) * 1000)),
            "read_timeout": max(1, round(left * 1000)),
            "max_idle_conns": pool_size(self.options),
            "ca": self.options.ca_file,
            "http_proxy": self.options.http_proxy,
            "https_proxy": self.options.https_proxy,
        }
        if queries:
            more["extends_parameters"] = ExtendsParameters(queries=queries)
        return RuntimeOptions(autoretry=False, **more)

    def close(self) -> None:
        """Let go of the client; the SDK keeps idle connections for the whole process, and reuses them."""
        self._client = None

    def _made_client(self) -> Client:
        if self._client is None:
            prepare(self.options)
            self._client = _client(self.options)
        return self._client


def _uri(body: Body) -> str:
    return str(body.get("WebSocketUri") or "")


def _client(options: ConnectOptions) -> Client:
    config = Config(
        region_id=options.region_id,
        endpoint=options.endpoint.host,
        protocol=options.endpoint.protocol.upper(),
        user_agent="sandboxkit",
    )
    if options.credentials is None:
        config.credential = chain
    else:
        config.access_key_id = options.credentials.access_key_id
        config.access_key_secret = options.credentials.access_key_secret
        config.security_token = options.credentials.security_token
    return Client(config)


def _account(options: ConnectOptions) -> tuple[str, ...]:
    key = options.credentials.access_key_id if options.credentials is not None else "default chain"
    told = json.dumps(dict(options.limits), sort_keys=True)
    return (hashlib.sha256(key.encode()).hexdigest(), str(options.endpoint), options.region_id, told)


def _method(client: Client, action: str) -> Callable[[Any, RuntimeOptions], Any]:
    snake = "".join(f"_{c.lower()}" if c.isupper() else c for c in action).lstrip("_")
    return getattr(client, f"{snake}_with_options")  # type: ignore[no-any-return]
