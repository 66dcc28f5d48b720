"""Pulling an image, with its progress on the log."""

from __future__ import annotations

import base64
import json
import logging
import time
from collections.abc import Callable

import docker.auth
import docker.errors

from sandboxkit.errors import AuthenticationFailed, InvalidSpec, ProviderError
from sandboxkit_docker.daemon import Daemon
from sandboxkit_docker.faults import pull_failure
from sandboxkit_docker.options import DockerOptions, RegistryAuth

log = logging.getLogger("sandboxkit")

PROGRESS_PERIOD = 2.0
"""Seconds between two lines of progress."""


def pull(
    daemon: Daemon, image: str, options: DockerOptions, *, until: float | None, checkpoint: Callable[[], None]
) -> None:
    """Pull an image; ``checkpoint`` is called as progress comes, and may raise to break it off.

    Raises ``ImageNotFound``, ``AuthenticationFailed``, ``Throttled``, ``NoCapacity`` or what a call may raise.
    Without ``until`` only silence ends it: the daemon must say something within the connect option ``timeout``.
    """
    query = {"fromImage": image}
    if "@" not in image and ":" not in image.rpartition("/")[2]:
        query["tag"] = "latest"  # without a tag the daemon pulls all of them
    if options.platform is not None:
        query["platform"] = options.platform
    log.info("pulling image %s", image)
    layers: dict[str, tuple[int, int]] = {}
    told = time.monotonic()
    headers = _auth_header(daemon, image, options.auth)
    try:
        for event in daemon.stream("POST", "/images/create", until=until, query=query, headers=headers):
            checkpoint()
            if "error" in event:
                raise pull_failure(image, str(event["error"]))
            detail = event.get("progressDetail") or {}
            if event.get("status") == "Downloading" and "total" in detail:
                layers[str(event.get("id"))] = (int(detail.get("current", 0)), int(detail["total"]))
            if layers and time.monotonic() - told >= PROGRESS_PERIOD:
                told = time.monotonic()
                done, total = (sum(values) >> 20 for values in zip(*layers.values(), strict=True))
                log.info("pulling image %s: %d of %d MiB", image, done, total)
    except (ProviderError, InvalidSpec) as exc:
        if exc.provider_code is not None and type(exc) in (ProviderError, InvalidSpec):
            raise pull_failure(image, exc.message, status=int(exc.provider_code)) from exc
        raise
    log.info("pulled image %s", image)


def _auth_header(daemon: Daemon, image: str, auth: RegistryAuth | None) -> dict[str, str]:
    try:
        registry, _ = docker.auth.resolve_repository_name(image.partition("@")[0])
        if auth is None:
            header = docker.auth.get_config_header(daemon.api, registry)
            return {"X-Registry-Auth": header.decode() if isinstance(header, bytes) else header} if header else {}
    except docker.errors.DockerException as exc:
        raise AuthenticationFailed(
            f"docker's config.json has credentials for image {image!r} that cannot be used: {type(exc).__name__}"
        ) from exc
    words = {"username": auth.username, "password": auth.password, "serveraddress": auth.registry or registry}
    return {"X-Registry-Auth": base64.urlsafe_b64encode(json.dumps(words).encode()).decode()}
