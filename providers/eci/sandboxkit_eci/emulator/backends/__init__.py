"""What can stand behind the emulator's containers."""

from sandboxkit_eci.emulator.backends.nothing import NoBackend
from sandboxkit_eci.emulator.backends.sandboxes import SandboxBackend

__all__ = ["NoBackend", "SandboxBackend"]
