"""What the SDK raises, in sandboxkit's errors; and nothing of what was sent in any of them."""

from __future__ import annotations

import secrets
import traceback
from typing import Any

import pytest
from alibabacloud_tea_openapi.exceptions import ClientException, ServerException, ThrottlingException
from sandboxkit_eci.api import Api
from sandboxkit_eci.faults import CREATE, Answer, cause_of, error_of, kind_of, never_arrived, read, translated
from sandboxkit_eci.settings import connect_options
from Tea.exceptions import TeaException
from Tea.exceptions import UnretryableException as OldUnretryable

import sandboxkit
from sandboxkit.worlds import BlockingWorld

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
        ("IncorrectStatus", 400, "ExecContainerCommand", sandboxkit.SandboxNotRunning),
        ("InternalError", 500, "", sandboxkit.ProviderUnavailable),
        ("ServiceUnavailable", 503, "", sandboxkit.ProviderUnavailable),
        ("Something.New", 502, "", sandboxkit.ProviderUnavailable),
        ("Something.New", 400, "", sandboxkit.ProviderError),
        ("Something.New", 429, "", sandboxkit.Throttled),
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
    failed = OldUnretryable(None, RuntimeError(text))
    error = translated(failed, "starting a command")
    assert isinstance(error, sandboxkit.DeadlineExceeded if kind == "deadline" else sandboxkit.ProviderUnavailable)
    assert read(failed).sent is sent
    for place in (str(error), repr(error), str(cause_of(failed)), repr(cause_of(failed)), repr(read(failed))):
        assert "hunter2" not in place
        assert "url" not in place.lower()


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
        (OldUnretryable(None, RuntimeError("Failed to establish a new connection")), False),
        (OldUnretryable(None, RuntimeError("Read timed out")), True),
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
    assert "cannot be reached" in seen
    assert SECRET not in seen
