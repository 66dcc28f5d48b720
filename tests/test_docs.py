"""The documents say what the code does: signatures are compared, README's examples are run."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import sandboxkit
from sandboxkit import provider

ROOT = Path(__file__).resolve().parent.parent

PROTOCOLS = (
    "SandboxProvider",
    "ByteChannel",
    "ProcessChannel",
    "TerminalProvider",
    "TerminalChannel",
    "FileOperations",
    "FileReader",
    "FileWriter",
    "Extendable",
    "Restartable",
    "World",
)


def rendered(name: str) -> str:
    """Write a protocol's signatures as the documentation shows them."""
    lines = [f"class {name}(Protocol):"]
    protocol = getattr(provider, name)
    for attribute, value in vars(protocol).items():
        if attribute.startswith("_") and attribute not in ("__aenter__", "__aexit__", "__aiter__"):
            continue
        if isinstance(value, property):
            assert value.fget is not None
            kind = inspect.signature(value.fget).return_annotation
            lines.append(f"    {attribute}: {kind}  # property")
        elif inspect.isfunction(value):
            word = "async def" if inspect.iscoroutinefunction(value) else "def"
            lines.append(
                f"    {word} {attribute}{inspect.signature(value)}: ...".replace("b''", 'b""').replace("'", "")
            )
    return "\n".join(lines)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_the_documented_signatures_are_the_code(name: str) -> None:
    assert rendered(name) in (ROOT / "docs" / "new-provider.md").read_text()


def test_the_public_names_are_the_ones_that_exist() -> None:
    assert sorted(sandboxkit.__all__) == list(sandboxkit.__all__)
    for name in sandboxkit.__all__:
        assert getattr(sandboxkit, name) is not None


def test_every_error_is_in_the_drawn_tree_and_has_a_code_of_its_own() -> None:
    from sandboxkit import errors

    kinds = [k for k in vars(errors).values() if isinstance(k, type) and issubclass(k, errors.SandboxError)]
    assert errors.__doc__ is not None
    for kind in kinds:
        assert kind.__name__ in errors.__doc__
        assert kind.__name__ in sandboxkit.__all__
    assert len({kind.code for kind in kinds}) == len(kinds)


def examples() -> list[str]:
    """Give README's Python examples."""
    return re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)


def test_the_readme_has_examples_of_both_worlds() -> None:
    assert any("connect(" in example for example in examples())
    assert any("connect_async(" in example for example in examples())


@pytest.mark.parametrize("number", range(len(examples())))
def test_the_readme_examples_run_in_local(number: int, tmp_path: Path) -> None:
    example = examples()[number]
    # What differs from provider to provider is the first line alone, which is what the README says.
    local = re.sub(r'(connect(?:_async)?)\("docker"[^)]*\)', r'\1("local")', example)
    if "async with" in local and "asyncio.run" not in local:
        body = "\n".join("    " + line for line in local.splitlines() if not line.startswith("import"))
        local = f"import asyncio, sandboxkit\nasync def main():\n{body}\nasyncio.run(main())\n"
    script = tmp_path / "example.py"
    script.write_text(local)
    ran = subprocess.run(
        [sys.executable, "-W", "error", script], capture_output=True, text=True, cwd=tmp_path, env=dict(os.environ)
    )
    assert (ran.returncode, ran.stderr) == (0, "")


def test_links_between_the_documents_lead_somewhere() -> None:
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"
