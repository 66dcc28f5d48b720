"""The names of sessions and of keys, checked before anything is sent."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence

from sandboxkit.errors import InvalidRequest

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,63}\Z")

_KEY = re.compile(
    r"(?:[CMS]-)*(?:[!-~]|F(?:[1-9]|1[0-2])|Up|Down|Left|Right|Home|End|PageUp|PgUp|PPage|PageDown|PgDn|NPage"
    r"|Insert|IC|Delete|DC|Enter|Escape|Tab|BTab|Space|BSpace)\Z"
)


def session_name(name: str | None) -> str:
    """Check a session's name, or make one up."""
    if name is None:
        return f"job-{secrets.token_hex(6)}"
    if not isinstance(name, str) or not _NAME.match(name):
        raise InvalidRequest(
            f"a session's name is 1 to 64 letters, digits, '_' and '-', and does not begin with '-'; not {name!r}"
        )
    return name


def key_names(keys: str | Sequence[str]) -> tuple[bytes, ...]:
    """Check named keys: one, or a sequence."""
    names = (keys,) if isinstance(keys, str) or not isinstance(keys, Sequence) else tuple(keys)
    for name in names:
        if not isinstance(name, str) or not _KEY.match(name):
            raise InvalidRequest(
                f"no key is called {name!r}; keys are Enter, Escape, Tab, Up, PageUp, F1 …, a single character, and "
                "C-, M- or S- before one of them (C-c); text goes in the first argument"
            )
    # tmux takes a semicolon at the end of an argument for its own.
    return tuple((name[:-1] + "\\;" if name.endswith(";") else name).encode() for name in names)
