"""How long the service takes for its own work, in seconds before they are scaled."""

from __future__ import annotations

import attrs


@attrs.frozen(kw_only=True)
class Delays:
    """The usual times of the service, as its users report them."""

    scheduling: float = 2.0
    pending: float = 8.0
    pull: float = 30.0
    """Of an image that is in no cache."""
    terminating: float = 3.0
    restarting: float = 5.0
    updating: float = 5.0
    back_off: float = 10.0
    """Before the first restart of a container or another try at an image; it doubles up to five minutes."""
    spot_notice: float = 180.0
    commit_phase: float = 3.0
    image_cache: float = 60.0

    longest_back_off: float = 300.0
