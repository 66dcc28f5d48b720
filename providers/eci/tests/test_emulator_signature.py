"""Signatures: what a real client signed verifies, and nothing else does."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlencode

import attrs
import pytest
from alibabacloud_eci20180808.client import Client
from alibabacloud_eci20180808.models import (
    CreateContainerGroupRequest,
    CreateContainerGroupRequestContainer,
    CreateContainerGroupRequestContainerEnvironmentVar,
    CreateContainerGroupRequestTag,
    ExecContainerCommandRequest,
)
from alibabacloud_tea_openapi.models import Config
from sandboxkit_eci.emulator.errors import ApiError
from sandboxkit_eci.emulator.nonces import Nonces
from sandboxkit_eci.emulator.signature import Key, Request, authenticate, string_to_sign_v1

KEY = Key(id="testAK", secret="testSecret")
KEYS = {KEY.id: KEY}


class _Recorder(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        path, _, query = self.path.partition("?")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.seen.append(Request(method=self.command, path=path, query=query, headers=headers, body=body))
        answer = b'{"RequestId":"R"}'
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Recorder)
        self.seen: list[Request] = []


@pytest.fixture(scope="module")
def captured() -> Iterator[list[Request]]:
    """A create, an exec, and an exec with a temporary key, as the SDK sent them."""
    with pytest.MonkeyPatch.context() as patch, _Server() as server:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
            patch.delenv(name, raising=False)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            endpoint = f"127.0.0.1:{server.server_port}"
            for token in (None, "sts-token"):
                config = Config(
                    access_key_id=KEY.id,
                    access_key_secret=KEY.secret,
                    security_token=token,
                    endpoint=endpoint,
                    protocol="HTTP",
                    type="sts" if token else "access_key",
                )
                client = Client(config)
                if token is None:
                    client.create_container_group(_create())
                client.exec_container_command(
                    ExecContainerCommandRequest(
                        region_id="cn-hangzhou",
                        container_group_id="eci-1",
                        container_name="c",
                        command='["a b","+/~*"]',
                    )
                )
                if token is not None:
                    asyncio.run(client.create_container_group_async(_create()))
            yield server.seen
        finally:
            server.shutdown()
            thread.join()


def _create() -> CreateContainerGroupRequest:
    env = [
        CreateContainerGroupRequestContainerEnvironmentVar(key="A", value="é ~*/&=+"),
        CreateContainerGroupRequestContainerEnvironmentVar(key="EMPTY", value=""),
    ]
    container = CreateContainerGroupRequestContainer(
        name="c", image="r.io/x:1", command=["/bin/sh", "-c"], environment_var=env
    )
    return CreateContainerGroupRequest(
        region_id="cn-hangzhou",
        container_group_name="g",
        container=[container],
        cpu=2.0,
        tag=[CreateContainerGroupRequestTag(key="k 2", value="v&=/é~*")],
    )


def when(request: Request) -> float:
    text = request.headers["x-acs-date"]
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp()


def code(request: Request, keys: dict[str, Key] = KEYS, *, now: float | None = None) -> str:
    try:
        authenticate(request, keys, now=when(request) if now is None else now)
    except ApiError as exc:
        return exc.code
    return "ok"


def test_what_the_sdk_signed_verifies(captured: list[Request]) -> None:
    assert [code(request) for request in captured[:2]] == ["ok", "ok"]


def test_what_its_asyncio_methods_signed_verifies_too(captured: list[Request]) -> None:
    assert captured[3].headers["x-acs-action"] == "CreateContainerGroup"
    assert code(captured[3], keys_for(captured[3])) == "ok"


def test_a_changed_byte_anywhere_does_not(captured: list[Request]) -> None:
    request = captured[0]
    for place in range(0, len(request.query), 7):
        byte = request.query[place]
        changed = request.query[:place] + ("b" if byte == "a" else "a") + request.query[place + 1 :]
        same = parse_qsl(changed, True) == parse_qsl(request.query, True)  # "%2a" is "%2A"
        assert code(attrs.evolve(request, query=changed)) == ("ok" if same else "SignatureDoesNotMatch"), changed
    assert code(attrs.evolve(request, body=b"x")) == "SignatureDoesNotMatch"
    assert code(attrs.evolve(request, method="GET")) == "SignatureDoesNotMatch"
    assert code(attrs.evolve(request, path="/x")) == "SignatureDoesNotMatch"
    for name in ("x-acs-action", "x-acs-version", "x-acs-signature-nonce", "host"):
        headers = {**request.headers, name: request.headers[name] + "1"}
        assert code(attrs.evolve(request, headers=headers)) == "SignatureDoesNotMatch"


def test_a_header_of_the_service_must_be_signed(captured: list[Request]) -> None:
    headers = {**captured[0].headers, "x-acs-extra": "1"}
    assert code(attrs.evolve(captured[0], headers=headers)) == "IncompleteSignature"


def test_an_encoding_of_the_query_that_means_the_same_verifies(captured: list[Request]) -> None:
    request = captured[1]
    assert "+" in request.query
    assert code(attrs.evolve(request, query=request.query.replace("+", "%20"))) == "ok"


def test_a_temporary_key_needs_its_token(captured: list[Request]) -> None:
    request = captured[2]
    assert request.headers["x-acs-security-token"] == "sts-token"
    temporary = attrs.evolve(KEY, token="sts-token", expires=when(request) + 1)
    assert code(request, {KEY.id: temporary}) == "ok"
    assert code(request, {KEY.id: attrs.evolve(temporary, token="another")}) == "InvalidSecurityToken.Malformed"
    assert code(request, {KEY.id: temporary}, now=when(request) + 2) == "InvalidSecurityToken.Expired"
    assert code(captured[1], {KEY.id: temporary}) == "InvalidSecurityToken.Malformed"


def test_an_unknown_or_disabled_key_is_told(captured: list[Request]) -> None:
    assert code(captured[0], {}) == "InvalidAccessKeyId.NotFound"
    assert code(captured[0], {KEY.id: attrs.evolve(KEY, enabled=False)}) == "InvalidAccessKeyId.Inactive"


@pytest.mark.parametrize("skew", [-901, 901])
def test_a_clock_that_is_off_by_over_a_quarter_of_an_hour_is_told(captured: list[Request], skew: int) -> None:
    request = captured[0]
    assert code(request, now=when(request) + skew) == "InvalidTimeStamp.Expired"
    assert code(request, now=when(request) + skew // 2) == "ok"
    headers = {**request.headers, "x-acs-date": "yesterday"}
    assert code(attrs.evolve(request, headers=headers), now=0.0) == "InvalidTimeStamp.Format"


def _from_file() -> list[Request]:
    """Give what other clients sent, with the same keys: their names and versions are in the file."""
    requests = []
    for each in json.loads(Path(__file__).with_name("captured.json").read_text()):
        path, _, query = each["target"].partition("?")
        content = each["body"].encode()
        requests.append(Request(method=each["method"], path=path, query=query, headers=each["headers"], body=content))
    return requests


OTHERS = _from_file()


def moment(request: Request) -> float:
    if "x-acs-date" in request.headers:
        return when(request)
    text = dict(request.query_parameters())["Timestamp"]
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp()


def keys_for(request: Request) -> dict[str, Key]:
    token = "sts-token" if "sts-token" in f"{request.headers}{request.query}" else None
    return {KEY.id: attrs.evolve(KEY, token=token)}


@pytest.mark.parametrize("request_", OTHERS)
def test_what_other_clients_signed_verifies_and_a_changed_byte_does_not(request_: Request) -> None:
    keys, now = keys_for(request_), moment(request_)
    assert code(request_, keys, now=now) == "ok"
    before = request_.query_parameters()
    for place, byte in enumerate(request_.query):
        changed = request_.query[:place] + ("b" if byte == "a" else "a") + request_.query[place + 1 :]
        altered = attrs.evolve(request_, query=changed)
        if altered.query_parameters() != before:
            assert code(altered, keys, now=now) != "ok", changed
    for name, value in request_.headers.items():
        signed = "authorization" in request_.headers and (name == "host" or name.startswith("x-acs-"))
        if signed:
            altered = attrs.evolve(request_, headers={**request_.headers, name: value + "1"})
            assert code(altered, keys, now=now) != "ok", name


def signed_v1(parameters: dict[str, str], form: dict[str, str] | None = None) -> Request:
    """Sign as the service's V1 document says; the fixed case below was made by an old client."""
    given = {**parameters, "AccessKeyId": KEY.id, "SignatureMethod": "HMAC-SHA1", "SignatureVersion": "1.0"}
    given |= {"SignatureNonce": "n", "Timestamp": "2026-11-23T02:00:31Z"}
    method = "GET" if form is None else "POST"
    everything = sorted({**given, **(form or {})}.items())
    query = "&".join(f"{quote(k, safe='~')}={quote(v, safe='~')}" for k, v in everything)
    text = f"{method}&%2F&{quote(query, safe='~')}"
    given["Signature"] = base64.b64encode(
        hmac.new(f"{KEY.secret}&".encode(), text.encode(), hashlib.sha1).digest()
    ).decode()
    headers = {"content-type": "application/x-www-form-urlencoded"} if form else {}
    body = urlencode(form or {}).encode()
    return Request(method=method, path="/", query=urlencode(given), headers=headers, body=body)


V1_TIME = datetime(2026, 11, 23, 2, 0, 31, tzinfo=UTC).timestamp()


@pytest.mark.parametrize("form", [None, {"Tag.1.Key": "k 2", "Tag.1.Value": "v&=/é~*"}])
def test_a_v1_request_verifies_and_a_changed_one_does_not(form: dict[str, str] | None) -> None:
    request = signed_v1({"Action": "ExecContainerCommand", "Command": '["ls"]', "SignatureType": ""}, form)
    assert code(request, now=V1_TIME) == "ok"
    assert (
        code(attrs.evolve(request, query=request.query.replace("ls", "lt")), now=V1_TIME) == "SignatureDoesNotMatch"
    )
    if form:
        changed = request.body.replace(b"k", b"l", 1)
        assert code(attrs.evolve(request, body=changed), now=V1_TIME) == "SignatureDoesNotMatch"


def test_the_v1_text_is_the_documents_own_example() -> None:
    # The example of the public document "RPC request structure and signature", DescribeDedicatedHosts.
    query = (
        "SignatureVersion=1.0&Format=XML&Timestamp=2019-09-09T02%3A21%3A43Z&AccessKeyId=testid"
        "&SignatureMethod=HMAC-SHA1&Version=2014-05-26&Action=DescribeDedicatedHosts&Signature=x"
    )
    request = Request(method="GET", path="/", query=query, headers={})
    assert string_to_sign_v1(request) == (
        "GET&%2F&AccessKeyId%3Dtestid%26Action%3DDescribeDedicatedHosts%26Format%3DXML%26SignatureMethod%3DHMAC-SHA1"
        "%26SignatureVersion%3D1.0%26Timestamp%3D2019-09-09T02%253A21%253A43Z%26Version%3D2014-05-26"
    )


def test_a_missing_part_of_a_signature_is_named() -> None:
    bare = Request(method="GET", path="/", query="AccessKeyId=a&Signature=b&Timestamp=c", headers={})
    assert code(bare, now=0.0) == "MissingSignatureNonce"
    half = attrs.evolve(bare, headers={"authorization": "ACS3-HMAC-SHA256 Credential=a"})
    assert code(half, now=0.0) == "IncompleteSignature"


@pytest.mark.parametrize("query", ["%ff=%fe", "\udcff=1", "=&&=%", "a=b=c"])
def test_a_query_of_any_bytes_is_refused_and_no_more(captured: list[Request], query: str) -> None:
    assert code(attrs.evolve(captured[0], query=query)) == "SignatureDoesNotMatch"


def test_a_nonce_is_good_once_within_the_window() -> None:
    nonces = Nonces()
    nonces.use("a", "1", now=0.0)
    nonces.use("b", "1", now=0.0)
    with pytest.raises(ApiError, match="SignatureNonceUsed"):
        nonces.use("a", "1", now=899.0)
    nonces.use("a", "1", now=1801.0)
