"""What goes wrong with the API, in sandboxkit's errors; pure.

The SDK's exceptions hold the URL of the call, and with it commands, environment values and registry passwords. None
of it goes on: the cause of an error is a :class:`ApiFault` made of the service's code, status and request id only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import attrs
from darabonba.exceptions import RetryError  # type: ignore[import-untyped]
from Tea.exceptions import RetryError as OldRetryError  # type: ignore[import-untyped]
from Tea.exceptions import TeaException, UnretryableException
from urllib3.exceptions import HTTPError

from sandboxkit.errors import (
    AuthenticationFailed,
    DeadlineExceeded,
    IdempotencyConflict,
    ImageNotFound,
    InvalidSpec,
    NoCapacity,
    ProviderError,
    ProviderUnavailable,
    QuotaExceeded,
    SandboxError,
    SandboxNotFound,
    SandboxNotRunning,
    Throttled,
)


@attrs.frozen(kw_only=True)
class Answer:
    """A refusal as read from any of the SDK's exceptions; ``status`` 0 where no answer came.

    ``sent`` is ``False`` where the request certainly did not reach the service. ``broken``: the SDK itself failed.
    """

    code: str = ""
    message: str = ""
    status: int = 0
    request_id: str | None = None
    retry_after: float | None = None
    sent: bool = True
    timed_out: bool = False
    broken: bool = False


class ApiFault(Exception):
    """What the service or the connection to it said, without what was sent."""

    def __init__(self, text: str, answer: Answer) -> None:
        super().__init__(text)
        self.answer = answer


CREATE = "CreateContainerGroup"

GAVE_UP = (408, 499)
"""What a gateway answers when it stops waiting: the service behind it may have the request all the same."""

# Which of sandboxkit's errors a code means; the longest beginning that matches counts.
_KINDS: Mapping[str, type[SandboxError]] = {
    "InvalidAccessKeyId": AuthenticationFailed,
    "InvalidCredentials": AuthenticationFailed,
    "InvalidSecurityToken": AuthenticationFailed,
    "MissingSecurityToken": AuthenticationFailed,
    "SignatureDoesNotMatch": AuthenticationFailed,
    "SignatureNonceUsed": ProviderUnavailable,
    "IncompleteSignature": AuthenticationFailed,
    "InvalidTimeStamp": AuthenticationFailed,
    "Forbidden": AuthenticationFailed,
    "NoPermission": AuthenticationFailed,
    "Unauthorized": AuthenticationFailed,
    "ServiceNotEnabled": AuthenticationFailed,
    "FeatureAccessRestricted": AuthenticationFailed,
    "InvalidUser.PassRoleForbidden": AuthenticationFailed,
    "CreateServiceLinkedRole.Denied": AuthenticationFailed,
    "Throttling": Throttled,
    "Throttling.Vcpu.PerDay": QuotaExceeded,
    "EipPurchaseFlowControl": Throttled,
    "QuotaExceeded": QuotaExceeded,
    "DiskNumber.LimitExceed": QuotaExceeded,
    "Account.Arrearage": QuotaExceeded,
    "InsufficientBalance": QuotaExceeded,
    "InvalidPaymentMethod": QuotaExceeded,
    "Payfor.CreditPayInsufficientBalance": QuotaExceeded,
    "EipPayInsufficientBalance": QuotaExceeded,
    "OperationDenied.NoStock": NoCapacity,
    "NoStock": NoCapacity,
    "StockExhaust": NoCapacity,
    "Zone.NotOnSale": NoCapacity,
    "Spot.NotMatched": NoCapacity,
    "RecommendEmpty": NoCapacity,
    "InvalidVSwitchId.IpNotEnough": NoCapacity,
    "ImageSnapshot.NotFound": ImageNotFound,
    "ImageSnapshot": InvalidSpec,
    "containerRepositoryAuthorizationFailed": ImageNotFound,
    "IdempotentParameterMismatch": IdempotencyConflict,
    "InternalError": ProviderUnavailable,
    "ServiceUnavailable": ProviderUnavailable,
    "Degrade.Api": ProviderUnavailable,
    "UnknownError": ProviderUnavailable,
    "OperationConflict": ProviderUnavailable,
    "InvalidApi": ProviderError,
    "InvalidAction": ProviderError,
    "InvalidVersion": ProviderError,
    "UnsupportedHTTPMethod": ProviderError,
    "RegionDissolved": InvalidSpec,
    "OperationDenied": InvalidSpec,
}

# What to do about a refused key, by the beginning of the code.
_ADVICE: Mapping[str, str] = {
    "InvalidAccessKeyId": "check access_key_id (ECI_SANDBOX_ACCESS_KEY_ID, ALIBABA_CLOUD_ACCESS_KEY_ID)",
    "SignatureDoesNotMatch": "check access_key_secret (ECI_SANDBOX_ACCESS_KEY_SECRET, "
    "ALIBABA_CLOUD_ACCESS_KEY_SECRET)",
    "IncompleteSignature": "check access_key_id and access_key_secret",
    "InvalidSecurityToken": "give a security_token that is still good (ECI_SANDBOX_SECURITY_TOKEN, "
    "ALIBABA_CLOUD_SECURITY_TOKEN) with the key that it was issued for",
    "MissingSecurityToken": "give the security_token that belongs to this key (ECI_SANDBOX_SECURITY_TOKEN, "
    "ALIBABA_CLOUD_SECURITY_TOKEN)",
    "InvalidTimeStamp": "check this machine's clock",
}

_RUNNING_STATES = ("IncorrectStatus", "InvalidContainerGroup.Status")
_NOT_OUR_IDS = (
    "InvalidAccessKeyId",
    "InvalidAction",
    "InvalidApi",
    "ImageSnapshot",
    "InvalidDiskId",
    "InvalidEip",
    "InvalidImage",
    "InvalidRamRole",
    "InvalidRegion",
    "InvalidResourceGroup",
    "InvalidSecurityGroup",
    "InvalidUser",
    "InvalidVSwitch",
    "InvalidVpc",
    "InvalidZone",
)
# These name no sandbox, or leave out one that is not there: what they do not find is something else.
_OF_NO_SANDBOX = (CREATE, "DescribeContainerGroups", "DescribeContainerGroupStatus")


def translated(
    exc: Exception, doing: str, *, action: str = "", secrets: tuple[str, ...] = (), endpoint: str = ""
) -> SandboxError:
    """Give the error for an exception of the SDK's; raise it ``from`` :func:`cause_of` the same.

    ``endpoint`` is where the service was looked for, without anything secret.
    """
    return error_of(read(exc), doing, action=action, secrets=secrets, endpoint=endpoint)


def cause_of(exc: Exception) -> ApiFault:
    """Give what may be shown of an exception: never the request."""
    answer = read(exc)
    if answer.status or answer.code:
        text = f"HTTP {answer.status} {answer.code} (request {answer.request_id or 'unknown'})"
        return ApiFault(text, attrs.evolve(answer, message=""))
    return ApiFault(answer.message or "no answer", answer)


def never_arrived(error: BaseException) -> bool:
    """Whether the request behind an error certainly had no effect: it was refused, or never reached the service."""
    fault = error.__cause__
    if not isinstance(fault, ApiFault):
        return False
    status = fault.answer.status
    return not fault.answer.sent or (400 <= status < 500 and status not in GAVE_UP)


def read(exc: Exception) -> Answer:
    """Take an exception of the SDK's apart, whichever of its versions raised it."""
    data = getattr(exc, "data", None)
    body: Mapping[str, Any] = data if isinstance(data, Mapping) else {}
    status = getattr(exc, "statusCode", None) or getattr(exc, "status_code", None) or body.get("statusCode") or 0
    code = getattr(exc, "code", None)
    if isinstance(exc, TeaException) and (status or code):
        after = getattr(exc, "retry_after", None)
        return Answer(
            code=str(code or body.get("Code") or ""),
            message=str(body.get("Message") or ""),
            status=int(status) if str(status).isdigit() else 0,
            request_id=body.get("RequestId") or getattr(exc, "request_id", None),
            # The SDK gives the header's milliseconds.
            retry_after=after / 1000 if isinstance(after, int | float) and after > 0 else None,
        )
    inner = getattr(exc, "inner_exception", None) or exc
    if not isinstance(inner, _NETWORK) and _NO_JSON not in str(inner):
        # Its text may quote the request. Only what encodes comes surely before the sending.
        kind = type(inner).__name__
        return Answer(message=f"the SDK failed: {kind}", sent=not isinstance(inner, UnicodeEncodeError), broken=True)
    return _without_answer(str(getattr(inner, "message", "") or inner))


# What the SDK lets through of a failed connection; all else comes of what it was given, or of what it was answered.
_NETWORK = (OSError, HTTPError, RetryError, OldRetryError, UnretryableException)
_NO_JSON = "Failed to parse the value as json"

_UNTRUSTED = "its certificate is not trusted"
_NO_TLS = "TLS failed"
_TOO_SLOW = "no connection came about in time"

# What a failed connection says of itself; the first that is found counts. urllib3 wraps these in each other.
_REASONS = (
    (
        "NameResolutionError|Failed to resolve|Name or service|in name resolution",
        "the host's name could not be resolved",
    ),
    ("Connection refused", "the connection was refused"),
    ("ConnectTimeout", _TOO_SLOW),
    ("NewConnectionError|Failed to establish", "the connection could not be made"),
    ("CERTIFICATE_VERIFY_FAILED|SSLCertVerification", _UNTRUSTED),
    ("SSLError", _NO_TLS),
)


def _without_answer(text: str) -> Answer:
    """Tell how a call without an answer failed; the text itself has the URL in it and is dropped."""
    if _NO_JSON in text:
        return Answer(code="", message="the answer is no JSON: is a proxy in between?", status=502)
    # After the URL, whose words are the command's; there is no such blank in a URL.
    said = text.rpartition("(Caused by ")[2]
    reason = next((words for pattern, words in _REASONS if re.search(pattern, said)), None)
    if "ProxyError" in said:
        if reason is None and "timed out" in said:
            reason = _TOO_SLOW
        return Answer(message=f"the proxy: {reason}" if reason else "the proxy refused", sent=False)
    if reason:
        return Answer(message=reason, sent=False)
    if re.search("[Tt]imed out|ReadTimeout", said):
        return Answer(message="no answer in time", timed_out=True)
    return Answer(message="the connection was dropped")


def _unreached(answer: Answer, doing: str, endpoint: str) -> SandboxError:
    """Give the error for a call without an answer."""
    if answer.timed_out:
        return DeadlineExceeded(f"{doing}: the ECI service gave no answer in time")
    if answer.broken:
        return ProviderError(f"{doing}: {answer.message}")
    where = f" at {endpoint}" if endpoint else ""
    said = f"{doing}: the ECI service{where} cannot be reached: {answer.message}"
    if not answer.sent:
        said += "; check endpoint (ECI_SANDBOX_ENDPOINT), region_id (ECI_SANDBOX_REGION_ID) and any proxy"
        said += ", and ca_file" if answer.message in (_UNTRUSTED, _NO_TLS) else ""
    return ProviderUnavailable(said)


def error_of(
    answer: Answer, doing: str, *, action: str = "", secrets: tuple[str, ...] = (), endpoint: str = ""
) -> SandboxError:
    """Give sandboxkit's error for a refusal, or for a call of ``endpoint`` without an answer."""
    if not answer.status and not answer.code:
        return _unreached(answer, doing, endpoint)
    words = redacted(answer.message, secrets)
    said = f"{doing}: ECI answered {answer.code or answer.status}" + (f": {words}" if words else "")
    kind = kind_of(answer, action)
    if kind is AuthenticationFailed:
        advice = next((told for prefix, told in _ADVICE.items() if answer.code.startswith(prefix)), None)
        said = f"{said.rstrip('.')}; {advice}" if advice else said
    if issubclass(kind, ProviderError):
        return kind(said, provider_code=answer.code, request_id=answer.request_id, retry_after=answer.retry_after)
    if issubclass(kind, SandboxNotRunning):
        error: SandboxError = SandboxNotRunning(said, status="unknown")
        error.provider_code, error.request_id = answer.code, answer.request_id
        return error
    return kind(said, provider_code=answer.code, request_id=answer.request_id)


def kind_of(answer: Answer, action: str = "") -> type[SandboxError]:
    """Say which of sandboxkit's errors a refusal is."""
    code = answer.code
    if code.startswith(_RUNNING_STATES) and action != CREATE:
        return SandboxNotRunning
    if code.endswith(".NotFound") and not code.startswith(_NOT_OUR_IDS) and action not in _OF_NO_SANDBOX:
        return SandboxNotFound
    if code == "InvalidParameter.ValueExceeded" and action == CREATE:
        return QuotaExceeded  # "vCPU max is 600": the service's word for a quota
    found = [prefix for prefix in _KINDS if code == prefix or code.startswith(prefix + ".")]
    if found:
        return _KINDS[max(found, key=len)]
    if answer.status == 429:
        return Throttled
    if answer.status >= 500 or answer.status in GAVE_UP:
        return ProviderUnavailable
    if answer.status in (401, 403):
        return AuthenticationFailed
    if action == CREATE and answer.status == 400:
        return InvalidSpec
    return ProviderError


_LONG = re.compile(
    r"https?://\S+|(?:server )?(?:StringToSign|string to sign|CanonicalRequest)\b.*", re.IGNORECASE | re.S
)


def redacted(message: str, secrets: tuple[str, ...] = ()) -> str:
    """Take out of the service's words what they may quote of the request, and keep them short."""
    text = _LONG.sub("[removed]", message)
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= 4:
            text = text.replace(secret, "[removed]")
    return " ".join(text.split())[:400]
