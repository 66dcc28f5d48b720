"""Where the service is reached: the API's endpoint, and the proxies on the way; pure."""

from __future__ import annotations

import ipaddress
import re
from typing import Literal
from urllib.parse import urlsplit

import attrs

from sandboxkit.errors import InvalidSpec

_REGION = re.compile(r"[a-z][a-z0-9-]{1,62}[a-z0-9]\Z")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?\Z")


@attrs.frozen
class Endpoint:
    """The API's address: ``host`` has the port in it where it is not the protocol's own."""

    protocol: Literal["http", "https"]
    host: str

    def __str__(self) -> str:
        return f"{self.protocol}://{self.host}"


def check_region(region_id: str) -> str:
    """Check a region's id, which becomes part of a host's name."""
    if not isinstance(region_id, str) or not _REGION.match(region_id):
        raise InvalidSpec(f"region_id is like 'cn-hangzhou', not {region_id!r}")
    return region_id


def endpoint_of(region_id: str, *, vpc: bool) -> Endpoint:
    """Give the service's own endpoint in a region: the public one, or that within its VPCs."""
    return Endpoint("https", f"eci-vpc.{region_id}.aliyuncs.com" if vpc else f"eci.{region_id}.aliyuncs.com")


def parse_endpoint(text: str, *, name: str) -> Endpoint:
    """Read an endpoint as a user gives it: ``host``, ``host:port`` or the same with ``http://`` or ``https://``."""
    wrong = InvalidSpec(f"{name} is like 'https://eci.cn-hangzhou.aliyuncs.com' or 'http://127.0.0.1:8460'")
    if not isinstance(text, str) or not text or any(c.isspace() for c in text):
        raise wrong
    try:
        parts = urlsplit(text if "://" in text else f"https://{text}")
        port = parts.port
    except ValueError:
        raise wrong from None
    host = parts.hostname or ""
    # What else stands in it may be a secret (user:password@): it is not repeated.
    plain = parts.username is None and parts.path in ("", "/") and not parts.query and not parts.fragment
    if not plain or parts.scheme not in ("http", "https") or not _is_host(host):
        raise wrong
    shown = f"[{host}]" if ":" in host else host
    return Endpoint("https" if parts.scheme == "https" else "http", shown if port is None else f"{shown}:{port}")


def check_proxy(url: str, *, name: str) -> str:
    """Check a proxy's URL, ``http://host:port``, perhaps with credentials, which are not repeated in an error."""
    # The websocket's proxies have to be ones that are spoken to without TLS.
    wrong = InvalidSpec(f"{name} is like 'http://proxy.example:3128'; other kinds are not supported")
    if not isinstance(url, str):
        raise wrong
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise wrong from None
    if parts.scheme != "http" or not _is_host(parts.hostname or ""):
        raise wrong
    return url


def is_trusted(url: str) -> bool:
    """Whether an address may come from a file that lies about: https, or this machine."""
    parts = urlsplit(url if "://" in url else f"https://{url}")
    return parts.scheme == "https" or is_loopback(parts.hostname or "")


def is_loopback(host: str) -> bool:
    """Whether a host, without its port, is this machine by its address or the name ``localhost``."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _is_host(host: str) -> bool:
    if ":" in host:
        try:
            ipaddress.IPv6Address(host)
        except ValueError:
            return False
        return True
    return _HOST.match(host) is not None
