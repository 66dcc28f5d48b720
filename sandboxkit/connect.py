"""Connecting: from a provider's name and options to a client."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from sandboxkit.errors import InvalidSpec
from sandboxkit.plugins import make_provider
from sandboxkit.provider import KeepsWarm, World
from sandboxkit.texts import is_utf8

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


def _keeps_warm(option: object) -> bool:
    """Tell whether channels are kept between commands: the option, else ``SANDBOXKIT_WARM``, else they are."""
    if option is None:
        word = os.environ.get("SANDBOXKIT_WARM") or "1"
        if word not in ("0", "1"):
            raise InvalidSpec(f"SANDBOXKIT_WARM is 0 or 1, not {word!r}")
        return word == "1"
    if not isinstance(option, bool):
        raise InvalidSpec(f"warm is True or False, not {option!r}")
    return option


def _client(provider: str | None, world: World, options: dict[str, Any]) -> AsyncClient:
    from sandboxkit.client import AsyncClient

    owner = options.pop("owner", None) or default_owner()
    image = options.pop("image", None)
    warm = _keeps_warm(options.pop("warm", None))
    if not all(isinstance(text, str) and is_utf8(text) for text in (owner, "" if image is None else image)):
        raise InvalidSpec("owner and image are UTF-8 text")
    made = make_provider(provider, world, options)
    if isinstance(made, KeepsWarm):
        made.keep_warm(warm)
    client = AsyncClient(made, owner, image)
    if image is not None:
        client.require("image")
    return client


def connect(provider: str | None = None, **options: Any) -> Client:
    """Connect to a provider: ``local``, ``docker`` or any installed one.

    Without a name it is ``SANDBOXKIT_PROVIDER`` or else ``local``; there is no fall-back to another. ``owner``
    (default ``user@host``) labels what is created and is all that ``gc`` touches; ``image`` is the default image.
    ``warm=False`` (or ``SANDBOXKIT_WARM=0``) opens a channel for each command, where else some are kept to a sandbox.
    All other options are the provider's own. Raises ``ProviderNotFound``, ``InvalidSpec``, ``Unsupported``.
    """
    from sandboxkit.sync import Client
    from sandboxkit.worlds import BlockingWorld

    return Client(_client(provider, BlockingWorld(), options))


def connect_async(provider: str | None = None, **options: Any) -> AsyncClient:
    """Connect for asyncio; like :func:`connect`. The client belongs to the loop that it is first used on."""
    from sandboxkit.aio import AsyncioWorld

    return _client(provider, AsyncioWorld(), options)
