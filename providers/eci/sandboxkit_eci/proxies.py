"""The CONNECT request that asks an HTTP proxy for a tunnel, and its answer, sans-I/O.

Source: RFC 9110, section 9.3.6.
"""

from __future__ import annotations

import base64
from typing import Self
from urllib.parse import unquote, urlsplit

import attrs

from sandboxkit.errors import AuthenticationFailed, InvalidSpec, ProviderError, ProviderUnavailable

LONGEST_ANSWER = 1 << 16
"""Bytes of an answer's head; more is no proxy."""


@attrs.frozen
class Proxy:
    """An HTTP proxy: where it is, and who one is there."""

    host: str
    port: int
    _credentials: str | None = attrs.field(default=None, repr=False)

    @classmethod
    def parse(cls, url: str) -> Self:
        """Read ``http://[user[:password]@]host[:port]``; raises ``InvalidSpec`` without a word of the password."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise InvalidSpec("the proxy's address is no URL; it should be http://host:port") from None
        if parts.scheme != "http" or not parts.hostname:
            raise InvalidSpec(f"a proxy of kind {parts.scheme!r} is not supported; it should be http://host:port")
        user = None
        if parts.username is not None:
            user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        return cls(parts.hostname, port or 80, user)

    def request(self, host: str, port: int) -> bytes:
        """Write the request for a tunnel to ``host``."""
        target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
        if self._credentials is not None:
            lines.append(f"Proxy-Authorization: Basic {base64.b64encode(self._credentials.encode()).decode()}")
        return "\r\n".join([*lines, "", ""]).encode()

    def accepts(self, answer: bytes) -> bool:
        """Say whether the answer so far is whole and grants the tunnel; raises ``ProviderError`` when it refuses."""
        head, whole, _ = answer.partition(b"\r\n\r\n")
        if not whole and len(answer) < LONGEST_ANSWER:
            return False
        words = head.split(b"\r\n", 1)[0].split(None, 2)
        if not whole or len(words) < 2 or not words[0].startswith(b"HTTP/") or not words[1].isdigit():
            raise ProviderError(f"what listens at {self.host}:{self.port} is no HTTP proxy")
        status = int(words[1])
        if not 200 <= status < 300:
            raise _refused(f"the proxy {self.host}:{self.port} refused the tunnel with HTTP status {status}", status)
        return True


def _refused(message: str, status: int) -> ProviderError:
    if status == 407:
        return AuthenticationFailed(f"{message}; it wants other credentials", provider_code="407")
    if status >= 500:
        return ProviderUnavailable(message, provider_code=str(status))
    return ProviderError(message, provider_code=str(status))
