"""Settings that are not given in code: variables of the environment, and of a ``.env`` file."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs
from dotenv import dotenv_values

from sandboxkit.errors import InvalidSpec
from sandboxkit_eci.addresses import is_trusted

OWN = "ECI_SANDBOX_"
ALIBABA = "ALIBABA_CLOUD_"

NAMES: Mapping[str, tuple[str, ...]] = {
    OWN: (
        "ACCESS_KEY_ID",
        "ACCESS_KEY_SECRET",
        "SECURITY_TOKEN",
        "REGION_ID",
        "ENDPOINT",
        "TIMEOUT_MS",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "V_SWITCH_ID",
        "SECURITY_GROUP_ID",
    ),
    ALIBABA: ("ACCESS_KEY_ID", "ACCESS_KEY_SECRET", "SECURITY_TOKEN", "REGION_ID"),
}
"""All variables that are read, by prefix; nothing else of a ``.env`` file is looked at."""

_ADDRESSES = ("ENDPOINT", "HTTP_PROXY", "HTTPS_PROXY")


@attrs.frozen
class Source:
    """Variables with one prefix from one place; ``where`` names the place in errors."""

    prefix: str
    values: Mapping[str, str] = attrs.field(repr=False)
    where: str
    problem: str = ""
    """What is to be said if something is missing: it may be there, and could not be read."""

    def get(self, name: str) -> str | None:
        """Give a value; what is set to nothing is not set."""
        return self.values.get(self.prefix + name) or None


def sources(environ: Mapping[str, str], env_file: str | os.PathLike[str] | None, directory: Path) -> list[Source]:
    """Give where settings come from, the first to ask first: the environment, then the file.

    Without ``env_file`` it is the ``.env`` nearest to ``directory``, upwards, if there is one. An address in a file
    must be https or this machine's: such a file may come with a checkout, and would send the keys to a stranger.
    """
    found = [Source(prefix, environ, "the environment") for prefix in (OWN, ALIBABA)]
    path = _find(directory) if env_file is None else Path(env_file)
    if path is None:
        return found
    try:
        values = _read(path, asked=env_file is not None)
    except UnicodeDecodeError:
        problem = f"{str(path)!r} is not UTF-8 text, so its settings were not read; save it as UTF-8"
        if env_file is not None:
            raise InvalidSpec(f"env_file: {problem}") from None
        return [*found, Source(OWN, {}, str(path), problem if _is_ours(path) else "")]
    for name in _ADDRESSES:
        value = values.get(OWN + name)
        if value and not _is_trusted(value):
            raise InvalidSpec(
                f"{OWN}{name} in {path} must be https or a loopback address; "
                f"set it in the environment or in code if it is meant"
            )
    return [*found, *(Source(prefix, values, str(path)) for prefix in (OWN, ALIBABA))]


def _is_trusted(value: str) -> bool:
    try:
        return is_trusted(value)
    except ValueError:
        return False


def _find(directory: Path) -> Path | None:
    for parent in (directory, *directory.parents):
        path = parent / ".env"
        if path.is_file():
            return path
    return None


def _read(path: Path, *, asked: bool) -> dict[str, str]:
    if asked and not path.is_file():
        raise InvalidSpec(f"env_file: there is no file {str(path)!r}")
    try:
        # Without interpolation, which would read the environment's own values into these.
        every = dotenv_values(path, interpolate=False)
    except OSError as exc:
        if asked:
            raise InvalidSpec(f"env_file: {str(path)!r} cannot be read: {type(exc).__name__}") from None
        return {}  # a file of someone else's that happens to lie above
    return {name: value for name in _known() if (value := every.get(name))}


def _is_ours(path: Path) -> bool:
    """Tell whether a file that cannot be decoded has settings of ours, in whatever encoding."""
    plain = path.read_bytes().replace(b"\0", b"")  # UTF-16 and UTF-32 have ASCII between zeros
    return any(prefix.encode() in plain for prefix in NAMES)


def _known() -> Iterator[str]:
    for prefix, names in NAMES.items():
        for name in names:
            yield prefix + name
