"""HTTP answers instead of a websocket, as errors."""

from __future__ import annotations

from collections.abc import Mapping

from sandboxkit.errors import ProviderError, ProviderUnavailable, Throttled
from sandboxkit_eci.dialing import Endpoint

SPENT = (401, 403, 404, 410)
"""What an endpoint may say of an address that has expired or was used before; another exec gets another address."""


def refused(endpoint: Endpoint, status: int, headers: Mapping[str, str]) -> ProviderError:
    """Give the error for a handshake that was answered with an HTTP status.

    Whether the command was started is unknown then. The launcher's does nothing without its script, so most of these
    may be followed by another exec.
    """
    code = str(status)
    message = f"{endpoint} answered the exec's handshake with HTTP status {status}"
    if status in SPENT:
        return ProviderUnavailable(f"{message}: its address has expired or was used before", provider_code=code)
    if status == 429:
        after = next((value for name, value in headers.items() if name.lower() == "retry-after"), "")
        return Throttled(message, provider_code=code, retry_after=float(after) if after.isdigit() else None)
    if status >= 500:
        return ProviderUnavailable(message, provider_code=code)
    return ProviderError(message, provider_code=code)
