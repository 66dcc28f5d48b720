"""The emulator's options, from its command line and a file."""

from __future__ import annotations

import argparse
import math
import tomllib
from pathlib import Path
from typing import Any, NoReturn

from sandboxkit_eci.emulator.delays import Delays
from sandboxkit_eci.emulator.faults import KINDS
from sandboxkit_eci.emulator.quirks import Quirks, describe
from sandboxkit_eci.emulator.session import SessionQuirks
from sandboxkit_eci.emulator.signature import Key

PORT = 8460


class UsageError(Exception):
    """The options are wrong."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see --help")


def read(arguments: list[str]) -> argparse.Namespace:
    """Read the options; what is on the command line goes before what is in the file."""
    parser = _parser()
    first = parser.parse_args(arguments)
    if first.config is None:
        return first
    parser.set_defaults(**_file(parser, Path(first.config)))
    return parser.parse_args(arguments)


def keys(options: argparse.Namespace) -> list[Key]:
    """Give the key pairs that are good; none means the usual one."""
    if len(options.access_key_id) != len(options.access_key_secret):
        raise UsageError("--access-key-id and --access-key-secret come in pairs")
    return [
        Key(id=name, secret=secret, account=name)
        for name, secret in zip(options.access_key_id, options.access_key_secret, strict=True)
    ]


def _file(parser: argparse.ArgumentParser, path: Path) -> dict[str, Any]:
    """Read a TOML file whose names are those of the options."""
    try:
        found = {name.replace("-", "_"): value for name, value in tomllib.loads(path.read_text()).items()}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as exc:
        raise UsageError(f"--config {path}: {exc}") from exc
    usual = vars(parser.parse_args([]))
    for name, value in found.items():
        if name not in usual or name == "config":
            raise UsageError(f"--config {path}: unknown option {name!r}")
        if isinstance(usual[name], list) and isinstance(value, str):
            found[name] = [value]
        elif name in ("quirk",) and isinstance(value, dict):
            found[name] = [f"{each}={word}" for each, word in value.items()]
    return found


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="sandboxkit-eci-emulator",
        description="Alibaba Cloud Elastic Container Instance, emulated on this machine.",
        epilog=_epilog(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="the address to listen on (%(default)s)")
    add("--port", type=_port, default=PORT, help="the port; 0 picks one (%(default)s)")
    add(
        "--backend",
        choices=("local", "docker", "none"),
        default="local",
        help="what containers are made of (%(default)s)",
    )
    add("--responder", metavar="MODULE:NAME", help="what answers execs with --backend none; an echo by default")
    add("--region", type=_region, default="cn-hangzhou", help="the region of calls that name none (%(default)s)")
    add("--access-key-id", action="append", default=[], metavar="ID", help="a key that is good; may be repeated")
    add("--access-key-secret", action="append", default=[], metavar="SECRET", help="its secret")
    add(
        "--tls",
        nargs="*",
        metavar="FILE",
        help="serve https with this CERT and KEY, or with a new one",
    )
    add("--quirk", action="append", default=[], metavar="NAME=VALUE", help="how the service behaves, see below")
    add(
        "--fault",
        action="append",
        default=[],
        metavar="RULE",
        help="what goes wrong, see below",
    )
    add("--seed", type=int, default=0, help="the same seed gives the same faults (%(default)s)")
    add(
        "--time-scale",
        type=_scale,
        default=1.0,
        help="how long the service's work takes; 0 is no time (%(default)s)",
    )
    add(
        "--state",
        metavar="FILE",
        help="keep groups with their containers, image caches and tokens for the next start",
    )
    add("--config", metavar="FILE", help="a TOML file with these options")
    return parser


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"a port is a number from 0 to 65535, not {text!r}")
    return int(text)


def _region(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("a region is a name like 'cn-hangzhou', not empty")
    return text


def _scale(text: str) -> float:
    scale = float(text)
    if not 0 <= scale < math.inf:
        raise argparse.ArgumentTypeError(f"a scale is a number from 0 on, not {text!r}")
    return scale


def _epilog() -> str:
    quirks = {**describe(Quirks), **describe(SessionQuirks), **describe(Delays)}
    lines = ["quirks:", *(f"  {name}: {doc}" for name, doc in quirks.items())]
    lines += [
        "",
        "faults, written ACTION:KIND[=VALUE][,p=PROBABILITY][,nth=N][,times=N], where ACTION may be *:",
        *(f"  {name}: {doc}" for name, doc in KINDS.items()),
    ]
    return "\n".join(lines)
