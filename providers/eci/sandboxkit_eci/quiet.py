"""Keeping what is sent out of other libraries' logs.

The SDK puts all of a call into its URL: environment values, registry passwords, commands. urllib3 logs URLs at DEBUG,
and the SDK itself everything, if ``DEBUG=sdk`` is set. Only what is logged in a call of ours is touched.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class _Ours(threading.local):
    calling = False


_ours = _Ours()


def _keep(record: logging.LogRecord) -> bool:
    return not _ours.calling


# A filter counts for its own logger only, so each that is known to tell has it.
for _name in (
    "urllib3.connectionpool",
    "urllib3.util.retry",
    "requests",
    "darabonba-core",
    "alibabacloud-tea",
    "credentials",
):
    logging.getLogger(_name).addFilter(_keep)


@contextmanager
def quietly() -> Iterator[None]:
    """Have nothing logged of what this thread sends in the block."""
    _ours.calling = True
    try:
        yield
    finally:
        _ours.calling = False
