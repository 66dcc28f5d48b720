"""Which proxy a websocket goes through: that of the connect options, or the environment's."""

from __future__ import annotations

import urllib.request
from urllib.parse import urlsplit

from sandboxkit_eci.addresses import is_loopback
from sandboxkit_eci.settings import ConnectOptions


def proxy_of(uri: str, options: ConnectOptions) -> str | None:
    """Give the proxy's URL; ``None`` for none. ``NO_PROXY`` and loopback addresses are heeded."""
    parts = urlsplit(uri)
    secure = parts.scheme in ("wss", "https")
    given = options.https_proxy if secure else options.http_proxy
    if given is not None:
        return given
    host = parts.hostname or ""
    found = urllib.request.getproxies()
    proxy = found.get("https" if secure else "http") or found.get("all")
    if not proxy or is_loopback(host) or urllib.request.proxy_bypass(host):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"
