"""The pytest plugin: it marks, sorts and reports contract tests, and does nothing where there are none."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from sandboxkit.testing.promises import carried_by

if TYPE_CHECKING:
    from sandboxkit.testing.stage import Stage
    from sandboxkit.testing.suite import ContractSuite

# An editable install has no list of files from which pytest would know what to rewrite.
pytest.register_assert_rewrite("sandboxkit.testing.suite", "sandboxkit.testing.looking")

MARKERS = (
    "promise(*ids): the ids of docs/contract.md that a contract test holds",
    "delta: depends on the image, the user, the isolation or the transport",
    "heavy: runs only with --sandboxkit-full (in sandboxkit's own clone: --full)",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("sandboxkit", "sandboxkit's contract suite")
    group.addoption("--sandboxkit-full", action="store_true", help="also run the contract's heavy tests")


def pytest_configure(config: pytest.Config) -> None:
    for marker in MARKERS:
        config.addinivalue_line("markers", marker)


def _suite(cls: type | None) -> type[ContractSuite] | None:
    # Nothing is imported for it: without a contract class nobody has imported the suite.
    import sys

    module = sys.modules.get("sandboxkit.testing.suite")
    base = getattr(module, "ContractSuite", None)
    return cls if base is not None and cls is not None and issubclass(cls, base) else None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    suite = _suite(metafunc.cls)
    if suite is not None and "sandboxkit_stage" in metafunc.fixturenames:
        carried = carried_by(metafunc.function)
        # What is heavy tells nothing more the second time.
        worlds = suite.worlds[-1:] if carried is not None and carried.heavy else suite.worlds
        metafunc.parametrize("sandboxkit_stage", worlds, indirect=True, scope="class")


def pytest_pycollect_makeitem(collector: Any, name: str, obj: object) -> None:
    if isinstance(obj, type) and (suite := _suite(obj)) is not None and collector.classnamefilter(name):
        suite.check_whole()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    kept: list[pytest.Item] = []
    dropped: list[pytest.Item] = []
    for item in items:
        suite = _suite(getattr(item, "cls", None))
        carried = carried_by(getattr(item, "function", None))
        if suite is None or carried is None:
            kept.append(item)
            continue
        item.add_marker(pytest.mark.promise(*carried.ids))
        if carried.delta:
            item.add_marker(pytest.mark.delta)
        if carried.heavy:
            item.add_marker(pytest.mark.heavy)
            if not config.getoption("--sandboxkit-full"):
                item.add_marker(pytest.mark.skip(reason="heavy: runs with --sandboxkit-full"))
        left_out = suite.tier == "delta" and not carried.delta
        left_out = left_out or (suite.only != () and not any(each.startswith(suite.only) for each in carried.ids))
        (dropped if left_out else kept).append(item)
    if dropped:
        config.hook.pytest_deselected(items=dropped)
        items[:] = kept


def pytest_report_collectionfinish(config: pytest.Config, items: list[pytest.Item]) -> list[str]:
    suites: dict[type[ContractSuite], None] = {}
    for item in items:
        suite = _suite(getattr(item, "cls", None))
        if suite is not None:
            suites[suite] = None
    if not suites or config.get_verbosity() < 0:
        return []
    from sandboxkit import plugins

    lines = ["sandboxkit providers:"]
    for name in plugins.installed():
        answer = plugins.probe(name)
        lines.append(f"  {name}: {'works' if answer.works else 'does not work'}; {answer.reason}".rstrip("; "))
    for suite in suites:
        why = suite.unready()
        if why:
            lines.append(f"  {suite.__module__}.{suite.__qualname__}: {_verdict(suite)}: {why}")
    if not config.getoption("--sandboxkit-full"):
        lines.append("  heavy tests are skipped (--sandboxkit-full runs them)")
    return lines


def required(suite: type[ContractSuite]) -> bool:
    """Tell whether ``SANDBOXKIT_REQUIRE`` forbids to skip this class."""
    names = {name.strip() for name in os.environ.get("SANDBOXKIT_REQUIRE", "").split(",")}
    return bool(names & {suite.provider, *suite.rests_on})


def _verdict(suite: type[ContractSuite]) -> str:
    return "FAILS, SANDBOXKIT_REQUIRE names it" if required(suite) else "skipped"


@pytest.fixture(scope="class")
def sandboxkit_stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """One world of one provider, for the tests of one class."""
    from sandboxkit.testing.stage import Stage

    suite: type[ContractSuite] | None = request.cls
    assert suite is not None  # only its tests ask for a stage
    why = suite.unready()
    if why:
        if required(suite):
            pytest.fail(f"SANDBOXKIT_REQUIRE names it, but it is not ready: {why}", pytrace=False)
        pytest.skip(why)
    stage = Stage(suite, request.param)
    try:
        yield stage
    finally:
        stage.close()
