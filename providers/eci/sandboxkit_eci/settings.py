"""How to connect: what a user gives in code, completed from the environment, checked, and never shown."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from sandboxkit.commands import LONGEST_TIMEOUT
from sandboxkit.errors import InvalidSpec
from sandboxkit_eci.addresses import Endpoint, check_proxy, check_region, endpoint_of, parse_endpoint
from sandboxkit_eci.environment import ALIBABA, OWN, Source, sources
from sandboxkit_eci.options import EciOptions, eci_options

DEFAULT_TIMEOUT = 30.0
"""Seconds that one call of the API may take."""


@attrs.frozen(kw_only=True)
class Credentials:
    """Keys that were given; without them Alibaba's own chain is asked. Never shown."""

    access_key_id: str = attrs.field(repr=False)
    access_key_secret: str = attrs.field(repr=False)
    security_token: str | None = attrs.field(default=None, repr=False)


@attrs.frozen(kw_only=True)
class ConnectOptions:
    """How to reach the service, complete.

    ``credentials`` is ``None`` where Alibaba's default chain decides (a profile, an instance's role, …).
    ``timeout`` is the most seconds that one call of the API may take. ``ca_file`` holds the certificates (PEM) that
    are trusted instead of the usual ones. ``limits`` replaces calls a minute by action, for an account whose quotas
    differ. ``options`` is what a sandbox's ``EciOptions`` are taken from where it has none.
    """

    region_id: str
    endpoint: Endpoint
    credentials: Credentials | None
    timeout: float = DEFAULT_TIMEOUT
    http_proxy: str | None = attrs.field(default=None, repr=False)
    https_proxy: str | None = attrs.field(default=None, repr=False)
    ca_file: str | None = None
    limits: Mapping[str, int] = attrs.field(factory=dict)
    options: EciOptions = attrs.field(factory=EciOptions, repr=False)


KNOWN = (
    "region_id",
    "access_key_id",
    "access_key_secret",
    "security_token",
    "endpoint",
    "vpc",
    "timeout",
    "http_proxy",
    "https_proxy",
    "ca_file",
    "env_file",
    "v_switch_id",
    "security_group_id",
    "limits",
    "options",
)
"""The connect options, beside ``image`` and ``owner``, which are every provider's."""


def connect_options(
    given: Mapping[str, Any], environ: Mapping[str, str] | None = None, directory: Path | None = None
) -> ConnectOptions:
    """Complete and check the connect options.

    What is given in code counts first, then ``ECI_SANDBOX_*`` and ``ALIBABA_CLOUD_*`` of the environment, then the
    same of a ``.env`` file. A key's id, its secret and its token come from one place together. Raises
    ``InvalidSpec`` that names the setting which is missing or wrong.
    """
    for name in given:
        if name not in KNOWN:
            raise InvalidSpec(f"no connect option {name!r} for eci (known: {', '.join(KNOWN)}, image, owner)")
    env_file = given.get("env_file")
    if env_file is not None and not isinstance(env_file, str | os.PathLike):
        raise InvalidSpec(f"env_file is a path as text or a pathlib.Path, not {type(env_file).__name__}")
    places = sources(os.environ if environ is None else environ, env_file, directory or Path.cwd())
    region = check_region(_required("region_id", "REGION_ID", given, places))
    return ConnectOptions(
        region_id=region,
        endpoint=_endpoint(region, given, places),
        credentials=_credentials(given, places),
        timeout=_timeout(given, places),
        http_proxy=_proxy("http_proxy", given, places),
        https_proxy=_proxy("https_proxy", given, places),
        ca_file=_ca_file(given),
        limits=_limits(given),
        options=_options(given, places),
    )


def _text(name: str, variable: str, given: Mapping[str, Any], places: list[Source]) -> str | None:
    value = given.get(name)
    if value is not None:
        if not isinstance(value, str) or not value:
            raise InvalidSpec(f"{name} is a text that is not empty")
        return value
    return next((found for place in places if (found := place.get(variable))), None)


def _required(name: str, variable: str, given: Mapping[str, Any], places: list[Source]) -> str:
    value = _text(name, variable, given, places)
    if value is None:
        _check_read(places)
        raise InvalidSpec(
            f"{name} is missing: connect('eci', {name}=...), or {OWN}{variable} or {ALIBABA}{variable} "
            "in the environment or in a .env file"
        )
    return value


def _credentials(given: Mapping[str, Any], places: list[Source]) -> Credentials | None:
    names = ("access_key_id", "access_key_secret", "security_token")
    candidates: list[tuple[str, dict[str, Any], str]]
    candidates = [("the connect options", {name: given.get(name) for name in names}, "")]
    candidates += [(p.where, {name: p.get(name.upper()) for name in names}, p.prefix) for p in places]
    for where, found, prefix in candidates:
        if not any(found.values()):
            continue
        for name in names[:2]:
            if not found[name]:
                setting = prefix + name.upper() if prefix else name
                raise InvalidSpec(
                    f"{setting} is missing in {where}: a key's id, its secret and its token come from one place"
                )
        for name in names:
            if found[name] is not None and not isinstance(found[name], str):
                raise InvalidSpec(f"{name} is a text")
            if found[name] and not found[name].isprintable():
                raise InvalidSpec(f"{name} in {where} holds characters that no key has; was it cut or pasted wrong?")
        return Credentials(**found)
    _check_read(places)
    return None


def _check_read(places: list[Source]) -> None:
    """Say of a file that it could not be read, where something is missing that it may hold."""
    for place in places:
        if place.problem:
            raise InvalidSpec(place.problem)


def _endpoint(region: str, given: Mapping[str, Any], places: list[Source]) -> Endpoint:
    vpc = given.get("vpc", False)
    if not isinstance(vpc, bool):
        raise InvalidSpec(f"vpc is True or False, not {vpc!r}")
    text = _text("endpoint", "ENDPOINT", given, places)
    if text is None:
        return endpoint_of(region, vpc=vpc)
    if vpc and given.get("endpoint") is not None:
        raise InvalidSpec("endpoint and vpc: give one of them")
    return endpoint_of(region, vpc=True) if vpc else parse_endpoint(text, name="endpoint")


def _timeout(given: Mapping[str, Any], places: list[Source]) -> float:
    value = given.get("timeout")
    if value is None:
        for place in places:
            if place.prefix == OWN and (text := place.get("TIMEOUT_MS")):
                if not text.isascii() or not text.isdigit() or not 0 < int(text) <= 3_600_000:
                    raise InvalidSpec(f"{OWN}TIMEOUT_MS in {place.where} is a number of milliseconds")
                return int(text) / 1000
        return DEFAULT_TIMEOUT
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= LONGEST_TIMEOUT:
        raise InvalidSpec(f"timeout is a positive number of seconds, at most {LONGEST_TIMEOUT:g}, not {value!r}")
    return float(value)


def _proxy(name: str, given: Mapping[str, Any], places: list[Source]) -> str | None:
    # Only our own variables: HTTP_PROXY and HTTPS_PROXY are read where the connection is made.
    own = [place for place in places if place.prefix == OWN]
    text = _text(name, name.upper(), given, own)
    return None if text is None else check_proxy(text, name=name)


def _ca_file(given: Mapping[str, Any]) -> str | None:
    value = given.get("ca_file")
    if value is None:
        return None
    if not isinstance(value, str | os.PathLike) or not Path(value).is_file():
        raise InvalidSpec(f"ca_file: there is no file {value!r}")
    return os.fspath(value)


def _limits(given: Mapping[str, Any]) -> dict[str, int]:
    value = given.get("limits") or {}
    if not isinstance(value, Mapping):
        raise InvalidSpec("limits maps an action like 'ExecContainerCommand' to its calls a minute")
    for action, calls in value.items():
        if not isinstance(action, str) or isinstance(calls, bool) or not isinstance(calls, int) or calls < 1:
            raise InvalidSpec(f"limits maps an action to its calls a minute; {action!r}: {calls!r} is no such thing")
    return dict(value)


def _options(given: Mapping[str, Any], places: list[Source]) -> EciOptions:
    options = eci_options(given.get("options"))
    v_switch = _text("v_switch_id", "V_SWITCH_ID", given, places)
    group = _text("security_group_id", "SECURITY_GROUP_ID", given, places)
    if v_switch is not None and not options.v_switch_ids:
        options = attrs.evolve(options, v_switch_ids=tuple(part.strip() for part in v_switch.split(",")))
    if group is not None and options.security_group_id is None:
        options = attrs.evolve(options, security_group_id=group)
    return eci_options(options)
