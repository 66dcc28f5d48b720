"""What ``list`` shows to a person at a terminal."""

from __future__ import annotations

import io
import re
import sys

import pytest

from sandboxkit import SandboxInfo, Status
from sandboxkit.cli.showing import show_sandboxes
from tests import test_cli
from tests.test_cli import Cli
from tests.test_cli_sh import Person

cli = test_cli.cli
reach = test_cli.reach


def test_an_id_can_be_copied_from_a_narrow_terminal(cli: Cli) -> None:
    cli.run("--keep", "--", "true")
    (found,) = cli.there()
    try:
        with Person(["list", "-p", cli.provider, "-l", cli.label], COLUMNS="80") as person:
            assert person.leaves() == 0
            (line,) = [line for line in person.seen.decode().splitlines() if line.split()[:1] == [found]]
            assert "running" in line
    finally:
        cli.delete(found)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("columns", [20, 80, 130, 150, 300])
@pytest.mark.parametrize("kind", ["xterm", "dumb"])
def test_a_table_loses_nothing_however_narrow_the_terminal(
    columns: int, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", kind)
    monkeypatch.setenv("NO_COLOR", "1")
    box = SandboxInfo(
        id="0123456789abcdef" * 4,
        provider="docker",
        status=Status.RUNNING,
        owner="somebody@a-host-with-a-name-of-some-length",
        image="registry.example.com/of/somebody/image:with-a-tag",
    )
    show_sandboxes([box], ids_only=False, as_json=False)
    titles, _, first, *more = [
        line for line in re.sub("\x1b\\[[0-9]*m", "", terminal.getvalue()).splitlines() if line.strip()
    ]
    assert titles.split() == ["id", "status", "time", "left", "owner", "image"]
    assert first.split()[:3] == [box.id, "running", "-"]
    owner, image = titles.index("owner"), titles.index("image")
    assert "".join(line[owner:image].strip() for line in (first, *more)) == box.owner
    assert "".join(line[image:].strip() for line in (first, *more)) == box.image
