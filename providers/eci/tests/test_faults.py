"""What the SDK raises, in sandboxkit's errors; and nothing of what was sent in any of them."""

from __future__ import annotations

import secrets
import traceback
from typing import Any

import pytest
from alibabacloud_tea_openapi.exceptions import ClientException, ServerException, ThrottlingException
from sandboxkit_eci.api import Api
from sandboxkit_eci.emulator.testing import emulator
from sandboxkit_eci.faults import CREATE, Answer, cause_of, error_of, kind_of, never_arrived, read, translated
from sandboxkit_eci.settings import connect_options
from Tea.exceptions import RetryError, TeaException
from Tea.exceptions import UnretryableException as OldUnretryable

import sandboxkit
from sandboxkit.worlds import BlockingWorld

from .asking import no_proxy

__all__ = ["no_proxy"]

BODY = {"RequestId": "REQ-1", "HostId": "eci.cn-hangzhou.aliyuncs.com", "Message": "the message"}


def new(code: str, status: int, kind: type = ClientException, **more: Any) -> Exception:
    """As tea-openapi 0.4 raises it."""
    message = f"code: {status}, the message request id: REQ-1"
    return kind(code=code, message=message, status_code=status, data={**BODY, "Code": code}, **more)  # type: ignore[no-any-return]


def old(code: str, status: int) -> Exception:
    """As tea-openapi 0.3 raises it."""
    data = {**BODY, "Code": code, "statusCode": status}
    return TeaException({"code": code, "message": f"code: {status}, the message", "data": data})  # type: ignore[no-any-return]


@pytest.mark.parametrize("make", [new, old])
@pytest.mark.parametrize(
    ("code", "status", "action", "kind"),
    [
        ("InvalidAccessKeyId.NotFound", 404, "", sandboxkit.AuthenticationFailed),
        ("SignatureDoesNotMatch", 400, "", sandboxkit.AuthenticationFailed),
        ("InvalidSecurityToken.Expired", 403, "", sandboxkit.AuthenticationFailed),
        ("Forbidden.SubUser", 403, CREATE, sandboxkit.AuthenticationFailed),
        ("Throttling.User", 400, "", sandboxkit.Throttled),
        ("Throttling", 503, CREATE, sandboxkit.Throttled),
        ("Throttling.Vcpu.PerDay", 403, CREATE, sandboxkit.QuotaExceeded),
        ("QuotaExceeded", 403, CREATE, sandboxkit.QuotaExceeded),
        ("Account.Arrearage", 400, CREATE, sandboxkit.QuotaExceeded),
        ("InvalidParameter.ValueExceeded", 400, CREATE, sandboxkit.QuotaExceeded),
        ("InvalidParameter.ValueExceeded", 400, "ExecContainerCommand", sandboxkit.ProviderError),
        ("OperationDenied.NoStock", 403, CREATE, sandboxkit.NoCapacity),
        ("InvalidVSwitchId.IpNotEnough", 403, CREATE, sandboxkit.NoCapacity),
        ("Spot.NotMatched", 403, CREATE, sandboxkit.NoCapacity),
        ("OperationDenied.VswZoneMisMatch", 403, CREATE, sandboxkit.InvalidSpec),
        ("InvalidParameter.CPU.Memory", 400, CREATE, sandboxkit.InvalidSpec),
        ("ImageSnapshot.NotFound", 404, CREATE, sandboxkit.ImageNotFound),
        ("IdempotentParameterMismatch", 400, CREATE, sandboxkit.IdempotencyConflict),
        ("InvalidParameter.NotFound", 404, "ExecContainerCommand", sandboxkit.SandboxNotFound),
        ("InvalidContainerGroupId.NotFound", 400, "DeleteContainerGroup", sandboxkit.SandboxNotFound),
        ("InvalidApi.NotFound", 404, "ExecContainerCommand", sandboxkit.ProviderError),
        ("InvalidRegionId.NotFound", 404, "DeleteContainerGroup", sandboxkit.ProviderError),
        ("InvalidResourceGroup.NotFound", 404, "DeleteContainerGroup", sandboxkit.ProviderError),
        ("InvalidSecurityGroupId.NotFound", 404, "RestartContainerGroup", sandboxkit.ProviderError),
        ("InvalidSomething.NotFound", 404, "DescribeContainerGroups", sandboxkit.ProviderError),
        ("IncorrectStatus", 400, "ExecContainerCommand", sandboxkit.SandboxNotRunning),
        ("InternalError", 500, "", sandboxkit.ProviderUnavailable),
        ("ServiceUnavailable", 503, "", sandboxkit.ProviderUnavailable),
        ("Something.New", 502, "", sandboxkit.ProviderUnavailable),
        ("Something.New", 400, "", sandboxkit.ProviderError),
        ("Something.New", 429, "", sandboxkit.Throttled),
        ("RequestTimeout", 408, CREATE, sandboxkit.ProviderUnavailable),
        ("Something.New", 499, "", sandboxkit.ProviderUnavailable),
    ],
)
def test_a_code_is_an_error_of_its_type(make: Any, code: str, status: int, action: str, kind: type) -> None:
    error = translated(make(code, status), "doing something", action=action)
    assert type(error) is kind
    assert (error.provider_code, error.request_id) == (code, "REQ-1")
    assert "doing something" in str(error)
    assert "the message" in str(error)


def test_the_time_to_wait_is_the_headers() -> None:
    error = translated(new("Throttling.User", 429, ThrottlingException, retry_after=1500), "asking")
    assert isinstance(error, sandboxkit.Throttled)
    assert error.retry_after == 1.5


URL = "/?Command=%5B%22hunter2%22%5D&Container.1.EnvironmentVar.1.Value=hunter2"


@pytest.mark.parametrize(
    ("text", "kind", "sent"),
    [
        (f"Max retries exceeded with url: {URL} (Caused by NewConnectionError('x'))", "unavailable", False),
        (f"Max retries exceeded with url: {URL} (Caused by NameResolutionError('x'))", "unavailable", False),
        (
            f"Max retries exceeded with url: {URL} (Caused by SSLError(CERTIFICATE_VERIFY_FAILED))",
            "unavailable",
            False,
        ),
        (f"HTTPConnectionPool: Read timed out. {URL}", "deadline", True),
        (f"('Connection aborted.', RemoteDisconnected('x')) {URL}", "unavailable", True),
        (f'Failed to parse the value as json format, Value: "<html>{URL}</html>".', "unavailable", True),
    ],
)
def test_a_call_without_an_answer_tells_nothing_of_itself(text: str, kind: str, sent: bool) -> None:
    failed = OldUnretryable(None, RetryError(text))
    error = translated(failed, "starting a command")
    assert isinstance(error, sandboxkit.DeadlineExceeded if kind == "deadline" else sandboxkit.ProviderUnavailable)
    assert read(failed).sent is sent
    for place in (str(error), repr(error), str(cause_of(failed)), repr(cause_of(failed)), repr(read(failed))):
        assert "hunter2" not in place
        assert "url" not in place.lower()


@pytest.mark.parametrize("wrapped", [True, False])
@pytest.mark.parametrize(
    ("failed", "sent"),
    [
        (TypeError("hunter2"), True),
        (AttributeError("'hunter2' object has no attribute 'get'"), True),
        (UnicodeEncodeError("utf-8", "hunter2\udcff", 7, 8, "surrogates not allowed"), False),
    ],
)
def test_a_failure_of_the_sdk_itself_is_no_lost_connection(failed: Exception, sent: bool, wrapped: bool) -> None:
    failed = OldUnretryable(None, failed) if wrapped else failed
    error = translated(failed, "creating the sandbox")
    error.__cause__ = cause_of(failed)
    assert type(error) is sandboxkit.ProviderError
    assert not error.retryable
    assert never_arrived(error) is not sent
    assert "hunter2" not in str(error) + repr(error) + repr(cause_of(failed)) + repr(read(failed))


def test_what_the_sdk_cannot_take_is_refused_and_not_sent() -> None:
    with emulator("none") as eci:
        api = Api(BlockingWorld(), connect_options(eci.options, {}))
        asking = api.ask(CREATE, "creating the sandbox", {"Volume": "hunter2"}, until=api.world.now() + 5)
        with pytest.raises(sandboxkit.InvalidSpec, match="creating the sandbox: ") as caught:
            asking.send(None)
        assert never_arrived(caught.value)
        assert "hunter2" not in "".join(traceback.format_exception(caught.value))
        assert not eci.requests


NAME = "the host's name could not be resolved"
ADVICE = "check endpoint (ECI_SANDBOX_ENDPOINT), region_id (ECI_SANDBOX_REGION_ID) and any proxy"


@pytest.mark.parametrize(
    ("caused", "reason"),
    [
        ("NameResolutionError('Failed to resolve \\'foo\\' ([Errno -2] Name or service not known)')", NAME),
        ("NewConnectionError('Failed to establish a new connection: [Errno -2] Name or service not known')", NAME),
        (
            "NewConnectionError('Failed to establish a new connection: [Errno 111] Connection refused')",
            "the connection was refused",
        ),
        (
            "ConnectTimeoutError('Connection to foo timed out. (connect timeout=5)')",
            "no connection came about in time",
        ),
        (
            "NewConnectionError('Failed to establish a new connection: [Errno 101] Network is unreachable')",
            "the connection could not be made",
        ),
        (
            "SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED]'))",
            "its certificate is not trusted",
        ),
        ("SSLError(SSLError(1, '[SSL: WRONG_VERSION_NUMBER] wrong version number'))", "TLS failed"),
        (
            "ProxyError('Unable to connect to proxy', NameResolutionError('Failed to resolve'))",
            "the proxy: the host's name could not be resolved",
        ),
        (
            "ProxyError('Unable to connect to proxy', NewConnectionError('[Errno 111] Connection refused'))",
            "the proxy: the connection was refused",
        ),
        (
            "ProxyError('Unable to connect to proxy', TimeoutError('timed out'))",
            "the proxy: no connection came about in time",
        ),
        (
            "ProxyError('Unable to connect to proxy', OSError('Tunnel connection failed: 407 no'))",
            "the proxy refused",
        ),
    ],
)
# What a command is does not change what is told of the connection, however it is spelt.
@pytest.mark.parametrize("command", ["hunter2", "hunter2+SSLError+ProxyError+timed out+Connection refused"])
def test_where_the_service_was_not_reached_the_error_says_where_why_and_what_to_check(
    caused: str, reason: str, command: str
) -> None:
    pool = "HTTPSConnectionPool(host='foo', port=443)"
    text = f"{pool}: Max retries exceeded with url: /?a={command} (Caused by {caused})"
    failed = OldUnretryable(None, RetryError(text))
    error = translated(failed, "asking", endpoint="https://foo")
    advice = f"{ADVICE}, and ca_file" if "SSL" in caused else ADVICE
    assert str(error) == f"asking: the ECI service at https://foo cannot be reached: {reason}; {advice}"
    assert not read(failed).sent
    assert "hunter2" not in str(error) + repr(error) + repr(cause_of(failed)) + repr(read(failed))


def test_what_the_service_quotes_is_taken_out() -> None:
    canonical = "server StringToSign is [ACS3-HMAC-SHA256\nabc] server CanonicalRequest is [POST\n/\nhunter2]"
    error = error_of(Answer(code="SignatureDoesNotMatch", message=f"no match. {canonical}", status=400), "asking")
    assert "hunter2" not in str(error)
    said = error_of(Answer(code="X", message="the value hunter2 is bad", status=400), "asking", secrets=("hunter2",))
    assert "hunter2" not in str(said)


def test_a_refusal_had_no_effect_and_a_lost_reply_may_have() -> None:
    for failed, arrived in (
        (new("IncorrectStatus", 400), False),
        (new("InternalError", 500, ServerException), True),
        (new("RequestTimeout", 408), True),
        (new("Something.New", 499), True),
        (OldUnretryable(None, RetryError("Failed to establish a new connection")), False),
        (OldUnretryable(None, RetryError("Read timed out")), True),
    ):
        error = translated(failed, "creating")
        error.__cause__ = cause_of(failed)
        assert never_arrived(error) is not arrived


def test_every_class_of_error_is_known_without_a_code() -> None:
    assert kind_of(Answer(status=403)) is sandboxkit.AuthenticationFailed
    assert kind_of(Answer(status=500)) is sandboxkit.ProviderUnavailable


SECRET = secrets.token_hex(8)


async def _exec(api: Api) -> None:
    await api.exec("eci-1", "main", ["echo", SECRET], tty=False, until=api.world.now() + 5, undo=str)


def test_an_unreachable_service_leaks_nothing_through_the_chain_of_causes() -> None:
    options = {
        "region_id": "cn-hangzhou",
        "access_key_id": f"LTAI{SECRET}",
        "access_key_secret": f"secret-{SECRET}",
        "endpoint": "http://127.0.0.1:1",
    }
    api = Api(BlockingWorld(), connect_options(options, {}))
    with pytest.raises(sandboxkit.ProviderUnavailable) as caught:
        _exec(api).send(None)
    seen = "".join(traceback.format_exception(caught.value))
    error: BaseException | None = caught.value
    while error is not None:
        seen += repr(error) + str(error) + repr(error.__dict__)
        assert error.__context__ is None or error.__context__ is error.__cause__
        error = error.__cause__
    assert "the ECI service at http://127.0.0.1:1 cannot be reached: the connection was refused; check" in seen
    assert SECRET not in seen


@pytest.mark.usefixtures("no_proxy")
@pytest.mark.parametrize("endpoint", ["nosuch.invalid", "https://nosuch.invalid:8460/"])
def test_a_host_that_does_not_exist_is_named(endpoint: str) -> None:
    options = {"region_id": "cn-hangzhou", "access_key_id": "a", "access_key_secret": SECRET, "endpoint": endpoint}
    api = Api(BlockingWorld(), connect_options(options, {}))
    with pytest.raises(sandboxkit.ProviderUnavailable, match=f"at https://nosuch.invalid.* {NAME}; check endpoint"):
        _exec(api).send(None)


def test_a_server_without_tls_and_a_proxy_that_is_not_there_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "")
    options = {"region_id": "cn-hangzhou", "access_key_id": "a", "access_key_secret": SECRET}
    proxied = {**options, "https_proxy": f"http://user:{SECRET}@127.0.0.1:1", "endpoint": "https://eci.invalid"}
    api = Api(BlockingWorld(), connect_options(proxied, {}))
    with pytest.raises(sandboxkit.ProviderUnavailable, match=r"at https://eci\.invalid .* the proxy: ") as caught:
        _exec(api).send(None)
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    with emulator("none") as eci:
        plain = {**options, "endpoint": eci.endpoint.replace("http:", "https:")}
        api = Api(BlockingWorld(), connect_options(plain, {}))
        with pytest.raises(sandboxkit.ProviderUnavailable, match="TLS failed"):
            _exec(api).send(None)
