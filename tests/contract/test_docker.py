"""``docker`` keeps the contract: whole with the usual image, and what changes with the least image, user and root."""

from __future__ import annotations

import shutil
import subprocess
from typing import Any, ClassVar

from sandboxkit.testing import ContractSuite

USUAL = "sandboxkit-test:usual"
BUSYBOX = "sandboxkit-test:busybox"


def _docker(*arguments: str) -> str:
    done = subprocess.run(("docker", *arguments), capture_output=True, text=True, stdin=subprocess.DEVNULL)
    return done.stdout if done.returncode == 0 else ""


class _Docker(ContractSuite):
    provider = "docker"
    image: ClassVar[str] = USUAL

    @classmethod
    def prerequisite(cls) -> str:
        why = super().prerequisite()
        if not why and shutil.which("docker") and not _docker("image", "inspect", cls.image):
            return f"image {cls.image} is missing: ./dev images makes it"
        return why

    @classmethod
    def remains(cls, tag: str) -> list[str]:
        listed = _docker("ps", "--all", "--no-trunc", "--quiet", "--filter", "label=sandboxkit.owner").split()
        # Restarted and removed at once, the daemon may list a container for ever that it does not have.
        found = [_docker("inspect", "--format", "{{.Name}} {{json .Config.Labels}}", each) for each in listed]
        return [f"container {line.split()[0]}" for line in found if tag in line]


class TestDocker(_Docker):
    options: ClassVar[dict[str, Any]] = {"image": USUAL}


class TestDockerCold(_Docker):
    """With an exec for each command."""

    options: ClassVar[dict[str, Any]] = {"image": USUAL, "warm": False}
    only = ("X", "F")
    worlds = ("asyncio",)


class TestBusybox(_Docker):
    """The least that an image must have."""

    image = BUSYBOX
    options: ClassVar[dict[str, Any]] = {"image": BUSYBOX}
    tier = "delta"
    worlds = ("blocking",)


class TestNonRoot(_Docker):
    """A user without rights."""

    options: ClassVar[dict[str, Any]] = {"image": USUAL}
    create: ClassVar[dict[str, Any]] = {"user": "65534:65534", "cwd": "/tmp"}
    tier = "delta"
    worlds = ("asyncio",)


class TestReadOnly(_Docker):
    """The least image, a user without rights, and one directory that can be written."""

    image = BUSYBOX
    options: ClassVar[dict[str, Any]] = {"image": BUSYBOX}
    tier = "delta"
    worlds = ("blocking",)

    @classmethod
    def prerequisite(cls) -> str:
        why = super().prerequisite()
        if not why:
            from sandboxkit_docker.options import DockerOptions

            read_only = DockerOptions(read_only=True, tmpfs={"/work": "size=64m,mode=1777"})
            cls.create = {"user": "65534:65534", "cwd": "/work", "options": read_only}
        return why
