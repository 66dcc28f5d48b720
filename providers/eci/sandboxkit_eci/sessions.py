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


def prepare(options: ConnectOptions, *, pool_size: int) -> None:
    """Have the endpoint's session made, and send without the environment's proxy what goes without one."""
    make = getattr(DaraCore, "_get_session", None)
    if make is None:
        return  # another version of the SDK, which makes its sessions in another way
    endpoint = options.endpoint
    key = f"{endpoint.protocol}://{endpoint.host}:{DaraRequest().port}:pool={pool_size}"
    with _lock:
        session = make(session_key=key, protocol=endpoint.protocol.upper(), pool_size=pool_size)
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
