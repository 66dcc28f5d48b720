"""What is written down with a sandbox is what older clients wrote."""

from __future__ import annotations

import pytest

from sandboxkit import bookkeeping as books
from sandboxkit.errors import InvalidSpec
from sandboxkit.model import CreateRequest, SandboxSpec


def test_names_and_values_are_those_of_sandboxes_that_live() -> None:
    request = CreateRequest(
        spec=SandboxSpec(), owner="me@here", key="the key", key_given=True, fingerprint="f", expires_at=1000.5
    )
    assert books.entries(request, "once") == {
        "sandboxkit.version": "1",
        "sandboxkit.owner": "me@here",
        "sandboxkit.key": "7948a3567e87f0b86f802b8b0b788793",
        "sandboxkit.fingerprint": "f",
        "sandboxkit.attempt": "once",
    }
    assert books.EXPIRES_AT == "sandboxkit.expires_at"


def test_a_label_that_would_be_taken_for_ours_is_refused() -> None:
    books.refuse_own(["sandboxkit", "a.sandboxkit.", ""])
    with pytest.raises(InvalidSpec, match=r"sandboxkit\.x"):
        books.refuse_own(["fine", "sandboxkit.x"])
