"""Flattened parameters are read as documented."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sandboxkit_eci.emulator import parameters
from sandboxkit_eci.emulator.errors import ApiError
from sandboxkit_eci.emulator.schemas import SCHEMAS
from sandboxkit_eci.emulator.sizes import rounded

CREATE = {"RegionId": "cn-hangzhou", "ContainerGroupName": "g", "Container.1.Name": "c", "Container.1.Image": "i"}


def read(action: str = "CreateContainerGroup", **given: str) -> dict[str, Any]:
    return parameters.read(action, {**CREATE, **given}.items())


def refusal(action: str, pairs: dict[str, str]) -> str:
    with pytest.raises(ApiError) as caught:
        parameters.read(action, pairs.items())
    return caught.value.code


def test_flattened_names_become_lists_and_structures() -> None:
    got = read(
        **{
            "Container.1.EnvironmentVar.2.Key": "B",
            "Container.1.EnvironmentVar.1.Key": "A",
            "Container.1.EnvironmentVar.1.Value": "",
            "Container.1.SecurityContext.Capability.Add.1": "NET_ADMIN",
            "Container.1.Cpu": "2",
            "Container.1.Tty": "False",
            "Container.10.Name": "d",
            "Cpu": "2.5",
            "ActiveDeadlineSeconds": "60",
            "Nonsense.1": "x",
        }
    )
    first = got["Container"][0]
    assert first["EnvironmentVar"] == [{"Key": "A", "Value": ""}, {"Key": "B"}]
    assert first["SecurityContext"] == {"Capability": {"Add": ["NET_ADMIN"]}}
    assert (first["Cpu"], first["Tty"]) == (2.0, False)
    assert [each["Name"] for each in got["Container"]] == ["c", "d"]
    assert (got["Cpu"], got["ActiveDeadlineSeconds"], "Nonsense" in got) == (2.5, 60, False)


@pytest.mark.parametrize(
    ("action", "without", "code"),
    [
        ("CreateContainerGroup", "RegionId", "MissingRegionId"),
        ("CreateContainerGroup", "ContainerGroupName", "MissingContainerGroupName"),
        ("CreateContainerGroup", "Container.1.Name", "MissingContainer.1.Name"),
        ("DeleteContainerGroup", "", "MissingContainerGroupId"),
    ],
)
def test_a_missing_parameter_is_named(action: str, without: str, code: str) -> None:
    pairs = {**CREATE, "Container.1.Cpu": "1"}
    pairs.pop(without, None)
    assert refusal(action, pairs) == code


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Cpu", "two"),
        ("Cpu", "nan"),
        ("Cpu", "1e400"),
        ("ActiveDeadlineSeconds", "1.5"),
        ("ActiveDeadlineSeconds", "9" * 30),
        ("AutoCreateEip", "yes"),
        ("RestartPolicy", "always"),
        ("Volume.1.Type", "Floppy"),
    ],
)
def test_a_value_of_another_type_is_refused(name: str, value: str) -> None:
    assert refusal("CreateContainerGroup", {**CREATE, name: value}) == "InvalidParameter"


NAMES = st.sampled_from(
    [
        "Container",
        "Container.1",
        "Container.1.Name",
        "Container.1.Command.x",
        "Tag.1.Key",
        "Tag.0.Key",
        "Cpu",
        "Cpu.1",
        "..",
        "Tag",
    ]
)


@given(
    st.sampled_from(sorted(SCHEMAS)),
    st.lists(st.tuples(st.one_of(NAMES, st.text()), st.text()), max_size=8),
)
def test_anything_else_is_read_or_refused(action: str, pairs: list[tuple[str, str]]) -> None:
    with suppress(ApiError):
        parameters.read(action, pairs)


@pytest.mark.parametrize(
    ("cpu", "memory", "size"),
    [
        (None, None, (2, 4)),
        (1, 2, (1, 2)),
        (3, 3, (4, 4)),
        (7, 13, (8, 16)),
        (1, 16, (2, 16)),
        (0.1, None, (0.25, 0.5)),
        (None, 3, (1, 4)),
        (33, 1, (52, 96)),
    ],
)
def test_sizes_are_rounded_up(cpu: float | None, memory: float | None, size: tuple[float, float]) -> None:
    assert rounded(cpu, memory) == size


def test_the_documents_own_example_of_rounding() -> None:
    assert rounded(7, 13, even=True) == (8, 14)


def test_a_size_beyond_the_largest_is_refused() -> None:
    with pytest.raises(ApiError, match=r"InvalidParameter\.CPU\.Memory"):
        rounded(64, 1024)
