"""Connecting: from a provider's name and options to a client."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from sandboxkit.errors import InvalidSpec
from sandboxkit.plugins import make_provider
from sandboxkit.provider import World

if TYPE_CHECKING:
    from sandboxkit.client import AsyncClient
    from sandboxkit.sync import Client


def default_owner() -> str:
    """Give ``user@host``."""
    import getpass
    import socket

    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid()) if hasattr(os, "getuid") else "unknown"
    return f"{user}@{socket.gethostname()}"


def _client(provider: str | None, world: World, options: dict[str, Any]) -> AsyncClient:
    from sandboxkit.client import AsyncClient

    owner = options.pop("owner", None) or default_owner()
    image = options.pop("image", None)
    if not isinstance(owner, str) or (image is not None and not isinstance(image, str)):
        raise InvalidSpec("owner and image are text")
    client = AsyncClient(make_provider(provider, world, options), owner, image)
    if image is not None:
        client.require("image")
    return client


def connect(provider: str | None = None, **options: Any) -> Client:
    """Connect to a provider: ``local``, ``docker`` or any installed one.

    Without a name it is ``SANDBOXKIT_PROVIDER`` or else ``local``; there is no fall-back to another. ``owner``
    (default ``user@host``) labels what is created and is all that ``gc`` touches; ``image`` is the default image.
    All other options are the provider's own. Raises ``ProviderNotFound``, ``InvalidSpec``, ``Unsupported``.
    """
    from sandboxkit.sync import Client
    from sandboxkit.worlds import BlockingWorld

    return Client(_client(provider, BlockingWorld(), options))


def connect_async(provider: str | None = None, **options: Any) -> AsyncClient:
    """Connect for asyncio; like :func:`connect`. The client belongs to the loop that it is first used on."""
    from sandboxkit.aio import AsyncioWorld

    return _client(provider, AsyncioWorld(), options)
