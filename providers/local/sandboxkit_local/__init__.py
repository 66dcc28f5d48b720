"""The provider ``local``: sandboxes of Linux namespaces on this host."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sandboxkit_local.options import LocalOptions

__all__ = ["LocalOptions"]


def __getattr__(name: str) -> Any:
    # Late: inside a sandbox this package is imported by a Python that has nothing but its standard library.
    if name != "LocalOptions":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from sandboxkit_local.options import LocalOptions

    return LocalOptions
