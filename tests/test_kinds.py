"""Options hold what they should, and what they do not is refused by the field's name and shows no value."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from sandboxkit.errors import InvalidSpec
from sandboxkit.kinds import check_kinds, mapping, words


@attrs.frozen(kw_only=True)
class Options:
    name: str | None = None
    quiet: bool = False
    caps: tuple[str, ...] = attrs.field(default=(), converter=words)
    hosts: dict[str, str] = attrs.field(factory=dict, converter=mapping)


def check(**given: Any) -> Options:
    made = Options(**given)
    check_kinds(made, texts=("name",), flags=("quiet",), lists={"caps": str}, mappings={"hosts": str})
    return made


def test_values_are_taken_in_the_forms_that_people_give() -> None:
    assert check() == Options(name=None, quiet=False, caps=(), hosts={})
    assert check(caps="ALL").caps == ("ALL",)
    assert check(caps=iter(["A", "B"])).caps == ("A", "B")
    assert check(caps=None, hosts=None) == Options()
    assert check(hosts={"a": "1"}, name="x", quiet=True) == Options(hosts={"a": "1"}, name="x", quiet=True)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"name": 5}, "name is text, not int"),
        ({"name": "a\0b"}, "name is text"),
        ({"quiet": "yes"}, "quiet is True or False, not str"),
        ({"caps": 5}, "caps is a list of str, not int"),
        ({"caps": b"ALL"}, "caps is a list of str, not bytes"),
        ({"caps": {"ALL": True}}, "caps is a list of str, not dict"),
        ({"caps": ["ALL", 5]}, "caps is a list of str, not tuple of int, str"),
        ({"hosts": "s3cret"}, "hosts is a mapping of texts to str, not str"),
        ({"hosts": {"s3cret": 5}}, "hosts is a mapping of texts to str, not dict of int, str"),
        ({"hosts": {5: "s3cret"}}, "hosts is a mapping"),
    ],
)
def test_what_is_of_another_kind_is_refused_by_name(given: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidSpec, match=says) as caught:
        check(**given)
    assert "s3cret" not in str(caught.value)
