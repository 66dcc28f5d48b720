"""The distributions as a stranger gets them: built, then used in a clean environment without the clone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
import venv
import zipfile
from email.parser import HeaderParser
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
OURS = [ROOT, *sorted(path.parent for path in ROOT.glob("providers/*/pyproject.toml"))]
OTHERS = sorted(path.parent for path in ROOT.glob("tests/thirdparty/**/pyproject.toml"))


def manifest(project: Path) -> dict[str, Any]:
    return tomllib.loads((project / "pyproject.toml").read_text())["project"]  # type: ignore[no-any-return]


def run(*command: str | Path, cwd: Path) -> str:
    # A clone on PYTHONPATH would hide a file that is missing from a wheel.
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(command, cwd=cwd, env=env, text=True, stdin=subprocess.DEVNULL, capture_output=True)
    assert done.returncode == 0, f"{command[0]} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Each distribution's wheel, built from its sdist, so that the sdist is complete too."""
    found = {}
    for project in OURS + OTHERS:
        out = tmp_path_factory.mktemp("dist")
        run(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, project, cwd=out)
        (found[manifest(project)["name"]],) = out.glob("*.whl")
    return found


class Environment:
    """A virtual environment of its own, without pip and without the packages of this one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        venv.create(path, with_pip=False)

    def install(self, *requirements: str | Path) -> None:
        pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
        into = ("--python", self.path / "bin/python", "install", "--quiet")
        run(*pip, *into, *requirements, cwd=self.path)

    def python(self, code: str) -> Any:
        """What ``code``, which prints JSON, says."""
        return json.loads(run(self.path / "bin/python", "-W", "error", "-I", "-c", code, cwd=self.path))


@pytest.fixture(scope="module")
def core(wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Environment:
    environment = Environment(tmp_path_factory.mktemp("core"))
    environment.install(wheels["sandboxkit"])
    return environment


@pytest.fixture(scope="module")
def everything(wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Environment:
    # By file: an index might know one of the names.
    environment = Environment(tmp_path_factory.mktemp("everything"))
    extras = ",".join(manifest(ROOT)["optional-dependencies"])
    rest = [wheel for name, wheel in wheels.items() if name != "sandboxkit"]
    environment.install(f"{wheels['sandboxkit']}[{extras}]", *rest)
    return environment


def test_distributions_have_one_version_and_pin_each_other() -> None:
    version = manifest(ROOT)["version"]
    for project in OURS:
        assert manifest(project)["version"] == version
    for provider in OURS[1:]:
        assert f"sandboxkit=={version}" in manifest(provider)["dependencies"]
        name = manifest(provider)["name"]
        extra = name.removeprefix("sandboxkit-")
        assert manifest(ROOT)["optional-dependencies"][extra] == [f"{name}=={version}"]


def test_wheel_is_one_typed_package_with_its_licence(wheels: dict[str, Path]) -> None:
    for project in OURS:
        name = manifest(project)["name"]
        package = name.replace("-", "_")
        with zipfile.ZipFile(wheels[name]) as wheel:
            files = set(wheel.namelist())
            (info,) = {file.split("/")[0] for file in files} - {package}
            metadata = HeaderParser().parsestr(wheel.read(f"{info}/METADATA").decode())
            assert f"{package}/py.typed" in files
            assert wheel.read(f"{info}/licenses/LICENSE") == (ROOT / "LICENSE").read_bytes()
            assert metadata["License-Expression"] == "Apache-2.0"
            assert not [file for file in files if file.startswith(f"{package}/tests/")]


def test_core_needs_attrs_and_pluggy_only(core: Environment) -> None:
    code = """if True:
        import importlib.metadata, json
        print(json.dumps(sorted(found.name for found in importlib.metadata.distributions())))"""
    assert core.python(code) == ["attrs", "pluggy", "sandboxkit"]


def test_core_alone_says_how_to_add_a_provider(core: Environment) -> None:
    code = """if True:
        import json, sandboxkit
        try:
            sandboxkit.connect("docker")
        except sandboxkit.ProviderNotFound as exc:
            print(json.dumps(str(exc)))"""
    message = core.python(code)
    assert "installed: none" in message
    assert "pip install 'sandboxkit[docker]'" in message


def test_import_is_light(everything: Environment) -> None:
    # Where everything is installed: only there could it be imported.
    code = """if True:
        import json, sys, sandboxkit
        print(json.dumps([name for name in sys.modules if "." not in name]))"""
    loaded = set(everything.python(code))
    assert {"sandboxkit", "attr", "pluggy"} <= loaded
    heavy = {
        "asyncio",
        "docker",
        "requests",
        "click",
        "rich",
        "pytest",
        "sandboxkit_local",
        "sandboxkit_docker",
        "sandboxkit_eci",
        "alibabacloud_eci20180808",
        "aiohttp",
    }
    assert loaded & heavy == set()


def test_every_module_imports_from_the_wheels(everything: Environment) -> None:
    code = """if True:
        import importlib, json, pathlib, pkgutil, sys
        names = []
        for package in %r:
            root = importlib.import_module(package)
            names += [package, *(m.name for m in pkgutil.walk_packages(root.__path__, package + "."))]
        modules = [importlib.import_module(n) for n in names if not n.endswith("__main__")]
        outside = [m.__name__ for m in modules if not m.__file__.startswith(sys.prefix)]
        print(json.dumps([len(modules), outside]))"""
    count, outside = everything.python(code % [manifest(project)["name"].replace("-", "_") for project in OURS])
    assert count > len(OURS)
    assert outside == []


def test_every_plugin_is_found(everything: Environment) -> None:
    wanted = {
        name for project in OURS + OTHERS for name in manifest(project).get("entry-points", {}).get("sandboxkit", {})
    }
    assert {"local", "docker", "eci"} <= wanted
    code = """if True:
        import json
        from sandboxkit import plugins
        print(json.dumps(plugins.installed()))"""
    assert set(everything.python(code)) == wanted


def test_local_runs_a_command_from_the_wheels(everything: Environment) -> None:
    code = """if True:
        import json, sandboxkit
        from sandboxkit import plugins
        answer = plugins.probe("local")
        if not answer.works:
            print(json.dumps(answer.reason))
        else:
            with sandboxkit.connect("local") as client, client.create() as box:
                result = box.exec(["sh", "-c", "echo out; echo err >&2; exit 3"])
            print(json.dumps([result.exit_code, result.text, result.stderr_text]))"""
    answer = everything.python(code)
    if isinstance(answer, str) and "local" not in os.environ.get("SANDBOXKIT_REQUIRE", ""):
        pytest.skip(f"local does not work here: {answer}")
    assert answer == [3, "out\n", "err\n"]


def test_command_line_runs_from_the_wheels(everything: Environment) -> None:
    assert "local" in run(everything.path / "bin/sandboxkit", "providers", cwd=everything.path)
