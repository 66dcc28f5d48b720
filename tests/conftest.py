"""What all tests share: the providers of the tests are found, and ``--full`` runs what is heavy."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest

# Its metadata lies beside its package, as if it were installed: clients in other processes find it by the path too.
sys.path.insert(0, str(Path(__file__).parent / "poor"))
sys.path.insert(0, str(Path(__file__).parent / "loopbound"))


# A run that was started in the background (nohup, a shell's "&") ignores what many tests are about, and so would
# every program that they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
for number in (signal.SIGHUP, signal.SIGQUIT):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, signal.SIG_DFL)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", dest="sandboxkit_full", help="also run the heavy tests")


HEAVY_LIMIT = 900
"""Seconds after which a heavy test is taken to hang; the others have the project's own limit."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if not item.get_closest_marker("heavy"):
            continue
        item.add_marker(pytest.mark.timeout(HEAVY_LIMIT))
        if not config.getoption("sandboxkit_full") and not item.get_closest_marker("promise"):
            item.add_marker(pytest.mark.skip(reason="heavy: runs with --full"))
