"""How long the service takes for its own work, in seconds before they are scaled."""

from __future__ import annotations

import attrs

from sandboxkit_eci.emulator.quirks import quirk


@attrs.frozen(kw_only=True)
class Delays:
    """The usual times of the service, as its users report them; each can be set like a quirk."""

    scheduling: float = quirk(2.0, "seconds that a group is Scheduling, scaled as all of these")
    pending: float = quirk(8.0, "seconds that a group is Pending before its images are looked for")
    pull: float = quirk(30.0, "seconds for an image that is in no cache")
    terminating: float = quirk(3.0, "seconds that a group is Terminating")
    restarting: float = quirk(5.0, "seconds that a group is Restarting")
    updating: float = quirk(5.0, "seconds that a group is Updating")
    back_off: float = quirk(10.0, "seconds before the first restart of a container or the next try at an image")
    longest_back_off: float = quirk(300.0, "seconds up to which those double")
    spot_notice: float = quirk(180.0, "seconds between a spot group's notice and its end")
    commit_phase: float = quirk(3.0, "seconds for each phase of a CommitContainer task")
    image_cache: float = quirk(60.0, "seconds until an image cache is Ready")

    def __attrs_post_init__(self) -> None:
        for name, seconds in attrs.asdict(self).items():
            if seconds < 0:
                raise ValueError(f"quirk {name.replace('_', '-')} is a number of seconds, not {seconds}")
