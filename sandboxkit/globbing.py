"""Patterns for ``files.glob``: what the sandbox is asked to look at, and what of it matches. Pure.

The sandbox's shell walks, the client matches: so a pattern means the same on every image. ``*``, ``?``, ``[…]`` and
``[!…]`` match within one name, hidden names too; ``**`` as a whole component matches directories to any depth, none
included, and at the end everything below. Neither it nor what follows it goes through symlinks. ``[*]`` is a literal
``*``. A slash at the end restricts to directories.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable

import attrs

from sandboxkit.paths import display

_MAGIC = re.compile(rb"[*?\[]")
_TOKEN = re.compile(r"\*+|\?|\[!?\]?[^\]]*\]|.", re.DOTALL)
_DEEP = b"**"


@attrs.frozen
class Pattern:
    """A pattern taken apart: ``prefix`` is ``/`` or empty."""

    prefix: bytes
    components: tuple[bytes, ...]
    directories_only: bool

    @classmethod
    def parse(cls, pattern: bytes) -> Pattern:
        """Take a pattern apart; empty components fall away."""
        components = [part for part in pattern.split(b"/") if part]
        # "**" twice in a row says nothing more.
        kept = [c for i, c in enumerate(components) if c != _DEEP or i == 0 or components[i - 1] != _DEEP]
        return cls(
            b"/" if pattern.startswith(b"/") else b"", tuple(kept), pattern.endswith(b"/") and bool(components)
        )

    def walk(self) -> list[bytes]:
        """Give the arguments of the program ``GLOB``: what it prints holds at least all that matches."""
        words = [
            component if component == _DEEP else b"*" if _MAGIC.search(component) else b"=" + component
            for component in self.components
        ]
        deep = _DEEP in words
        only = b"1" if deep and self.directories_only else b""
        return [only, self.prefix, *words, *([b"=."] if self.directories_only and not deep else [])]

    def select(self, found: Iterable[bytes]) -> list[bytes]:
        """Give, sorted and without repetition, those of the paths that match."""
        matches = re.compile(self.expression()).fullmatch
        chosen = set()
        for path in found:
            if self.directories_only:
                path = path.removesuffix(b"/.")
            if self.components[0] != b".":
                path = path.removeprefix(b"./")
            if matches(display(path)):
                chosen.add(path)
        return sorted(chosen)

    def expression(self) -> str:
        """Give the regular expression of the whole path."""
        parts = [display(self.prefix)]
        last = len(self.components) - 1
        for i, component in enumerate(self.components):
            if component == _DEEP:
                parts.append("[^/]+(?:/[^/]+)*" if i == last else "(?:[^/]+/)*")
            else:
                parts.append(_translate(display(component)) + ("" if i == last else "/"))
        return "".join(parts)


def _translate(component: str) -> str:
    """Translate one component; no name holds a slash, and none is empty."""
    out = ["(?=[^/])"]
    for token in _TOKEN.findall(component):
        if token[0] == "*":
            out.append("[^/]*")
        elif token == "?":
            out.append("[^/]")
        elif token[0] == "[" and len(token) > 1:
            # fnmatch knows the odd cases of a class: it gives "(?s:[…])" and the end.
            out.append("(?!/)" + fnmatch.translate(token).rpartition(")")[0] + ")")
        else:
            out.append(re.escape(token))
    return "".join(out)
