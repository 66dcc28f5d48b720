"""Timeouts of launched commands that are over when the test says so, however late a busy machine is.

A launcher's watchdog takes a sleep that was ended for one that could not be started: it waits for a second, then its
command's time is over.
"""

from __future__ import annotations

import subprocess
import time


def long_timeout() -> float:
    """Give a timeout that is over after days, and no other process sleeps for it."""
    return float(10**6 + time.time_ns() % 10**8)


def expiring(text: str) -> tuple[str, float]:
    """Give a command that ends its own time once it has come through ``text``, and its timeout."""
    timeout = long_timeout()
    return f"{text} until /usr/bin/pkill -xf 'sleep {timeout:.0f}'; do :; done; exec sleep 600", timeout


def expire(timeout: float) -> None:
    """End the time of a command that has that timeout."""
    while subprocess.run(["/usr/bin/pkill", "-xf", f"sleep {timeout:.0f}"]).returncode != 0:
        time.sleep(0.01)
