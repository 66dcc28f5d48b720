"""``eci`` keeps the contract through the emulator over ``docker``: what an image, a user or a limit may change."""

from __future__ import annotations

import shutil
import subprocess
from typing import Any, ClassVar

from tests.support.emulated import HOSTILE, Emulated

IMAGE = "sandboxkit-test:usual"


class TestEciOverDocker(Emulated):
    """Over ``docker``, with images, users and limits."""

    arguments: ClassVar[tuple[str, ...]] = ("--backend=docker",)
    rests_on = ("docker",)
    options: ClassVar[dict[str, Any]] = {"image": IMAGE}
    tier = "delta"
    worlds = ("asyncio",)

    @classmethod
    def prerequisite(cls) -> str:
        why = super().prerequisite()
        if not why and shutil.which("docker"):
            command = ("docker", "image", "inspect", IMAGE)
            if subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL).returncode != 0:
                return f"image {IMAGE} is missing: ./dev images makes it"
        return why


class TestEciHostileOverDocker(TestEciOverDocker):
    """The same where the service is hostile."""

    arguments: ClassVar[tuple[str, ...]] = (*TestEciOverDocker.arguments, *HOSTILE)
