"""A client checks before it sends, pages lazily, and collects only what is its own."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from pathlib import PurePosixPath
from typing import Any

import pytest

from sandboxkit.capabilities import NAMES
from sandboxkit.client import AsyncClient, fingerprint
from sandboxkit.errors import (
    InvalidCommand,
    InvalidRequest,
    InvalidSpec,
    ProviderUnavailable,
    SandboxNotFound,
    Unsupported,
)
from sandboxkit.model import Capability, CreateRequest, Page, SandboxInfo, SandboxSpec, Status
from sandboxkit.provider import ByteChannel, ProviderBase
from sandboxkit.sync import Client
from sandboxkit.worlds import BlockingWorld


class Scripted(ProviderBase):
    """A provider of nothing but records, which counts what it is asked."""

    name = "scripted"

    def __init__(self, *items: SandboxInfo, without: Collection[str] = (), page: int = 2) -> None:
        super().__init__(BlockingWorld())
        self.items = {info.id: info for info in items}
        self.without = without
        self.page = page
        self.calls: list[str] = []
        self.requests: list[CreateRequest] = []
        self.failures: list[Exception] = []

    @property
    def capabilities(self) -> Mapping[str, Capability]:
        return {n: Capability(False, "left out") if n in self.without else Capability(True) for n in NAMES}

    async def create(self, request: CreateRequest, *, until: float | None) -> SandboxInfo:
        self.calls.append("create")
        self.requests.append(request)
        if self.failures:
            raise self.failures.pop(0)
        return SandboxInfo(id="new", provider=self.name, status=Status.RUNNING)

    async def get(self, sandbox_id: str, *, until: float | None) -> SandboxInfo:
        self.calls.append("get")
        if sandbox_id not in self.items:
            raise SandboxNotFound(f"no sandbox {sandbox_id!r}")
        return self.items[sandbox_id]

    async def list(
        self,
        *,
        labels: Mapping[str, str],
        statuses: Collection[Status],
        cursor: str | None,
        until: float | None,
    ) -> Page:
        self.calls.append("list")
        start = int(cursor or 0)
        items = list(self.items.values())
        end = start + self.page
        return Page(items=tuple(items[start:end]), cursor=str(end) if end < len(items) else None)

    async def delete(self, sandbox_id: str, *, until: float | None) -> bool:
        self.calls.append("delete")
        # A backend whose list is stale: the record stays.
        return sandbox_id in self.items

    async def open_channel(
        self, sandbox_id: str, argv: tuple[str, ...], *, user: str | None, urgent: bool, until: float | None
    ) -> ByteChannel:
        raise AssertionError("no test here runs a command")


def info(name: str, **changes: Any) -> SandboxInfo:
    given: dict[str, Any] = {"status": Status.RUNNING, "owner": "me", "expires_at": time.time() + 1000}
    return SandboxInfo(id=name, provider="scripted", **(given | changes))


def client(provider: Scripted) -> Client:
    return Client(AsyncClient(provider, "me"))


@pytest.mark.parametrize(
    "given",
    [
        {"ttl": 0},
        {"ttl": -5},
        {"ttl": float("inf")},
        {"ttl": "1h"},
        {"cpu": 0},
        {"memory_gib": -1},
        {"env": {"A-B": "x"}},
        {"ports": [0]},
        {"ports": [70000]},
        {"labels": {"sandboxkit.owner": "you"}},
        {"labels": {"": "x"}},
        {"labels": {"x": 3}},
        {"labels": "x"},
        {"env": 5},
        {"env": "A=b"},
        {"command": "sleep 600"},
        {"command": b"sleep"},
        {"command": 5},
        {"command": []},
        {"command": [""]},
        {"command": ["sleep", 600]},
        {"ports": 80},
        {"ports": "80"},
        {"image": 5},
        {"image": ""},
        {"cwd": b"/"},
        {"user": 1000},
        {"user": "a\0b"},
        {"network": "off"},
        {"network": 0},
        {"network": 1},
        {"env": {"A": b"x"}},
        {"env": {"A": PurePosixPath("/x")}},
        {"cpu": 10**400},
        {"memory_gib": 10**400},
        {"idempotency_key": ""},
        {"idempotency_key": "a b"},
        {"idempotency_key": "x" * 129},
    ],
)
def test_a_wrong_specification_is_refused_before_anything_is_sent(given: dict[str, Any]) -> None:
    provider = Scripted()
    with pytest.raises(InvalidSpec):
        client(provider).create(**given)
    assert provider.calls == []


def test_an_image_that_is_given_without_its_name_is_refused_with_the_right_form() -> None:
    provider = Scripted()
    wrong: Any = "python:3.12"
    with pytest.raises(InvalidSpec, match=r"create\(image='\.\.\.'\)"):
        client(provider).create(wrong)
    assert provider.calls == []


def test_a_variable_that_is_no_text_is_named_and_not_shown() -> None:
    with pytest.raises(InvalidSpec, match="environment variable A must be str, not bytes") as caught:
        client(Scripted()).create(env={"A": b"s3cret"})  # type: ignore[dict-item]
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "capability"),
    [
        ({"image": "x"}, "image"),
        ({"command": ["x"]}, "command"),
        ({"cpu": 1}, "cpu"),
        ({"memory_gib": 1}, "memory"),
        ({"user": "x"}, "user"),
        ({"ports": [80]}, "ports"),
        ({"network": True}, "network_on"),
        ({"network": False}, "network_off"),
    ],
)
def test_what_is_not_declared_is_refused_by_name_before_anything_is_sent(
    given: dict[str, Any], capability: str
) -> None:
    provider = Scripted(without=[capability])
    with pytest.raises(Unsupported, match="left out") as caught:
        client(provider).create(**given)
    assert caught.value.capability == capability
    assert provider.calls == []
    assert client(Scripted()).create(**given).id == "new"


def test_a_client_shows_what_it_is() -> None:
    assert repr(client(Scripted())) == "Client(provider='scripted', owner='me')"


def test_keywords_overrule_the_specification() -> None:
    provider = Scripted()
    client(provider).create(SandboxSpec(cpu=1, ttl=5, labels={"a": "b"}), cpu=2)
    spec = provider.requests[0].spec
    assert (spec.cpu, spec.ttl, dict(spec.labels)) == (2, 5, {"a": "b"})


def test_a_retried_create_keeps_its_key() -> None:
    provider = Scripted()
    provider.failures = [ProviderUnavailable("the reply was lost")]
    client(provider).create()
    first, second = provider.requests
    assert first.key == second.key
    assert not first.key_given


def test_the_same_specification_has_the_same_fingerprint_and_another_one_another() -> None:
    one = SandboxSpec(env={"A": "1", "B": "2"}, cpu=1)
    assert fingerprint(one) == fingerprint(SandboxSpec(env={"B": "2", "A": "1"}, cpu=1))
    assert fingerprint(one) != fingerprint(SandboxSpec(env={"A": "1", "B": "3"}, cpu=1))
    assert fingerprint(one) != fingerprint(SandboxSpec(env={"A": "1", "B": "2"}, cpu=2))


def test_a_status_that_there_is_not_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="creating, running"):
        client(Scripted()).list(status="bogus")


@pytest.mark.parametrize(
    "given", [{"status": 5}, {"status": [None]}, {"status": ["on"]}, {"labels": "x"}, {"labels": {"x": 3}}]
)
def test_what_is_no_filter_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        client(Scripted()).list(**given)


def test_a_listing_asks_for_pages_as_they_are_needed() -> None:
    provider = Scripted(*[info(f"s{n}") for n in range(5)])
    listing = client(provider).list()
    assert provider.calls == []
    assert next(listing).id == "s0"
    assert next(listing).id == "s1"
    assert provider.calls == ["list"]
    assert [one.id for one in listing] == ["s2", "s3", "s4"]
    assert provider.calls == ["list"] * 3


def test_what_this_client_deleted_is_not_listed_by_it_even_where_the_backend_is_behind() -> None:
    provider = Scripted(info("a"), info("b"))
    mine = client(provider)
    assert mine.delete("a") is True
    assert [one.id for one in mine.list()] == ["b"]
    assert [one.id for one in client(provider).list()] == ["a", "b"]


def test_a_client_remembers_only_so_many_that_it_deleted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sandboxkit.client.REMEMBERED", 3)
    names = ["a", "b", "c", "d", "e"]
    mine = client(Scripted(*map(info, names)))
    for name in names:
        mine.delete(name)
    assert [one.id for one in mine.list()] == ["a", "b"]


def test_gc_takes_what_is_expired_failed_or_half_made_and_only_its_owners() -> None:
    past = time.time() - 500
    provider = Scripted(
        info("fresh"),
        info("expired", expires_at=past),
        info("stopped and expired", status=Status.STOPPED, expires_at=past),
        info("stopped", status=Status.STOPPED),
        info("failed", status=Status.FAILED),
        info("just begun", status=Status.CREATING, created_at=time.time()),
        info("half made", status=Status.CREATING, created_at=past),
        info("another's", owner="you", expires_at=past),
    )
    expected = ["expired", "stopped and expired", "failed", "half made"]
    assert [one.id for one in client(provider).gc(dry_run=True)] == expected
    assert "delete" not in provider.calls
    assert [one.id for one in client(provider).gc()] == expected
    assert provider.calls.count("delete") == 4


@pytest.mark.parametrize("env", ["A=B", 5, [("A", "B")]])
def test_an_environment_that_is_no_mapping_is_refused_on_a_terminal_too(env: Any) -> None:
    box = client(Scripted(info("a"))).get("a")
    for terminal in (None, (3, 4)):
        with pytest.raises(InvalidCommand, match="env is a mapping"):
            box.spawn("true", env=env, terminal=terminal)


@pytest.mark.parametrize("odd", ["", "a\0b", None, 7])
def test_an_impossible_id_is_not_found(odd: Any) -> None:
    with pytest.raises(SandboxNotFound):
        client(Scripted()).get(odd)


@pytest.mark.parametrize("odd", [None, 7, b"x"])
def test_what_is_no_id_is_not_taken_for_a_sandbox_that_is_gone(odd: Any) -> None:
    provider = Scripted()
    with pytest.raises(SandboxNotFound, match="an id is text"):
        client(provider).delete(odd)
    assert provider.calls == []


@pytest.mark.parametrize("odd", ["", "a\0b"])
def test_there_is_nothing_to_delete_under_an_impossible_id(odd: str) -> None:
    provider = Scripted()
    assert client(provider).delete(odd) is False
    assert provider.calls == []
