"""Whatever comes in, something of the API goes out: no traceback, no hang."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sandboxkit_eci.emulator import service as service_module
from sandboxkit_eci.emulator.app import Server
from sandboxkit_eci.emulator.assembly import make_service
from sandboxkit_eci.emulator.backends.nothing import NoBackend
from sandboxkit_eci.emulator.errors import ConnectionLost
from sandboxkit_eci.emulator.schemas import SCHEMAS
from sandboxkit_eci.emulator.service import Service
from sandboxkit_eci.emulator.signature import Claim, Key, Request

LIMIT = 30.0
"""Seconds after which something is taken to hang."""

KEY = Key(id="k", secret="s")

NAMES = st.sampled_from(
    [
        "Action",
        "Version",
        "RegionId",
        "ContainerGroupId",
        "ContainerName",
        "Command",
        "Container.1.Name",
        "Container.1.Image",
        "Container.1.Cpu",
        "Container.1.Command.1",
        "Container.1.EnvironmentVar.1.Key",
        "Container.1.VolumeMount.1.Name",
        "Volume.1.Name",
        "Volume.1.Type",
        "Volume.1.ConfigFileVolume.ConfigFileToPath.1.Content",
        "ContainerGroupName",
        "ContainerGroupIds",
        "Limit",
        "NextToken",
        "Tag.1.Key",
        "Tag.1.Value",
        "ResourceId.1",
        "ResourceType",
        "TagKey.1",
        "Image.1",
        "ImageCacheName",
        "ImageCacheId",
        "Image.Repository",
        "Cpu",
        "Memory",
        "Force",
        "ClientToken",
        "SpotStrategy",
        "Sync",
        "TTY",
        "Tail",
        "LimitBytes",
        "TaskId.1",
        "MaxResults",
        "UpdateType",
        "DryRun",
        "DestinationResource.Category",
        "ActiveDeadlineSeconds",
        "MaxPendingMinute",
        "HostAliase.1.Ip",
        "DnsConfig.NameServer.1",
        "EipInstanceId",
        "Status",
    ]
)
VALUES = st.one_of(
    st.sampled_from(
        ["", "1", "0", "-1", "True", "1e999", "9" * 40, "c", "i", "group", "eci-1", "[]", '["a"]', "[" * 5000, "\0"],
    ),
    st.text(),
)
PAIRS = st.lists(st.tuples(st.one_of(NAMES, st.text(max_size=20)), VALUES), max_size=12)


def run(body: Callable[[Service], Awaitable[None]]) -> None:
    async def main() -> None:
        service = make_service(NoBackend(), keys=[KEY])
        async with asyncio.timeout(LIMIT):
            try:
                await body(service)
            finally:
                await service.close()

    asyncio.run(main())


@pytest.fixture
def complaints(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.WARNING)
    return caplog


@pytest.fixture
def signed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take every request for signed, so that it gets as far as an action."""
    claim = Claim(key_id="k", signature="", time="", nonce="", token="")
    monkeypatch.setattr(service_module, "authenticate", lambda request, keys, now: (KEY, claim))


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.lists(st.tuples(st.sampled_from(sorted(SCHEMAS)), PAIRS), min_size=1, max_size=4))
@pytest.mark.usefixtures("signed")
def test_signed_calls_of_any_parameters_are_answered(
    complaints: pytest.LogCaptureFixture, calls: list[tuple[str, list[tuple[str, str]]]]
) -> None:
    async def body(service: Service) -> None:
        for action, pairs in calls:
            usual = {
                "RegionId": "r",
                "ContainerGroupName": "group",
                "Container.1.Name": "c",
                "Container.1.Image": "i",
            }
            given = [*usual.items(), *pairs, ("Action", action), ("Version", "2018-08-08")]
            query = urlencode(given, errors="replace")
            answer = await service.handle(Request(method="POST", path="/", query=query, headers={}), "http://x")
            assert answer.status in (200, 400, 403, 404), answer.body
            assert answer.body["RequestId"]

    complaints.clear()
    run(body)
    assert complaints.records == []


@settings(max_examples=200)
@given(
    st.text(max_size=8),
    st.text(),
    st.text(),
    st.dictionaries(
        st.sampled_from(
            ["authorization", "x-acs-action", "x-acs-version", "x-acs-date", "content-type", "x-acs-signature-nonce"]
        ),
        st.one_of(
            st.text(),
            st.sampled_from(
                [
                    "ACS3-HMAC-SHA256 Credential=k,SignedHeaders=host,Signature=x",
                    "ACS3-HMAC-SHA256 Credential=k,SignedHeaders=,Signature=é",
                    "2018-08-08",
                    "ListUsage",
                    "application/x-www-form-urlencoded",
                ]
            ),
        ),
    ),
    st.binary(max_size=50),
)
def test_unsigned_requests_of_any_kind_are_refused(
    method: str, path: str, query: str, headers: dict[str, str], content: bytes
) -> None:
    async def body(service: Service) -> None:
        for way in (method, "POST"):
            request = Request(method=way, path=path, query=query, headers=headers, body=content)
            try:
                answer = await service.handle(request, "http://x")
            except ConnectionLost:
                continue
            assert 400 <= answer.status < 500, answer.body

    run(body)


@settings(max_examples=60)
@given(st.lists(st.binary(max_size=200), max_size=5))
def test_bytes_that_are_no_http_end_the_connection_or_are_answered(pieces: list[bytes]) -> None:
    async def body(service: Service) -> None:
        server = Server(service)
        await server.start("127.0.0.1", 0)
        try:
            port = int(server.endpoint.rpartition(":")[2])
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            for piece in [b"POST /", *pieces, b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"]:
                writer.write(piece)
            writer.write_eof()
            answer = await reader.read()
            writer.close()
            await writer.wait_closed()
            assert b"Traceback" not in answer
            assert not answer.startswith(b"HTTP/1.1 5")
        except ConnectionError:
            pass
        finally:
            await server.close()

    run(body)
