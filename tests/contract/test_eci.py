"""``eci`` keeps the whole contract through the emulator over ``local``, also where the service is hostile."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from tests.support.emulated import HOSTILE, Emulated


class TestEci(Emulated):
    """Over ``local``, whatever image is asked for unless nobody can have it."""

    arguments = ("--backend=local",)
    options: ClassVar[dict[str, Any]] = {"image": "registry.example/any:1"}
    without: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("cpu", "memory", "user", "ports"), "the emulator's containers are local's, which have none"
    )


class TestEciCold(Emulated):
    """With a call of the service for each command."""

    arguments = ("--backend=local",)
    options: ClassVar[dict[str, Any]] = {"image": "registry.example/any:1", "warm": False}
    without = TestEci.without
    only = ("X", "F")
    worlds = ("blocking",)


class TestEciHostile(Emulated):
    """Of a service that does everything that is not known not to happen."""

    arguments = ("--backend=local", *HOSTILE)
    options: ClassVar[dict[str, Any]] = {"image": "registry.example/any:1"}
    without = TestEci.without
