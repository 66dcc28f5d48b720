"""ExecContainerCommand and its websocket, through the server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sandboxkit_eci.emulator.backends.nothing import NoBackend
from sandboxkit_eci.emulator.testing import Emulator, emulator
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from .asking import code, create, delete, execute, groups, no_proxy, running, sdk, until
from .scripted import ScriptedBackend

__all__ = ["no_proxy"]

pytestmark = pytest.mark.usefixtures("no_proxy")


@pytest.fixture
def eci() -> Iterator[Emulator]:
    with emulator(NoBackend()) as running_one:
        yield running_one


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
