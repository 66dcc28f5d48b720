"""``docs/contract.md``, the suite, the planted bugs and the providers' declarations say the same."""

from __future__ import annotations

import os
import re
from collections import Counter
from pathlib import Path

import pytest

import sandboxkit
from sandboxkit import capabilities, plugins
from sandboxkit.testing.promises import NOT_YET, NOT_YET_CAPABILITIES
from sandboxkit.testing.suite.contract import ContractSuite
from sandboxkit.testing.suite.contract import tests as contract_tests
from tests.mutations.planting import load

TEXT = (Path(__file__).resolve().parent.parent / "docs" / "contract.md").read_text()
NONE = "\N{EN DASH}"
IDS = re.findall(r"^- \*\*([LXFTE]\d+)\*\* ", TEXT, re.MULTILINE)


def table() -> dict[str, dict[str, str]]:
    """Give the capability table: by name, each provider's cell."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in TEXT.splitlines() if line.startswith("|")
    ]
    header = next(row for row in rows if row[0] == "capability")
    names = {row[0].strip("`"): row for row in rows if row[0].startswith("`")}
    return {name: dict(zip(header[1:], row[1:], strict=True)) for name, row in names.items()}


def held() -> set[str]:
    return {promise for ids in contract_tests().values() for promise in ids}


def test_every_id_stands_once() -> None:
    assert len(IDS) > 30
    assert len(set(IDS)) == len(IDS)


def test_every_id_has_a_test_or_is_not_yet_built() -> None:
    assert set(IDS) == held() | set(NOT_YET)
    assert held() & set(NOT_YET) == set(), "what is built must leave the list"


def test_every_built_id_has_a_planted_bug_that_its_own_tests_see() -> None:
    mutations = load().values()
    tests = contract_tests()
    seen_by_the_contract = set()
    for mutation in mutations:
        assert mutation.tests, f"{mutation.name} names no test"
        for test in mutation.tests:
            file, _, name = test.rpartition("::")
            if file:  # what no test of the contract can make happen
                text = (Path(__file__).parents[1] / file).read_text()
                assert f"def {name.partition('[')[0]}(" in text, f"{mutation.name}: there is no {test}"
            else:
                assert mutation.promise in tests[test], f"{mutation.name}: {test} does not hold {mutation.promise}"
                seen_by_the_contract.add(mutation.promise)
    assert seen_by_the_contract == held()


def test_the_table_names_every_capability() -> None:
    assert set(table()) == set(capabilities.NAMES)
    assert set(NOT_YET_CAPABILITIES) <= set(capabilities.NAMES)
    assert all(table()[name]["local"] == "M" for name in capabilities.MANDATORY)


ACCOUNT = {"region_id": "cn-hangzhou", "access_key_id": "none", "access_key_secret": "none"}
"""Nothing is asked of the service before it is needed, so any account will do."""


@pytest.mark.parametrize(("provider", "options"), [("local", {}), ("docker", {}), ("eci", ACCOUNT)])
def test_a_declaration_agrees_with_the_table(provider: str, options: dict[str, str]) -> None:
    answer = plugins.probe(provider)
    needed = provider in os.environ.get("SANDBOXKIT_REQUIRE", "").split(",") or bool(options)
    if not answer.works and not needed:
        pytest.skip(f"provider {provider!r} does not work here: {answer.reason}")
    with sandboxkit.connect(provider, **options) as client:
        declared = {name: capability.value for name, capability in client.capabilities.items()}
    wrong = {}
    for name, cells in table().items():
        cell, value = cells[provider], declared.get(name, False)
        letter, _, word = cell.partition(" ")
        if name in NOT_YET_CAPABILITIES:
            agrees = value is False
        elif letter in ("M", "R"):
            agrees = value == word if word else bool(value)
        else:
            agrees = letter == "o" or (letter == NONE and value is False)
        if not agrees:
            wrong[name] = (cell, value)
    assert wrong == {}


def test_no_contract_test_hides_another_of_its_name() -> None:
    names = [name for part in ContractSuite.__mro__ for name in vars(part) if name.startswith("test_")]
    assert [name for name, count in Counter(names).items() if count > 1] == []
