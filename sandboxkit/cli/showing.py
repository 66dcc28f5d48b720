"""What ``providers`` and ``list`` print: a table on a terminal, else plain lines with tabs, or JSON."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs
import click

from sandboxkit import SandboxError, SandboxInfo, connect, plugins
from sandboxkit.model import Capability, TmuxInfo, TmuxPoll

_FOLDED = 20
"""Down to that many characters the columns after the first are folded, where there is too little room."""


def show_providers(*, as_json: bool, capabilities: bool) -> None:
    """Show each installed provider, and with ``capabilities`` what those that work declare."""
    found = [_ask(name, capabilities) for name in plugins.installed()]
    if as_json:
        _print_json(found)
        return
    _print_rows(("provider", "works", "note"), [(f["name"], _yes(f["works"]), f["reason"]) for f in found])
    for provider in found:
        if provider.get("capabilities"):
            click.echo()
            rows = [
                (provider["name"], name, _yes(each["value"]), each["reason"])
                for name, each in sorted(provider["capabilities"].items())
            ]
            _print_rows(("provider", "capability", "value", "note"), rows)
    if not found:
        click.echo("no provider is installed; try: pip install 'sandboxkit[local]'", err=True)


def _ask(name: str, capabilities: bool) -> dict[str, Any]:
    probe = plugins.probe(name)
    answer = {"name": name, **attrs.asdict(probe)}
    if not capabilities:
        return answer
    answer["capabilities"] = {}
    if probe.works:
        try:
            with connect(name) as client:
                answer["capabilities"] = _plain(client.capabilities)
        except SandboxError as exc:
            answer |= {"works": False, "reason": str(exc)}
    return answer


def _plain(declared: Mapping[str, Capability]) -> dict[str, Any]:
    return {name: attrs.asdict(capability) for name, capability in declared.items()}


def show_sandboxes(found: Iterable[SandboxInfo], *, ids_only: bool, as_json: bool) -> None:
    """Show sandboxes, as far as their backend describes them."""
    found = list(found)
    if as_json:
        _print_json([attrs.asdict(info) for info in found])
    elif ids_only:
        for info in found:
            click.echo(info.id)
    else:
        now = time.time()
        rows = [(i.id, str(i.status), _left(i.expires_at, now), i.owner, i.image or "-") for i in found]
        _print_rows(("id", "status", "time left", "owner", "image"), rows)


def show_sessions(found: Iterable[TmuxInfo], *, as_json: bool) -> None:
    """Show tmux sessions."""
    if as_json:
        _print_json([attrs.asdict(info) for info in found])
        return
    rows = [
        (i.name, str(i.status), "-" if i.exit_code is None else str(i.exit_code), _yes(i.terminal)) for i in found
    ]
    _print_rows(("name", "status", "exit code", "terminal"), rows)


def show_poll(found: TmuxPoll) -> None:
    """Show how a session is, for programs; output that is not UTF-8 has U+FFFD."""
    _print_json({**attrs.asdict(found), "output": found.text})


def _left(expires_at: float | None, now: float) -> str:
    if expires_at is None:
        return "-"
    seconds = int(expires_at - now)
    return "expired" if seconds <= 0 else f"{seconds} s" if seconds < 120 else f"{seconds // 60} min"


def _yes(value: bool | str) -> str:
    return value if isinstance(value, str) else "yes" if value else "no"


def _print_json(value: Any) -> None:
    click.echo(json.dumps(value, indent=2))


def _print_rows(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table for people, or one line a row, without titles, for programs.

    The first column is never folded, so that what stands there can be copied: where the terminal is too narrow for
    that, it folds the lines itself.
    """
    if not sys.stdout.isatty():
        for row in rows:
            click.echo("\t".join(" ".join(cell.split()) for cell in row))
        return
    from rich import box
    from rich.cells import cell_len
    from rich.console import Console, ConsoleDimensions
    from rich.table import Table
    from rich.text import Text

    rows = list(rows)
    least = [max(map(cell_len, column)) for column in zip(titles, *rows, strict=True)]
    least[1:] = [min(width, _FOLDED) for width in least[1:]]
    table = Table(box=box.SIMPLE_HEAD)
    for number, title in enumerate(titles):
        table.add_column(title, no_wrap=number == 0)
    for row in rows:
        table.add_row(*(Text(cell, overflow="fold") for cell in row))
    console = Console()
    width = sum(least) + 3 * len(least) + 1  # with the blanks around each
    console.size = ConsoleDimensions(max(console.width, width), console.height)
    console.print(table)
