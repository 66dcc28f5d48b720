"""ExecContainerCommand and its websocket, through the server."""

from __future__ import annotations

import asyncio
import urllib.error
import urllib.request
from typing import Any, cast

import attrs
import pytest
from sandboxkit_eci.emulator import tickets
from sandboxkit_eci.emulator.backend import Stream
from sandboxkit_eci.emulator.backends.nothing import NoBackend
from sandboxkit_eci.emulator.quirks import Quirks
from sandboxkit_eci.emulator.session import SessionQuirks
from sandboxkit_eci.emulator.testing import Emulator, emulator
from sandboxkit_eci.emulator.tickets import Ticket, Tickets
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from .asking import code, create, delete, execute, groups, no_proxy, running, sdk, until
from .manualclock import ManualClock
from .scripted import ScriptedBackend

__all__ = ["no_proxy"]

pytestmark = pytest.mark.usefixtures("no_proxy")


def one(eci: Emulator, **given: Any) -> tuple[Any, str]:
    """Give a client and a group that runs."""
    client = sdk(eci)
    made = create(client, **given)
    running(client, made)
    return client, made


def said(uri: str) -> list[bytes | str]:
    """Open a session; give its messages."""
    messages: list[bytes | str] = []
    with connect(uri, proxy=None) as socket:
        try:
            while True:
                messages.append(socket.recv())
        except ConnectionClosed:
            return messages


def test_a_command_says_what_it_says_and_the_socket_closes(eci: Emulator) -> None:
    client, made = one(eci)
    body = execute(client, made, '["a", "b"]')
    assert body.web_socket_uri.startswith(eci.endpoint.replace("http", "ws") + "/exec/?s=")
    assert said(body.web_socket_uri) == [b"\x01a b\n"]
    assert eci.counts.sessions == 1


@pytest.mark.parametrize("end", ["", "/"])
def test_an_address_is_whole_for_a_client_whose_endpoint_has_a_scheme(eci: Emulator, end: str) -> None:
    client, made = one(eci)
    client._endpoint = eci.endpoint + end  # the SDK sends it as Host, as it is
    body = execute(client, made, '["a"]')
    assert body.web_socket_uri.startswith(eci.endpoint.replace("http", "ws") + "/exec/?s=")
    assert body.http_url.startswith(eci.endpoint + "/terminal?")
    assert said(body.web_socket_uri) == [b"\x01a\n"]


def test_a_sync_command_gives_its_output(eci: Emulator) -> None:
    client, made = one(eci)
    assert execute(client, made, '["a", "b"]', sync=True).sync_response == "a b\n"
    assert code(lambda: execute(client, made, '["a"]', sync=True, tty=True)) == "InvalidParameter"


@pytest.mark.parametrize("single", [True, False])
def test_an_address_is_good_once_unless_the_quirk_says_otherwise(single: bool) -> None:
    with emulator(NoBackend(), quirks={"uri-single-use": single, "uri-refused-status": 404}) as eci:
        client, made = one(eci)
        uri = execute(client, made, '["a"]').web_socket_uri
        assert said(uri) == [b"\x01a\n"]
        if not single:
            assert said(uri) == [b"\x01a\n"]
            return
        with pytest.raises(InvalidStatus) as refused:
            said(uri)
        assert refused.value.response.status_code == 404


def test_an_address_is_good_for_a_while() -> None:
    with emulator(NoBackend(), quirks={"uri-seconds": 0}) as eci:
        client, made = one(eci)
        uri = execute(client, made, '["a"]').web_socket_uri
        with pytest.raises(InvalidStatus):
            said(uri)
        with pytest.raises(InvalidStatus):
            said(uri.partition("=")[0] + "=nonsense")


def test_a_look_at_an_address_does_not_use_it_up(eci: Emulator) -> None:
    client, made = one(eci)
    uri = execute(client, made, '["a"]').web_socket_uri
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(uri.replace("ws", "http", 1))
    with refused.value:
        assert refused.value.code == 400
    assert said(uri) == [b"\x01a\n"]


@pytest.mark.parametrize(
    ("command", "refusal"),
    [
        ("[" + '"' + "x" * 2044 + '"' + "]", ""),
        ("[" + '"' + "x" * 2045 + '"' + "]", "InvalidParameter.ValueExceeded"),
        ("[" + '"' + "é" * 1023 + '"' + "]", "InvalidParameter.ValueExceeded"),
        ("ls -l", "InvalidParameter"),
        ("[]", "InvalidParameter"),
        ("[1]", "InvalidParameter"),
        ('{"a": 1}', "InvalidParameter"),
        ('"ls"', "InvalidParameter"),
        ('["a\\u0000"]', "InvalidParameter"),
        ("[" * 2000, "InvalidParameter"),
    ],
)
def test_a_command_is_a_json_array_of_at_most_2048_bytes(eci: Emulator, command: str, refusal: str) -> None:
    client, made = one(eci)
    if refusal:
        assert code(lambda: execute(client, made, command)) == refusal
    else:
        assert execute(client, made, command).web_socket_uri


def test_the_documented_limits_of_a_command_are_a_quirk() -> None:
    with emulator(NoBackend(), quirks={"command-elements": "documented", "bash-needs-tty": "on"}) as eci:
        client, made = one(eci)
        assert code(lambda: execute(client, made, '["' + "x" * 257 + '"]')) == "InvalidParameter.ValueExceeded"
        assert code(lambda: execute(client, made, '["/bin/bash"]')) == "InvalidParameter"
        assert execute(client, made, '["/bin/bash"]', tty=True).web_socket_uri


def test_a_group_or_container_that_is_not_there_is_told(eci: Emulator) -> None:
    client, made = one(eci)
    assert code(lambda: execute(client, "eci-nothing", '["a"]')) == "InvalidParameter.NotFound"
    assert code(lambda: execute(client, made, '["a"]', container_name="other")) == "InvalidParameter.NotFound"


def test_exec_is_for_groups_that_run() -> None:
    with emulator(NoBackend(), time_scale=1.0) as eci:
        client = sdk(eci)
        made = create(client)
        assert groups(client, made)[0].status == "Scheduling"
        assert code(lambda: execute(client, made, '["a"]')) == "IncorrectStatus"


def test_exec_is_not_for_groups_that_are_going() -> None:
    with emulator(NoBackend(), time_scale=0.01) as eci:
        client, made = one(eci)
        eci.service.runtime.clock.scale = 1000.0
        delete(client, made)
        assert groups(client, made)[0].status == "Terminating"
        assert code(lambda: execute(client, made, '["a"]')) == "IncorrectStatus"


def test_a_command_whose_container_is_gone_by_then_says_so(eci: Emulator) -> None:
    client, made = one(eci)
    uri = execute(client, made, '["a"]').web_socket_uri
    delete(client, made)
    until(lambda: not groups(client))
    (message,) = said(uri)
    assert isinstance(message, bytes)
    assert message.startswith(b"\x03")


def test_the_connection_of_such_a_command_is_dropped_if_that_is_how_sessions_end() -> None:
    with emulator(NoBackend(), quirks={"close-code": 1006}) as eci:
        client, made = one(eci)
        uri = execute(client, made, '["a"]').web_socket_uri
        delete(client, made)
        until(lambda: not groups(client))
        with connect(uri, proxy=None) as socket:
            assert cast(bytes, socket.recv()).startswith(b"\x03")
            with pytest.raises(ConnectionClosed) as closed:
                socket.recv()
        assert closed.value.rcvd is None


@pytest.mark.parametrize(("starts", "sync"), [("on-open", True), ("on-call", False)])
def test_a_container_that_ends_before_its_command_starts_has_the_wrong_status(starts: str, sync: bool) -> None:
    backend = ScriptedBackend()
    with emulator(backend, quirks={"exec-starts": starts}) as eci:
        client, made = one(eci)
        backend.machines[0].removed = True  # and nobody has noticed
        assert code(lambda: execute(client, made, '["a"]', sync=sync)) == "IncorrectStatus"


@pytest.mark.parametrize("starts", ["on-open", "on-call"])
def test_a_command_starts_with_its_socket_or_with_its_call(starts: str) -> None:
    backend = ScriptedBackend()
    with emulator(backend, quirks={"exec-starts": starts}) as eci:
        client, made = one(eci)
        uri = execute(client, made, '["a"]').web_socket_uri
        assert ([] if starts == "on-open" else [("a",)]) == backend.machines[0].asked
        assert said(uri) == [b"\x01a\n"]
        assert backend.machines[0].asked == [("a",)]


def test_the_third_exec_drops_after_three_bytes(eci: Emulator) -> None:
    client, made = one(eci)
    eci.inject("ExecContainerCommand:session=drop_after=3,nth=3")
    outputs = [b"".join(said(execute(client, made, '["abcdef"]').web_socket_uri)) for _ in range(4)]  # type: ignore[arg-type]
    assert outputs == [b"\x01abcdef\n", b"\x01abcdef\n", b"\x01abc", b"\x01abcdef\n"]


def test_sessions_quirks_go_with_the_emulators() -> None:
    with emulator(NoBackend(), quirks={"split": 1, "leading-empty-frame": "on"}) as eci:
        client, made = one(eci)
        assert said(execute(client, made, '["ab"]').web_socket_uri) == [b"\x01", b"\x01a", b"\x01b", b"\x01\n"]


# -- commands that have started, and whose sessions nobody opens ----------------------------------------------------


@attrs.define(eq=False)
class Waits:
    """Says nothing, and does not end."""

    exit_code: int | None = None

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        return []


def test_a_command_that_nobody_came_for_in_time_is_let_go() -> None:
    backend = ScriptedBackend(responder=lambda argv: Waits())
    with emulator(backend, quirks={"exec-starts": "on-call", "uri-seconds": 0.02}) as eci:
        client, made = one(eci)
        execute(client, made, '["a"]')
        (stream,) = backend.machines[0].streams
        until(lambda: stream.exit_code is not None)


def test_a_command_whose_address_is_one_too_many_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tickets, "MOST", 1)
    backend = ScriptedBackend(responder=lambda argv: Waits())
    with emulator(backend, quirks={"exec-starts": "on-call"}) as eci:
        client, made = one(eci)
        execute(client, made, '["a"]')
        execute(client, made, '["a"]')
        first, second = backend.machines[0].streams
        until(lambda: first.exit_code is not None)
        assert second.exit_code is None


@pytest.mark.parametrize("single", [True, False])
def test_a_command_that_somebody_came_for_is_theirs(single: bool) -> None:
    async def body() -> None:
        clock, backend = ManualClock(), NoBackend(lambda argv: Waits())
        kept = Tickets(Quirks(uri_single_use=single, uri_seconds=10.0), clock)
        machine = await backend.start(cast(Any, None))
        streams: list[Stream] = [await machine.exec(("a",), tty=False) for _ in range(3)]
        keys = [kept.add(ticket(stream, clock)) for stream in streams[:2]]
        found = kept.redeem(keys[0], now=clock.now())
        assert found is not None
        assert found.take() is streams[0]
        assert found.take() is None
        await clock.advance(10.5)
        assert [stream.exit_code is None for stream in streams] == [True, False, True]
        assert kept.redeem(keys[0], now=clock.now()) is None
        kept.add(ticket(streams[2], clock))
        await kept.close()
        assert [stream.exit_code is None for stream in streams] == [True, False, False]
        await backend.close()

    asyncio.run(body())


def ticket(stream: Stream, clock: ManualClock) -> Ticket:
    return Ticket(
        container=cast(Any, None), argv=("a",), tty=False, made=clock.now(), quirks=SessionQuirks(), stream=stream
    )
