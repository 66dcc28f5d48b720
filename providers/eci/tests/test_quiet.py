"""What other libraries may log of a call: nothing of what is sent."""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from sandboxkit_eci.api import Api
from sandboxkit_eci.quiet import quietly
from sandboxkit_eci.settings import connect_options

from sandboxkit.driver import run
from sandboxkit.errors import SandboxNotFound
from sandboxkit.worlds import BlockingWorld


class Refusal(BaseHTTPRequestHandler):
    """Answers every call as if the sandbox did not exist."""

    def do_POST(self) -> None:
        body = b'{"RequestId": "R", "Code": "InvalidParameter.NotFound", "Message": "none"}'
        self.send_response(404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def endpoint() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Refusal)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_nothing_is_logged_of_a_call(
    endpoint: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEBUG", "sdk")
    caplog.set_level(logging.DEBUG)
    given = {"region_id": "cn-x1", "access_key_id": "a", "access_key_secret": "b", "endpoint": endpoint}
    api = Api(BlockingWorld(), connect_options(given, {}))
    secret = secrets.token_hex(8)
    with pytest.raises(SandboxNotFound):
        run(api.exec("eci-1", "main", [secret], tty=False, until=api.world.now() + 5, undo=str))
    assert secret not in caplog.text


def test_others_log_as_before(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    logger = logging.getLogger("urllib3.connectionpool")
    with quietly():
        logger.debug("ours")
    logger.debug("theirs")
    assert [record.getMessage() for record in caplog.records] == ["theirs"]
