"""Texts that can be sent; pure."""

from __future__ import annotations


def is_utf8(text: str) -> bool:
    """Whether it can be encoded: what ``os.fsdecode`` makes of other bytes (lone surrogates) cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
