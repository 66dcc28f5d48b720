"""Providers are found by name, one at a time, and a broken one breaks no other."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

import sandboxkit
from sandboxkit import plugins
from sandboxkit.errors import InvalidSpec, ProviderNotFound

BROKEN = "raise RuntimeError('broken on purpose')"
EMPTY = ""
NEEDY = """
import sandboxkit
@sandboxkit.hookimpl
def sandboxkit_provider(world, options):
    import a_package_that_is_not_there
@sandboxkit.hookimpl
def sandboxkit_probe():
    raise OSError("the probe fell over")
"""


@pytest.fixture
def installed_plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Install three plugins of which none is any good, as distributions would be."""
    sources = {"broken": BROKEN, "empty": EMPTY, "needy": NEEDY}
    for name, source in sources.items():
        (tmp_path / f"plugin_{name}.py").write_text(source)
        info = tmp_path / f"plugin_{name}-1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: plugin-{name}\nVersion: 1\n")
        (info / "entry_points.txt").write_text(f"[sandboxkit]\n{name} = plugin_{name}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    return list(sources)


def test_an_unknown_name_is_answered_with_what_is_installed() -> None:
    with pytest.raises(ProviderNotFound, match=r"no provider 'dokcer' \(installed: .*local.*\).*pip install"):
        sandboxkit.connect("dokcer")


def test_the_default_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SANDBOXKIT_PROVIDER", "nothing-like-it")
    with pytest.raises(ProviderNotFound, match="nothing-like-it"):
        sandboxkit.connect()


def test_a_broken_plugin_says_so_and_breaks_no_other(installed_plugins: list[str]) -> None:
    assert set(installed_plugins) <= set(plugins.installed())
    with pytest.raises(ProviderNotFound, match=r"'broken' is installed but cannot be imported.*broken on purpose"):
        sandboxkit.connect("broken")
    assert "broken on purpose" in plugins.probe("broken").reason
    with sandboxkit.connect("local") as client:
        assert client.provider == "local"


@pytest.mark.usefixtures("installed_plugins")
def test_a_plugin_without_the_hook_or_its_sdk_says_so() -> None:
    with pytest.raises(ProviderNotFound, match="has no hook 'sandboxkit_provider'"):
        sandboxkit.connect("empty")
    with pytest.raises(ProviderNotFound, match=r"needs a package that is missing.*a_package_that_is_not_there"):
        sandboxkit.connect("needy")
    assert plugins.probe("empty").works
    assert plugins.probe("needy") == sandboxkit.Probe(False, "OSError: the probe fell over")


def test_connecting_to_one_provider_imports_no_other() -> None:
    sys.modules.pop("sandboxkit_docker.plugin", None)
    with sandboxkit.connect("local"):
        assert "sandboxkit_docker.plugin" not in sys.modules


def test_unknown_connect_options_are_named() -> None:
    with pytest.raises(InvalidSpec, match="colour"):
        sandboxkit.connect("local", colour="red")
    for odd in (5, b"me", "\udcff"):
        with pytest.raises(InvalidSpec, match="owner and image are"):
            sandboxkit.connect("local", owner=odd)
