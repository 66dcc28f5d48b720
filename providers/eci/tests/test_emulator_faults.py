"""Faults, limits and quirks: how they are written and what they do."""

from __future__ import annotations

import random
import re
import time
from concurrent.futures import ThreadPoolExecutor

import attrs
import pytest
from sandboxkit_eci.emulator.backends.nothing import NoBackend
from sandboxkit_eci.emulator.errors import ApiError
from sandboxkit_eci.emulator.faults import KINDS, Faults, parse
from sandboxkit_eci.emulator.limits import Limits
from sandboxkit_eci.emulator.quirks import Quirks, describe
from sandboxkit_eci.emulator.quirks import parse as parse_quirks
from sandboxkit_eci.emulator.session import SessionQuirks
from sandboxkit_eci.emulator.testing import Emulator, emulator
from Tea.exceptions import TeaException

from .asking import PATIENCE, code, create, delete, groups, no_proxy, running, sdk, until
from .loopclock import LoopClock

__all__ = ["no_proxy"]

pytestmark = pytest.mark.usefixtures("no_proxy")


@pytest.mark.parametrize(
    ("fault", "refusal"),
    [
        ("*:throttle", "Throttling.User"),
        ("*:error=500", "InternalError"),
        ("*:error=503", "ServiceUnavailable"),
        ("*:error=Account.Arrearage", "Account.Arrearage"),
        ("CreateContainerGroup:no-stock", "OperationDenied.NoStock"),
        ("CreateContainerGroup:quota", "QuotaExceeded"),
    ],
)
def test_a_call_can_be_refused(eci: Emulator, fault: str, refusal: str) -> None:
    eci.inject(f"{fault},times=1")
    client = sdk(eci)
    assert code(lambda: create(client)) == refusal
    assert groups(client) == []
    create(client)


@pytest.mark.parametrize(("kind", "there"), [("lost", 1), ("dropped", 0), ("html", 0)])
def test_an_answer_can_get_lost_after_or_before_the_effect(eci: Emulator, kind: str, there: int) -> None:
    client = sdk(eci)
    eci.inject(f"CreateContainerGroup:{kind}")
    with pytest.raises(TeaException) as caught:
        create(client)
    assert caught.value.code is None
    assert there == len(groups(client))


@pytest.mark.parametrize(
    ("value", "told"), [("500", "InternalError"), ("503", "ServiceUnavailable"), ("Degrade.Api", "Degrade.Api")]
)
def test_a_call_that_took_effect_can_be_answered_with_an_error(eci: Emulator, value: str, told: str) -> None:
    client = sdk(eci)
    eci.inject(f"*:error-reply={value},times=1")
    assert code(lambda: create(client)) == told
    assert len(groups(client)) == 1
    assert eci.counts.failed["CreateContainerGroup"] == 1


def test_a_call_that_took_effect_can_be_answered_late(eci: Emulator) -> None:
    client, clock = sdk(eci, read_timeout=round(PATIENCE * 1000)), LoopClock(eci._loop)
    eci.inject("CreateContainerGroup:slow-reply=30")
    with ThreadPoolExecutor(1) as pool:
        made = pool.submit(create, client)
        (there,) = until(lambda: groups(client))
        assert not made.done()
        clock.forward(31.0)
        assert made.result() == there.container_group_id


@pytest.mark.parametrize("after", [0, 1500])
def test_throttling_says_when_to_come_back_if_it_is_told_to(after: int) -> None:
    with emulator(
        NoBackend(), quirks={"retry-after-ms": after, "throttle-status": 429}, faults=["*:throttle"]
    ) as eci:
        with pytest.raises(TeaException) as caught:
            create(sdk(eci))
        assert (429, after or None) == (caught.value.statusCode, getattr(caught.value, "retry_after", None))


def test_a_slow_call_takes_its_time(eci: Emulator) -> None:
    eci.inject("DescribeContainerGroups:slow=0.2")
    before = time.monotonic()
    groups(sdk(eci))
    assert time.monotonic() - before >= 0.2


def test_a_stale_list_lacks_the_new_and_has_the_gone(eci: Emulator) -> None:
    client = sdk(eci)
    made = create(client)
    running(client, made)
    eci.inject("DescribeContainerGroups:stale=3600")
    assert groups(client) == []
    eci.clear_faults()
    delete(client, made)
    until(lambda: not groups(client))
    eci.inject("DescribeContainerGroups:stale=0")
    assert groups(client) == []


@pytest.mark.parametrize(
    "text",
    [
        "throttle",
        "*:unknown",
        "*:throttle,q=1",
        "*:throttle,p=x",
        "*:throttle,nth=x",
        "*:slow=soon",
        "*:throttle,times",
        "*:throttle=soon",
        "*:slow=inf",
        "*:session=nonsense=1",
        "*:session=drop_after=x",
        "*:throttle,p=2",
        "*:throttle,p=-0.1",
        "*:throttle,p=nan",
        "*:throttle,nth=0",
        "*:throttle,nth=-1",
        "*:throttle,times=0",
        "*:throttle=-1",
        "*:slow=-1",
        "CopyDataCache:lost",
        ":lost",
    ],
)
def test_a_rule_that_cannot_be_read_is_an_error_that_shows_it(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"fault {text!r}: ")):
        parse(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ExecContainerComand:lost", "no action 'ExecContainerComand'; close to it: ExecContainerCommand"),
        ("taGResource:lost", "no action 'taGResource'; close to it: TagResources, "),
        ("Foo:lost", "no action 'Foo'; there are *, CreateContainerGroup, "),
        ("*:lost,p=2", "p is a number from 0 to 1, not '2'"),
        ("*:lost,nth=0", "nth is a whole number from 1 on, not '0'"),
        ("*:lost,times=x", "times is a whole number from 1 on, not 'x'"),
        ("*:throttle=soon", "the value is a whole number from 0 on, not 'soon'"),
        ("*:slow=-1", "the value is a number from 0 on, not '-1'"),
    ],
)
def test_what_is_wrong_with_a_rule_is_said(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        parse(text)


def test_rules_strike_by_turn_number_or_chance() -> None:
    def struck(rule: str, calls: int = 6, seed: int = 0) -> list[int]:
        faults = Faults([rule], seed=seed)
        return [call for call in range(1, calls + 1) if faults.draw("TagResources")]

    assert struck("TagResources:throttle") == [1, 2, 3, 4, 5, 6]
    assert struck("TagResources:throttle,nth=3") == [3]
    assert struck("*:throttle,nth=3,times=2") == [3, 4]
    assert struck("TagResources:throttle,times=2") == [1, 2]
    assert struck("UntagResources:throttle") == []
    assert struck("TagResources:throttle,p=0.5", 100) == struck("TagResources:throttle,p=0.5", 100)
    assert struck("TagResources:throttle,p=0.5", 100) != struck("TagResources:throttle,p=0.5", 100, seed=1)
    assert 20 < len(struck("TagResources:throttle,p=0.5", 100)) < 80


def test_a_fault_of_a_create_strikes_nothing_else() -> None:
    assert not parse("*:no-stock").strikes("DeleteContainerGroup", random.Random(0))


def test_every_kind_of_fault_can_be_written() -> None:
    values = {"session": "=drop-after=3"}
    assert set(KINDS) == {parse(f"*:{kind}{values.get(kind, '')}").kind for kind in KINDS}


def count(limits: Limits, calls: int, now: float) -> int:
    """Give how many of so many calls pass."""
    passed = 0
    for _ in range(calls):
        try:
            limits.count("account", "region", "ExecContainerCommand", now=now)
        except ApiError as exc:
            assert exc.code == "Throttling.User"  # noqa: PT017 - most calls pass
        else:
            passed += 1
    return passed


def test_each_api_has_its_limit_in_any_sixty_seconds() -> None:
    limits = Limits(Quirks())
    assert count(limits, 300, 30.0) == 300
    assert count(limits, 300, 61.0) == 200
    assert count(limits, 1, 89.0) == 0
    assert count(limits, 400, 90.1) == 300
    limits.count("another", "region", "ExecContainerCommand", now=90.1)
    limits.count("account", "region", "DescribeContainerGroups", now=90.1)


def test_a_minute_may_also_be_the_clocks() -> None:
    limits = Limits(Quirks(limit_window="fixed"))
    assert count(limits, 600, 59.0) == 500
    assert count(limits, 600, 60.0) == 500


def test_limits_can_be_taken_away() -> None:
    assert count(Limits(Quirks(limits="none")), 2000, 0.0) == 2000


def test_quirks_are_read_as_what_they_are() -> None:
    items = ["command-limit=1000", "uri_single_use=off", "deadline-status=Expired", "uri-seconds=1.5", "other=1"]
    quirks, others = parse_quirks(items, Quirks)
    assert Quirks(command_limit=1000, uri_single_use=False, deadline_status="Expired", uri_seconds=1.5) == quirks
    assert others == ["other=1"]


@pytest.mark.parametrize(
    "text", ["command-limit=x", "uri-single-use=maybe", "deadline-status=Dead", "uri-seconds=nan"]
)
def test_a_quirks_wrong_value_is_an_error_that_names_it(text: str) -> None:
    with pytest.raises(ValueError, match=text.partition("=")[0]):
        parse_quirks([text], Quirks)


def test_a_sessions_quirks_are_read_too() -> None:
    quirks, _ = parse_quirks(["split=random", "drop-after=3", "idle-close=off", "close-code=1006"], SessionQuirks)
    assert (quirks.split, quirks.drop_after, quirks.idle_close, quirks.close_code) == ("random", 3, None, 1006)


@pytest.mark.parametrize("registry", [Quirks, SessionQuirks])
def test_every_quirk_says_what_it_is_about(registry: type) -> None:
    assert {field.name.replace("_", "-") for field in attrs.fields(registry)} == set(describe(registry))
    assert all(field.metadata["doc"] for field in attrs.fields(registry))


def test_an_unknown_quirk_is_an_error() -> None:
    with pytest.raises(ValueError, match="unknown quirk: nonsense"), emulator(NoBackend(), quirks=["nonsense=1"]):
        pass
