"""What is not known of an exec's session: each doubt in each of its positions, through the server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import attrs
import pytest
from sandboxkit_eci.emulator.session import SUBPROTOCOLS, SessionQuirks
from sandboxkit_eci.emulator.testing import Emulator, emulator
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from .asking import create, execute, no_proxy, running, sdk, until
from .positions import holds, left_out
from .scripted import ScriptedBackend

__all__ = ["no_proxy"]

pytestmark = pytest.mark.usefixtures("no_proxy")

OUT = b"\x01abc\n"
TEXT = b"\x03command terminated with non-zero exit code: exit status 3"


@attrs.define(eq=False)
class Says:
    """Says ``abc`` and fails; given ``goes_on`` it says its input, and ends at ``.``."""

    argv: tuple[str, ...]
    exit_code: int | None = None

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        if "goes_on" not in self.argv or data.endswith(b"."):
            self.exit_code = 3
        return [(1, data or b"abc\n")]


@pytest.fixture
def quirks() -> dict[str, Any]:
    return {}


@pytest.fixture
def backend() -> ScriptedBackend:
    return ScriptedBackend(responder=Says)


@pytest.fixture
def eci(quirks: dict[str, Any], backend: ScriptedBackend) -> Iterator[Emulator]:
    with emulator(backend, quirks=quirks) as it:
        yield it


@pytest.fixture
def dial(eci: Emulator) -> Callable[..., ClientConnection]:
    """Open the session of a new command."""
    client = sdk(eci)
    made = create(client)
    running(client, made)

    def give(word: str = "ends", **given: Any) -> ClientConnection:
        options = {"ping_interval": None, **given}
        stdin = options.pop("stdin", True)
        return connect(
            execute(client, made, f'["{word}"]', stdin=stdin).web_socket_uri, proxy=None, compression=None, **options
        )

    return give


def rest(socket: ClientConnection) -> list[bytes | str]:
    """Give what still comes."""
    found: list[bytes | str] = []
    with socket:
        try:
            while True:
                found.append(socket.recv(timeout=20))
        except ConnectionClosed:
            return found


Dial = Callable[..., ClientConnection]


@holds("leading_empty_frame", {False: [OUT], True: [b"\x01", OUT]})
def test_the_first_message(dial: Dial, expected: list[bytes]) -> None:
    assert rest(dial()) == expected


@holds("empty_frames", {False: [OUT], True: [b"\x01", b"", OUT]})
def test_empty_messages(dial: Dial, expected: list[bytes]) -> None:
    assert rest(dial()) == expected


@holds("unknown_channel", {False: [OUT], True: [b"\x09unknown", OUT]})
def test_a_channel_without_a_meaning(dial: Dial, expected: list[bytes]) -> None:
    assert rest(dial()) == expected


@holds("error_text_on_nonzero", {False: [OUT], True: [OUT, TEXT]})
def test_the_words_of_a_failure(dial: Dial, expected: list[bytes]) -> None:
    assert rest(dial()) == expected


@holds("error_status", {False: False, True: True})
def test_the_status_of_a_failure(dial: Dial, expected: bool) -> None:
    assert any(b'"ExitCode"' in bytes(each) for each in rest(dial()) if isinstance(each, bytes)) == expected


@holds("encoding", {"binary": [OUT], "text": ["\x01abc\n"], "base64": ["1YWJjCg=="]})
def test_the_kind_of_messages(dial: Dial, expected: list[bytes | str]) -> None:
    assert rest(dial()) == expected


@holds("split", {None: 1, 1: 4})
def test_the_number_of_messages(dial: Dial, expected: int) -> None:
    found = rest(dial())
    assert (len(found), b"".join(bytes(each)[1:] for each in found if isinstance(each, bytes))) == (
        expected,
        b"abc\n",
    )


@holds("split", {"random": b"abc\n"})
def test_messages_of_random_sizes(dial: Dial, expected: bytes) -> None:
    assert b"".join(bytes(each)[1:] for each in rest(dial()) if isinstance(each, bytes)) == expected


@holds("split_first", {None: 4, 2: 3}, split=1)
def test_how_much_of_a_session_is_split(dial: Dial, expected: int) -> None:
    assert len(rest(dial())) == expected


@holds("idle_close", {None: True, 0.1: False, 60.0: True})
def test_a_silent_session(dial: Dial, expected: bool) -> None:
    _stays(dial("goes_on"), expected)


@holds("session_limit", {None: True, 0.1: False}, idle_close=None)
def test_a_long_session(dial: Dial, expected: bool) -> None:
    _stays(dial("goes_on", ping_interval=0.02), expected)


def _stays(socket: ClientConnection, expected: bool) -> None:
    """See whether it is there after half a second."""
    with socket:
        assert socket.recv() == OUT
        with pytest.raises(TimeoutError if expected else ConnectionClosed):
            socket.recv(timeout=0.5 if expected else 20)


@holds("close_code", {1000: 1000, 1001: 1001, 1006: None})
def test_the_end_of_a_session(dial: Dial, expected: int | None) -> None:
    socket = dial()
    rest(socket)
    assert (socket.protocol.close_rcvd.code if socket.protocol.close_rcvd else None) == expected


@holds("answer_pings", {True: True, False: False})
def test_a_ping(dial: Dial, expected: bool) -> None:
    with dial("goes_on") as socket:
        assert socket.ping().wait(20 if expected else 0.3) == expected


@holds("drop_after", {None: OUT, 0: b"", 2: b"\x01ab"})
def test_a_session_that_drops(dial: Dial, expected: bytes) -> None:
    socket = dial()
    assert b"".join(bytes(each) for each in rest(socket) if isinstance(each, bytes)) == expected
    assert (socket.protocol.close_rcvd is None) == (expected != OUT)


@holds("stall_after", {None: OUT, 2: b"\x01ab"})
def test_a_session_that_goes_silent(dial: Dial, expected: bytes) -> None:
    with dial("goes_on") as socket:
        assert socket.recv() == expected
        socket.send(b"\x00more.")
        if expected == OUT:
            assert rest(socket) == [b"\x01more."]
        else:
            with pytest.raises(TimeoutError):
                socket.recv(timeout=0.3)


@holds("subprotocols", {"ignored": None, "agreed": "v4.channel.k8s.io"})
def test_a_subprotocol_that_is_asked_for(dial: Dial, expected: str | None) -> None:
    with dial(subprotocols=["nonsense", "v4.channel.k8s.io", "channel.k8s.io"]) as socket, dial() as plain:
        assert (socket.subprotocol, plain.subprotocol) == (expected, None)


def test_a_session_is_as_its_subprotocol_says() -> None:
    with emulator(ScriptedBackend(responder=Says), quirks={"subprotocols": "agreed"}) as eci:
        client = sdk(eci)
        made = create(client)
        running(client, made)
        said = {}
        for name in (*SUBPROTOCOLS, None):
            uri = execute(client, made, '["ends"]').web_socket_uri
            asked: Any = {} if name is None else {"subprotocols": [name]}
            said[name] = rest(connect(uri, proxy=None, **asked))
    assert said[None] == [OUT]
    assert said["channel.k8s.io"] == [b"\x01", OUT, TEXT]
    assert said["base64.channel.k8s.io"][:2] == ["1", "1YWJjCg=="]
    assert [each[:1] for each in said["v4.channel.k8s.io"]] == [b"\x01", b"\x01", b"\x03"]
    assert b'"ExitCode"' in bytes(said["v4.channel.k8s.io"][2])  # type: ignore[arg-type]
    assert [each[:1] for each in said["v4.base64.channel.k8s.io"]] == ["1", "1", "3"]


@holds("kill_on_close", {None: True, True: True, False: False})
def test_what_runs_when_its_socket_closes(
    dial: Dial, backend: ScriptedBackend, quirks: dict[str, Any], expected: bool
) -> None:
    with dial("goes_on") as socket:
        socket.recv()
        (stream,) = backend.machines[0].streams
    if expected:
        until(lambda: stream.exit_code == 137)
    else:
        until(lambda: stream.left_alone)
        assert stream.exit_code is None


def test_a_command_without_stdin_hears_nothing(dial: Dial) -> None:
    with dial("goes_on", stdin=False) as socket:
        assert socket.recv() == OUT
        socket.send(b"\x00heard.")
        with pytest.raises(TimeoutError):
            socket.recv(timeout=0.3)


def test_no_position_of_a_quirk_is_left_out() -> None:
    assert left_out(SessionQuirks) == {}
