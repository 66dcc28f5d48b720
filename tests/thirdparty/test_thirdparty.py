"""A stranger's provider: built and installed by the tests, found by its entry point, held to the same contract."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sandboxkit import plugins

HERE = Path(__file__).parent


def run(*command: str | Path, cwd: Path, path: str) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    env["PYTHONPATH"] = path
    return subprocess.run(
        command, cwd=cwd, env=env, text=True, stdin=subprocess.DEVNULL, capture_output=True, timeout=400
    )


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of a stranger's, outside this clone: the provider installed in ``lib``, and its conformance file."""
    root = tmp_path_factory.mktemp("thirdparty")
    source = shutil.copytree(HERE, root / "source", ignore=shutil.ignore_patterns("__pycache__", "test_*", "*.pyc"))
    build = (sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", root, source)
    done = run(*build, cwd=root, path="")
    assert done.returncode == 0, done.stderr
    (wheel,) = root.glob("*.whl")
    # Without its dependencies: sandboxkit and local are those of this environment.
    install = (
        sys.executable,
        "-m",
        "pip",
        "install",
        "-q",
        "--no-deps",
        "--no-index",
        "--target",
        root / "lib",
        wheel,
    )
    done = run(*install, cwd=root, path="")
    assert done.returncode == 0, done.stderr
    shutil.copy(HERE / "conformance.py", root / "test_conformance.py")
    return root


def test_it_is_found_by_its_entry_point(project: Path) -> None:
    code = "from sandboxkit import plugins; print(plugins.installed())"
    assert "'thin'" in run(sys.executable, "-c", code, cwd=project, path=str(project / "lib")).stdout
    assert "'thin'" not in run(sys.executable, "-c", code, cwd=project, path="").stdout


@pytest.mark.timeout(400)
def test_it_passes_the_contract(project: Path) -> None:
    answer = plugins.probe("local")
    if not answer.works and "local" not in os.environ.get("SANDBOXKIT_REQUIRE", ""):
        pytest.skip(f"local does not work here: {answer.reason}")
    command = (sys.executable, "-m", "pytest", "-W", "error", "-k", "asyncio", "--tb=short", "-rf")
    done = run(*command, cwd=project, path=str(project / "lib"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
    assert "thin: works" in done.stdout
