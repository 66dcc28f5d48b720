"""``eci`` keeps the contract through the emulator over ``local``: whole, and where the service is hostile."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from tests.support.emulated import Emulated

HOSTILE = (
    "--quirk=split=1",
    "--quirk=split-first=4096",
    "--quirk=idle-close=30",
    "--quirk=error-text-on-nonzero=true",
    "--quirk=leading-empty-frame=true",
    "--fault=*:throttle,p=0.1",
    "--fault=*:lost,p=0.02",
)


class TestEci(Emulated):
    """Over ``local``, whatever image is asked for unless nobody can have it."""

    arguments = ("--backend=local",)
    options: ClassVar[dict[str, Any]] = {"image": "registry.example/any:1"}
    without: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("cpu", "memory", "user", "ports"), "the emulator's containers are local's, which have none"
    )


class TestEciHostile(Emulated):
    """A service that does everything that is not known not to happen."""

    arguments = ("--backend=local", *HOSTILE)
    options: ClassVar[dict[str, Any]] = {"image": "registry.example/any:1"}
    tier = "delta"
    worlds = ("asyncio",)
    without = TestEci.without
