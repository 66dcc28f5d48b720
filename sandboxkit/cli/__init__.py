"""The command ``sandboxkit``; it needs the extra ``cli`` (click and rich)."""

from sandboxkit.cli.entry import main

__all__ = ["main"]
