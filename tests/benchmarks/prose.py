"""The text of the page: pure, figures in, Markdown out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tests.benchmarks.docker import IN_A_ROW, OF_THE_OTHER
from tests.benchmarks.report import digits

YES = {True: "yes", False: "**no**", None: ""}

WAYS = {
    "docker, in a row": "docker: kept channels, in a row",
    "docker": "docker: kept channels, in pairs",
    "docker, cold": "docker: a channel for each command (`warm=False`)",
    "docker, warm over cold": "docker: kept channels, held against a channel for each command",
    "local": "local: held against `nsenter`",
}

INTRODUCTION = """\
# Performance

Made by `./dev page`; do not edit. Times of a shared machine say little: compare the ratios. Each is the median over
pairs, sandboxkit's operation and the other one right after the other, in one run in which all operations take turns;
quartiles are those of the pairs' ratios. In a row means {row} of sandboxkit's operations one after the other, then
{other} of the other's, in turns: so a program works with its sandbox, and its operations find the caches as they left
them, while in a pair the other client's exec has just filled them with the daemon's work.

Measured on {machine}.

The minimal client is HTTP on the daemon's socket with nothing to spare: no timeouts, no budgets, no records, no tree
to end. It does the same operations, one `exec` each, and is the least that Docker allows to whoever keeps no channel.
"""


def table(head: Sequence[str], rows: Iterable[Sequence[object]], *, left: int = 1) -> str:
    """Write a table; all columns but the first ``left`` are numbers."""
    rules = ["---"] * left + ["---:"] * (len(head) - left)
    lines = [head, rules, *[[str(cell) for cell in row] for row in rows]]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def page(found: Mapping[str, Any]) -> str:
    """Write all of it."""
    parts = [INTRODUCTION.format(machine=_machine(found), row=IN_A_ROW, other=OF_THE_OTHER)]
    parts += _operations(found["operations"])
    if "before" in found:
        parts += _before(found["before"])
    if "callers" in found:
        parts += _callers(found["callers"])
    if "eciwarm" in found:
        parts += _far(found["eciwarm"]) + _fleet(found["eciwarm"]["fleet"])
    parts += _memory(found)
    return "\n".join(parts)


def _machine(found: Mapping[str, Any]) -> str:
    machine = found["operations"]["machine"]
    loads = ", ".join(f"{each['machine']['load']:g}" for each in found.values())
    return (
        f"{machine['cores']} cores, {machine['system']}, Python {machine['python']}; "
        f"load at the end of each measurement: {loads}"
    )


def _operations(measured: Mapping[str, Any]) -> list[str]:
    parts = [f"## Operations\n\n{measured['rounds']} rounds, a third of them for what moves 100 MB or 2,000 files.\n"]
    rows = measured["operations"]
    if any(row["provider"] == "docker" for row in rows):
        parts.append("![How long operations take in docker](performance.svg)\n")
    for provider, title in WAYS.items():
        some = [row for row in rows if row["provider"] == provider]
        if some:
            held = "a channel for each, ms" if provider == "docker, warm over cold" else "minimal, ms"
            parts += [f"### {title}\n", _pairs(some, "sandboxkit, ms", held)]
    return parts


def _pairs(rows: Iterable[Mapping[str, Any]], ours: str, least: str) -> str:
    return table(
        ("operation", ours, least, "ratio", "quartiles", "target", "reached"),
        (
            (
                row["name"],
                f"{row['ours_ms']:.1f}",
                "" if row["least_ms"] is None else f"{row['least_ms']:.1f}",
                "" if row["ratio"] is None else digits(row["ratio"]),
                "" if row["quartiles"] is None else " to ".join(map(digits, row["quartiles"])),
                _target(row),
                YES[row["reached"]],
            )
            for row in rows
        ),
    )


def _target(row: Mapping[str, Any]) -> str:
    ratio, time = row["target"], row["target_ms"]
    words = ["" if ratio is None else f"≤ {round(ratio, 3):g}", "" if time is None else f"≤ {time:.3g} ms"]
    return ", ".join(filter(None, words))


def _before(measured: Mapping[str, Any]) -> list[str]:
    title = (
        "### docker: a channel for each command, before and now\n\n"
        f"Before is revision `{measured['revision']}`, in the same sandbox in turns; {measured['rounds']} rounds.\n"
    )
    return [title, _pairs(measured["operations"], "now, ms", "before, ms")]


def _callers(measured: Mapping[str, Any]) -> list[str]:
    title = f"""\
## Commands a second

`true` in one sandbox of docker, from threads of a blocking client or tasks of one loop; {measured["rounds"]}
stretches of each, in turns. The shares are cores: client; daemon, containerd and the sandbox's shim; all in the
sandbox; what else the machine did, the kernel's own work included; idle.
"""
    head = ("world", "channels", "callers", "a second", "quartiles", "client", "daemon", "sandbox", "other", "idle")
    rows = [
        (
            each["world"],
            "kept" if each["warm"] else "one each",
            each["callers"],
            f"{each['per_second']:.0f}",
            "{:.0f} to {:.0f}".format(*each["quartiles"]),
            *(f"{each[side]:.2f}" for side in ("client", "daemon", "sandbox", "others", "idle")),
            "" if each["target"] is None else f"≥ {each['target']:g}",
            YES[each["reached"]],
            each["bound"],
        )
        for each in measured["rates"]
    ]
    parts = [title, table((*head, "target", "reached", "bound by"), rows, left=2)]
    most = max((each for each in measured["rates"] if each["warm"]), key=lambda each: float(each["per_second"]))
    costs = {side: 1000 * most[side] / most["per_second"] for side in ("client", "daemon", "sandbox")}
    words = ", ".join(f"{cost:.2f} ms in the {side}" for side, cost in costs.items())
    total = sum(costs.values())
    cores = measured["machine"]["cores"]
    parts.append(
        f"What bounds it: a command costs CPU time, at the best rate {words}.\n"
        f"That is {total:.2f} ms, so {cores} cores that do nothing else cannot run more than "
        f"{1000 * cores / total:.0f} a second, however many callers there are.\n"
    )
    return parts


def _far(measured: Mapping[str, Any]) -> list[str]:
    title = f"""\
## eci, at a distance

The emulator over `local`, behind a proxy that makes a round trip of {measured["round_trip_ms"]:g} ms of every
exchange with it, API, connections and websockets alike; from the second command on. Round trips are counted at the
proxy. The time includes what the sandbox takes, which is on the same machine.
"""
    kept = ("operation", "round trips", "API calls", "time, ms", "in round trips")
    without = ("without: round trips", "API calls", "time, ms", "ratio", "quartiles", "target", "reached")
    rows = [
        (
            each["name"],
            f"{each['round_trips']:.1f}",
            f"{each['api_calls']:g}",
            f"{each['ours_ms']:.1f}",
            f"{each['time_in_round_trips']:.2f}",
            f"{each['cold_round_trips']:.1f}",
            f"{each['cold_api_calls']:g}",
            f"{each['cold_ms']:.1f}",
            digits(each["ratio"]),
            " to ".join(map(digits, each["quartiles"])),
            f"≤ {each['target']:g}, no call",
            YES[each["reached"]],
        )
        for each in measured["far"]
    ]
    return [title, table((*kept, *without), rows)]


def _fleet(fleet: Mapping[str, Any]) -> list[str]:
    calls = fleet["calls"]
    polling = sum(fleet["calls_while_polling"].values())
    execs = calls.get("ExecContainerCommand", 0)
    minute = fleet["otherwise"] * 60 / fleet["seconds"]
    return [
        f"""\
## eci, a fleet

{fleet["sandboxes"]} sandboxes, each with a tmux session that is polled every second, for {fleet["seconds"]:.0f} s:
{fleet["polls"]:,} polls, {fleet["poll_ms"]:.1f} ms each (median). An emulator without processes counted the calls,
and enforced the published limit of 500 execs a minute.

| | execs | describes | execs a minute at most |
|---|---:|---:|---:|
| sandboxkit, from the first create on | {execs:,} | {_described(calls):,} | {fleet["most_execs_in_a_minute"]:,} |
| of these, while polling | {fleet["calls_while_polling"].get("ExecContainerCommand", 0):,} \
| {_described(fleet["calls_while_polling"]):,} | |
| three execs and three describes for each poll | {fleet["otherwise"]:,} | {fleet["otherwise"]:,} | {minute:,.0f} |
| the quota | | | 500 |

Calls of the API while polling: {polling}. Refused as throttled: {fleet["refused"]}. The client took \
{100 * fleet["client_busy"]:.1f} % of a core.
"""
    ]


def _described(calls: Mapping[str, int]) -> int:
    return sum(count for name, count in calls.items() if name.startswith("Describe"))


def _memory(found: Mapping[str, Any]) -> list[str]:
    rows: list[tuple[str, ...]] = [
        (
            f"{each['provider']}: a command that writes {each['output_mb']} MB, peak",
            f"{each['growth_mib']:.1f} MiB",
            f"≤ {each['target_mib']:g} MiB",
            YES[each["reached"]],
        )
        for each in found["operations"]["memory"]
    ]
    for each in found.get("callers", {}).get("memory", ()):
        kib, target = each["kib_per_sandbox"], each["target_kib"]
        name = f"docker, {each['world']}: each of {each['sandboxes']} idle sandboxes with a kept channel"
        rows.append((name, f"{kib:.1f} KiB", f"≤ {target:g} KiB", YES[each["reached"]]))
    if "eciwarm" in found:
        idle = found["eciwarm"]["idle"]
        name = f"{idle['sandboxes']:,} idle sandboxes with a kept channel"
        kib, busy = idle["kib_per_sandbox"], idle["busy"]
        rows += [
            (
                f"eci, asyncio: each of {name}",
                f"{kib:.1f} KiB",
                f"≤ {idle['target_kib']:g} KiB",
                YES[kib <= idle["target_kib"]],
            ),
            (
                f"eci, asyncio: {name}, for {idle['seconds']:.0f} s",
                f"{100 * busy:.2f} % of a core",
                f"< {100 * idle['target_busy']:g} %",
                YES[busy < idle["target_busy"]],
            ),
        ]
    return ["## Memory, and doing nothing\n", table(("of the client", "found", "target", "reached"), rows)]
