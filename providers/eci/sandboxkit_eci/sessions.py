"""The connections that the SDK keeps: one session for each endpoint, for the whole process.

The SDK reads HTTP_PROXY and HTTPS_PROXY but not NO_PROXY, nor does it leave this machine's own addresses alone:
nobody behind a proxy could use an emulator. What it says of proxies is therefore looked at again where it sends. Its
sessions are not made thread-safely either: the first threads to come would each make one.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

from darabonba.core import DaraCore  # type: ignore[import-untyped]
from darabonba.request import DaraRequest  # type: ignore[import-untyped]

from sandboxkit_eci.proxying import proxy_of
from sandboxkit_eci.settings import ConnectOptions

_VARIABLES = ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy")
_lock = threading.Lock()

IDLE_CONNECTIONS = 4
"""Connections kept open when idle; any number may be in use."""

_trusted: list[str] = []


def pool_size(options: ConnectOptions) -> int:
    """Give the number of connections to keep, by which the SDK also tells its sessions apart.

    A session's TLS context goes on trusting what any of its calls trusted: each ``ca_file`` has a number of its own.
    """
    if options.ca_file is None:
        return IDLE_CONNECTIONS
    with _lock:
        if options.ca_file not in _trusted:
            _trusted.append(options.ca_file)
        return IDLE_CONNECTIONS + 1 + _trusted.index(options.ca_file)


def prepare(options: ConnectOptions) -> None:
    """Have the endpoint's session made, and send without the environment's proxy what goes without one."""
    make = getattr(DaraCore, "_get_session", None)
    if make is None:
        return  # another version of the SDK, which makes its sessions in another way
    endpoint = options.endpoint
    size = pool_size(options)
    key = f"{endpoint.protocol}://{endpoint.host}:{DaraRequest().port}:pool={size}"
    with _lock:
        session = make(session_key=key, protocol=endpoint.protocol.upper(), pool_size=size)
        if proxy_of(str(endpoint), options) is None:
            adapter = session.get_adapter(str(endpoint))
            if not isinstance(adapter.send, _Direct):
                adapter.send = _Direct(adapter.send)


class _Direct:
    """Sends what was to go through the environment's proxy without it."""

    def __init__(self, send: Callable[..., Any]) -> None:
        self._send = send

    def __call__(self, request: Any, **more: Any) -> Any:
        environment = {os.environ.get(name) for name in _VARIABLES}
        proxies = more.get("proxies") or {}
        kept = {scheme: proxy for scheme, proxy in proxies.items() if proxy not in environment}
        return self._send(request, **{**more, "proxies": kept})
