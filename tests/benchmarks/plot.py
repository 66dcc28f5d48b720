"""The plot of the page: how long operations in docker take with kept channels, without, and by the minimal client."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

OPERATIONS = (
    "run true",
    "run true, timeout",
    "write 1 KB",
    "read 1 KB",
    "tmux poll",
    "write 10 MB",
    "read 10 MB",
    "10 MB of output",
)

# All of them can be read on white and on near black, which an image does not know of.
INK = "#768390"
COLOURS = {"kept channels": "#1f9d6b", "a channel for each command": "#c9782b", "minimal client": "#8a8f98"}


def load() -> Any:
    """Import matplotlib; its absence says what to do."""
    try:
        matplotlib = importlib.import_module("matplotlib")
    except ImportError:
        raise SystemExit("the plot needs matplotlib: run './dev page', or leave it out with --no-plot") from None
    matplotlib.use("svg")
    matplotlib.rcParams.update(
        {
            "svg.fonttype": "none",
            "svg.hashsalt": "sandboxkit",
            "font.family": "sans-serif",
            "font.size": 10,
            "text.color": INK,
            "axes.edgecolor": INK,
            "axes.labelcolor": INK,
            "xtick.color": INK,
            "ytick.color": INK,
        }
    )
    return importlib.import_module("matplotlib.pyplot")


def bars(found: dict[str, Any]) -> dict[str, list[float]]:
    """Give what is drawn: of each way the milliseconds of the operations, in their order."""
    rows = {(row["provider"], row["name"]): row for row in found["operations"]["operations"]}
    values = (
        [rows["docker", name]["ours_ms"] for name in OPERATIONS],
        [rows["docker, cold", name]["ours_ms"] for name in OPERATIONS],
        [rows["docker, cold", name]["least_ms"] for name in OPERATIONS],
    )
    return dict(zip(COLOURS, values, strict=True))


def draw(found: dict[str, Any], target: Path) -> None:
    """Write the plot as SVG; without docker's figures there is none."""
    if not any(row["provider"] == "docker" for row in found["operations"]["operations"]):
        return
    pyplot = load()
    figure, axes = pyplot.subplots(figsize=(8, 4.6))
    height = 0.27
    for place, (label, values) in enumerate(bars(found).items()):
        positions = [row + (place - 1) * height for row in range(len(OPERATIONS))]
        drawn = axes.barh(positions, values, height * 0.92, label=label, color=COLOURS[label])
        axes.bar_label(drawn, [f"{value:.1f}" for value in values], padding=3, fontsize=8, color=INK)
    axes.set_yticks(range(len(OPERATIONS)), OPERATIONS)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlim(left=1.0)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlabel("milliseconds, median (logarithmic)")
    axes.margins(x=0.1)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.4, 1.0), ncols=3)
    figure.savefig(target, format="svg", transparent=True, bbox_inches="tight", metadata={"Date": None})
    pyplot.close(figure)
    # Lines that end in a space are matplotlib's.
    target.write_text("\n".join(line.rstrip() for line in target.read_text().splitlines()) + "\n")
