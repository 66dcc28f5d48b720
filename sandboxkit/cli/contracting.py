"""``contract``: the contract suite against a provider, from a file that is made for the occasion."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from sandboxkit import plugins
from sandboxkit.cli.entry import fail
from sandboxkit.cli.options import connect_options

DECLINED = 1

FREE = ("local", "docker")
"""Providers whose sandboxes cost nobody anything."""

MODULE = '''"""The contract of {provider}."""

from sandboxkit.testing import ContractSuite


class TestContract(ContractSuite):
    provider = {provider!r}
    options = {options!r}
    create = {create!r}
    worlds = {worlds!r}
    tier = {tier!r}

    @classmethod
    def prerequisite(cls) -> str:
        return ""  # the options may say what the provider's own probe does not find
'''


def contract(given: Mapping[str, Any], arguments: tuple[str, ...]) -> int:
    """Run the suite in a process of its own and give pytest's exit code."""
    if given["name"] and given["provider"]:
        raise click.UsageError("a provider is named twice: leave out -p")
    provider = given["name"] or given["provider"] or os.environ.get("SANDBOXKIT_PROVIDER") or "local"
    if importlib.util.find_spec("pytest") is None:
        return fail("the contract's tests need pytest: pip install 'sandboxkit[testing]'")
    if provider not in plugins.installed():
        return fail(f"no provider {provider!r} (installed: {', '.join(plugins.installed()) or 'none'})")
    if provider not in FREE and not given["yes"]:
        click.echo(
            f"This makes about 125 sandboxes of {provider!r} in each world, most of them for seconds, runs 2,000 "
            "commands and deletes all of it. Where sandboxes cost money, this does."
        )
        if not click.confirm("Go on?"):
            return fail("nothing was done", DECLINED)
    options = connect_options(given["connect"])
    if given["image"] is not None:
        options["image"] = given["image"]
    module = MODULE.format(
        provider=provider,
        options=options,
        create={name: given[name] for name in ("cpu", "memory_gib") if given[name] is not None},
        worlds=(given["world"],) if given["world"] else ("blocking", "asyncio"),
        tier="delta" if given["delta"] else "full",
    )
    with tempfile.TemporaryDirectory(prefix="sandboxkit-contract-") as directory:
        path = Path(directory, "test_contract.py")
        # The options may hold keys.
        path.touch(mode=0o600)
        path.write_text(module)
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", directory, "-ra"]
        command += [*(["--sandboxkit-full"] if given["full"] else []), *arguments, str(path)]
        return subprocess.run(command, cwd=directory, stdin=subprocess.DEVNULL).returncode
