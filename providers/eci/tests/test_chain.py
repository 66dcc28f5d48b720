"""Alibaba's own credential chain: what it finds is used, and how it fails is told, in time and without a secret."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from alibabacloud_credentials.models import CredentialModel  # type: ignore[import-untyped]
from sandboxkit_eci.chain import ADVICE, Chain, reason_of
from sandboxkit_eci.emulator.signature import Key
from sandboxkit_eci.emulator.testing import Emulator, emulator
from sandboxkit_eci.faults import never_arrived

import sandboxkit

SECRET = "hunter2-hunter2"
SETTINGS = ("access_key_id", "ECI_SANDBOX_ACCESS_KEY_ID", "ALIBABA_CLOUD_ACCESS_KEY_SECRET")


def key(name: str = "LTAIchain") -> Any:
    return CredentialModel(access_key_id=name, access_key_secret=SECRET, type="access_key")


# -- scripted ------------------------------------------------------------------------------------------------------


def test_a_key_is_asked_for_once_and_again_after_the_service_refused_it() -> None:
    keys = iter([key("first"), key("second")])
    chain = Chain(lambda: next(keys))
    for _ in range(3):
        chain.renew(5.0)
    assert chain.get_credential().access_key_id == "first"
    chain.forget()
    chain.renew(5.0)
    assert chain.get_credential().access_key_id == "second"


def test_all_who_wait_share_one_asking() -> None:
    asked, may_answer = [], threading.Event()

    def ask() -> Any:
        asked.append(1)
        may_answer.wait(30)
        return key()

    chain = Chain(ask)
    threads = [threading.Thread(target=chain.renew, args=(30.0,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    may_answer.set()
    for thread in threads:
        thread.join()
    assert len(asked) == 1


def test_a_chain_without_a_key_names_the_settings_and_nothing_was_sent() -> None:
    def ask() -> Any:
        raise RuntimeError(f"EnvironmentVariableCredentialsProvider: cannot be empty {SECRET}")

    with pytest.raises(sandboxkit.AuthenticationFailed) as caught:
        Chain(ask).renew(5.0)
    assert ADVICE in str(caught.value)
    assert all(name in ADVICE for name in SETTINGS)
    assert never_arrived(caught.value)
    assert caught.value.__context__ is None
    assert SECRET not in str(caught.value) + repr(caught.value.__cause__)


@pytest.mark.parametrize("half", [{"access_key_id": ""}, {"access_key_secret": None}])
def test_half_a_key_is_none(half: dict[str, Any]) -> None:
    with pytest.raises(sandboxkit.AuthenticationFailed, match="without an id or a secret"):
        Chain(lambda: CredentialModel(**{"access_key_id": "LTAI", "access_key_secret": SECRET, **half})).renew(5.0)


def test_a_key_that_cannot_be_renewed_may_be_so_later() -> None:
    answers: list[Any] = [RuntimeError("timed out"), key()]

    def ask() -> Any:
        answer = answers.pop()
        if isinstance(answer, Exception):
            raise answer
        return answer

    chain = Chain(ask)
    chain.renew(5.0)
    chain.forget()
    with pytest.raises(sandboxkit.ProviderUnavailable, match="cannot renew its key: no answer in time") as caught:
        chain.renew(5.0)
    assert caught.value.retryable


def test_a_chain_that_stalls_holds_nobody_up() -> None:
    may_answer, answered = threading.Event(), threading.Event()

    def ask() -> Any:
        may_answer.wait(30)
        answered.set()
        return key()

    chain = Chain(ask, limit=0.2)
    with pytest.raises(sandboxkit.AuthenticationFailed, match=r"no answer within 0.2 s"):
        chain.renew(30.0)
    with pytest.raises(sandboxkit.DeadlineExceeded):
        chain.renew(0.05)
    # What it says after all is not lost.
    may_answer.set()
    answered.wait(30)
    chain.renew(30.0)
    assert chain.get_credential().access_key_id == "LTAIchain"


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_fork_asks_anew_while_its_parent_is_asking() -> None:
    may_answer = threading.Event()

    def ask() -> Any:
        if os.getpid() == parent:
            may_answer.wait(30)
        return key()

    parent, chain = os.getpid(), Chain(ask, limit=20.0)
    with pytest.raises(sandboxkit.DeadlineExceeded):
        chain.renew(0.05)
    chain._lock.acquire()  # as another thread may have just then
    child = os.fork()
    if not child:
        try:
            signal.alarm(30)
            chain.renew(20.0)
            os._exit(int(chain.get_credential().access_key_id != "LTAIchain"))
        finally:
            os._exit(2)
    chain._lock.release()
    may_answer.set()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    chain.renew(20.0)
    assert chain.get_credential().access_key_id == "LTAIchain"


def test_what_each_source_says_is_told_in_own_words() -> None:
    text = (
        "unable to load credentials from any of the providers in the chain: ["
        "'EnvironmentVariableCredentialsProvider: Environment variable accessKeyId cannot be empty', "
        "'CLIProfileCredentialsProvider: unable to open credentials file: /root/.aliyun/config.json', "
        f"'ProfileCredentialsProvider: File contains no section headers. line: 1 access_key_secret={SECRET}', "
        "'EcsRamRoleCredentialsProvider: Failed to get RAM session credentials HttpCode=404', "
        f"'URLCredentialsProvider: Max retries exceeded with url: /?{SECRET} (Read timed out)']"
    )
    assert reason_of(text) == (
        "environment: none; the profile of Alibaba's command line: none; the credentials file: cannot be read; "
        "the instance's role: HTTP 404; ALIBABA_CLOUD_CREDENTIALS_URI: no answer in time"
    )
    assert reason_of(SECRET) == "failed"


# -- the library itself, which reads its environment when it is imported: each in a process of its own ---------------

PROGRAM = """
import logging, sys, time, traceback
logging.basicConfig(level=logging.DEBUG)
import sandboxkit
began = time.monotonic()
try:
    endpoint, timeout = sys.argv[1], float(sys.argv[2])
    with sandboxkit.connect("eci", region_id="cn-hangzhou", endpoint=endpoint, timeout=timeout) as client:
        found = list(client.list())
except sandboxkit.SandboxError as exc:
    traceback.print_exc()
    print(type(exc).__name__, exc)
else:
    print("listed", len(found))
print(time.monotonic() - began)
"""


def run(eci: Emulator, home: Path, *, timeout: float = 20.0, **environ: str) -> tuple[str, float]:
    """List with what the chain finds; give what came of it, and the seconds that it took."""
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("ECI_SANDBOX_", "ALIBABA_CLOUD_")) and not name.lower().endswith("_proxy")
    }
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, eci.endpoint, str(timeout)],
        capture_output=True,
        text=True,
        cwd=home,
        timeout=60,
        env={**clean, "HOME": str(home), "ALIBABA_CLOUD_ECS_METADATA_DISABLED": "true", **environ},
    )
    assert done.returncode == 0, done.stderr
    assert SECRET not in done.stdout + done.stderr
    outcome, seconds = done.stdout.strip().splitlines()
    return outcome, float(seconds)


TEMPORARY = Key(id="STSchain", secret=SECRET, token="the-token")
EXPIRED = Key(id="STSold", secret=SECRET, token="the-old-token", expires=1.0)


@pytest.fixture(scope="module")
def eci() -> Iterator[Emulator]:
    with emulator("none", keys=[Key(id="LTAIfile", secret=SECRET), TEMPORARY, EXPIRED]) as running:
        yield running


@contextmanager
def metadata(answer: bytes | None, status: int = 200) -> Iterator[str]:
    """Serve credentials, or, with ``None``, take requests and say nothing while the block lasts."""
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if answer is None:
                over.wait(60)
                return
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/credentials"
    finally:
        over.set()
        server.shutdown()
        thread.join()
        server.server_close()


def issued(key: Key) -> bytes:
    return json.dumps(
        {
            "Code": "Success",
            "AccessKeyId": key.id,
            "AccessKeySecret": key.secret,
            "SecurityToken": key.token,
            "Expiration": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 7200)),
        }
    ).encode()


def test_a_credentials_file_is_used(eci: Emulator, tmp_path: Path) -> None:
    directory = tmp_path / ".alibabacloud"
    directory.mkdir()
    content = f"[default]\ntype = access_key\naccess_key_id = LTAIfile\naccess_key_secret = {SECRET}\n"
    (directory / "credentials.ini").write_text(content)
    assert run(eci, tmp_path)[0] == "listed 0"


def test_where_nothing_is_found_the_settings_are_named(eci: Emulator, tmp_path: Path) -> None:
    outcome, _ = run(eci, tmp_path)
    assert outcome.startswith("AuthenticationFailed no access key is given")
    assert all(name in outcome for name in SETTINGS)


@pytest.mark.parametrize("content", [f"access_key_secret = {SECRET}\n", f"[default]\ntype = {SECRET}\n"])
def test_a_credentials_file_that_is_broken_is_told_and_not_quoted(
    eci: Emulator, tmp_path: Path, content: str
) -> None:
    directory = tmp_path / ".alibabacloud"
    directory.mkdir()
    (directory / "credentials.ini").write_text(content)
    outcome, _ = run(eci, tmp_path)
    assert outcome.startswith("AuthenticationFailed")
    assert "the credentials file: cannot be read" in outcome


def test_temporary_keys_of_a_metadata_service_are_used(eci: Emulator, tmp_path: Path) -> None:
    with metadata(issued(TEMPORARY)) as uri:
        assert run(eci, tmp_path, ALIBABA_CLOUD_CREDENTIALS_URI=uri)[0] == "listed 0"


@pytest.mark.parametrize(
    ("answer", "status", "words"),
    [(SECRET.encode(), 500, "HTTP 500"), (json.dumps({"AccessKeySecret": SECRET}).encode(), 200, "failed")],
)
def test_a_metadata_service_that_fails_is_told_and_not_quoted(
    eci: Emulator, tmp_path: Path, answer: bytes, status: int, words: str
) -> None:
    with metadata(answer, status) as uri:
        outcome, _ = run(eci, tmp_path, ALIBABA_CLOUD_CREDENTIALS_URI=uri)
    assert outcome.startswith("AuthenticationFailed")
    assert f"ALIBABA_CLOUD_CREDENTIALS_URI: {words})" in outcome


def test_a_metadata_service_that_stalls_is_not_waited_for_past_the_timeout(eci: Emulator, tmp_path: Path) -> None:
    with metadata(None) as uri:
        outcome, seconds = run(eci, tmp_path, timeout=1.0, ALIBABA_CLOUD_CREDENTIALS_URI=uri)
    assert outcome.startswith("DeadlineExceeded")
    assert seconds < 10.0  # where the library alone takes its 10, and again for each call


def test_a_temporary_key_that_has_expired_names_the_token(eci: Emulator, tmp_path: Path) -> None:
    with metadata(issued(EXPIRED)) as uri:
        outcome, _ = run(eci, tmp_path, ALIBABA_CLOUD_CREDENTIALS_URI=uri)
    assert outcome.startswith("AuthenticationFailed")
    assert "InvalidSecurityToken.Expired" in outcome
    assert "ECI_SANDBOX_SECURITY_TOKEN" in outcome


# -- keys that are given and refused ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "code", "setting"),
    [
        ({"access_key_id": "LTAIwrong"}, "InvalidAccessKeyId", "ECI_SANDBOX_ACCESS_KEY_ID"),
        ({"access_key_secret": "wrong"}, "SignatureDoesNotMatch", "ECI_SANDBOX_ACCESS_KEY_SECRET"),
        ({"access_key_id": EXPIRED.id, "security_token": EXPIRED.token}, "InvalidSecurityToken", "security_token"),
    ],
)
def test_a_key_that_is_refused_names_its_setting(
    eci: Emulator, given: dict[str, str], code: str, setting: str
) -> None:
    options = {**eci.options, "access_key_id": "LTAIfile", "access_key_secret": SECRET, **given}
    with sandboxkit.connect("eci", **options) as client, pytest.raises(sandboxkit.AuthenticationFailed) as caught:
        list(client.list())
    assert (caught.value.provider_code or "").startswith(code)
    assert setting in str(caught.value)
    for secret in (SECRET, "the-old-token"):
        assert secret not in str(caught.value)


def test_a_refused_key_has_the_chain_asked_again(eci: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = iter([key("LTAIgone"), key("LTAIfile")])
    monkeypatch.setattr("sandboxkit_eci.api.chain", Chain(lambda: next(keys)))
    options = {name: value for name, value in eci.options.items() if not name.startswith("access_key")}
    for name in list(os.environ):
        if name.startswith(("ECI_SANDBOX_", "ALIBABA_CLOUD_")):
            monkeypatch.delenv(name)
    with sandboxkit.connect("eci", **options) as client:
        with pytest.raises(sandboxkit.AuthenticationFailed):
            list(client.list())
        assert list(client.list()) == []
