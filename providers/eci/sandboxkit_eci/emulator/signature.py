"""Whether a request is signed by a known key: ACS3-HMAC-SHA256, and the older V1 HMAC-SHA1.

Pure functions over what came in. The rules are those of the public documents "V3 request structure and signature" and
"V2 RPC request structure" (the older one is version "1.0" on the wire, and called V1 here).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from urllib.parse import parse_qsl, quote

import attrs

from sandboxkit_eci.emulator.errors import ApiError, missing

V3 = "ACS3-HMAC-SHA256"
EXPIRED_TOKEN = "InvalidSecurityToken.Expired"
MAX_SKEW = 900.0
"""Seconds by which a request's time may differ from the server's."""


@attrs.frozen(kw_only=True)
class Key:
    """An access key. One with a ``token`` is temporary, and ends at ``expires`` (seconds since the epoch)."""

    id: str
    secret: str = attrs.field(repr=False)
    token: str | None = attrs.field(default=None, repr=False)
    expires: float | None = None
    enabled: bool = True
    account: str = "account"


@attrs.frozen(kw_only=True)
class Request:
    """A request as it came: ``query`` is raw; the names of ``headers`` are lower-case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes = b""

    def query_parameters(self) -> list[tuple[str, str]]:
        """Give the query, decoded."""
        return _pairs(self.query)

    def form_parameters(self) -> list[tuple[str, str]]:
        """Give the body's form, decoded; nothing if the body is no form."""
        if not self.headers.get("content-type", "").lower().startswith("application/x-www-form-urlencoded"):
            return []
        return _pairs(self.body.decode("utf-8", "replace"))


@attrs.frozen(kw_only=True)
class Claim:
    """What a signed request says of itself: who signed it, when, and which of the two ways."""

    key_id: str
    signature: str
    time: str
    nonce: str
    token: str
    signed_headers: tuple[str, ...] = ()
    v3: bool = True


def authenticate(request: Request, keys: Mapping[str, Key], *, now: float) -> tuple[Key, Claim]:
    """Give the key that signed this and what it claims, or raise what the gateway answers."""
    claim = read_claim(request)
    key = keys.get(claim.key_id)
    if key is None:
        raise ApiError(404, "InvalidAccessKeyId.NotFound", "Specified access key is not found.")
    if not key.enabled:
        raise ApiError(400, "InvalidAccessKeyId.Inactive", "Specified access key is disabled.")
    _check_token(key, claim, now)
    _check_time(claim.time, now)
    _check_v3(request, claim, key) if claim.v3 else _check_v1(request, claim, key)
    return key, claim


def read_claim(request: Request) -> Claim:
    """Find out how a request is signed."""
    authorization = request.headers.get("authorization", "")
    if authorization:
        return _v3_claim(request, authorization)
    given = dict(request.query_parameters() + request.form_parameters())
    for name in ("AccessKeyId", "Signature", "Timestamp", "SignatureNonce"):
        if not given.get(name):
            raise missing(name)
    if given.get("SignatureMethod", "HMAC-SHA1") != "HMAC-SHA1":
        raise ApiError(400, "InvalidSignatureMethod", "Specified parameter SignatureMethod is not valid.")
    return Claim(
        key_id=given["AccessKeyId"],
        signature=given["Signature"],
        time=given["Timestamp"],
        nonce=given["SignatureNonce"],
        token=given.get("SecurityToken", ""),
        v3=False,
    )


def canonical_request(request: Request, signed_headers: Iterable[str]) -> str:
    """Give the text whose digest a V3 signature covers."""
    names = list(signed_headers)
    # Decoded and encoded again: clients send "+", "%20", and "/" or "%2F", and sign one form of them.
    pairs = sorted(request.query_parameters())
    query = "&".join(f"{_encoded(name)}={_encoded(value)}" for name, value in pairs)
    lines = "".join(f"{name}:{request.headers.get(name, '').strip()}\n" for name in names)
    digest = request.headers.get("x-acs-content-sha256", "")
    return "\n".join((request.method, request.path or "/", query, lines, ";".join(names), digest))


def string_to_sign_v1(request: Request) -> str:
    """Give the text that a V1 signature covers."""
    pairs = request.query_parameters() + request.form_parameters()
    query = "&".join(f"{_encoded(k)}={_encoded(v)}" for k, v in sorted(pairs) if k != "Signature")
    return f"{request.method}&{_encoded('/')}&{_encoded(query)}"


def _v3_claim(request: Request, authorization: str) -> Claim:
    scheme, _, rest = authorization.partition(" ")
    fields: dict[str, str] = {}
    for part in rest.split(","):
        name, _, value = part.strip().partition("=")
        fields[name] = value
    if scheme != V3 or not {"Credential", "SignedHeaders", "Signature"} <= fields.keys():
        raise ApiError(400, "IncompleteSignature", "The request signature does not conform to the standards.")
    headers = request.headers
    return Claim(
        key_id=fields["Credential"],
        signature=fields["Signature"],
        time=headers.get("x-acs-date", ""),
        nonce=headers.get("x-acs-signature-nonce", ""),
        token=headers.get("x-acs-security-token", ""),
        signed_headers=tuple(fields["SignedHeaders"].split(";")),
    )


def _check_v3(request: Request, claim: Claim, key: Key) -> None:
    needed = {"host", *(name for name in request.headers if name.startswith("x-acs-"))}
    if not needed <= set(claim.signed_headers):
        raise ApiError(400, "IncompleteSignature", "host and every x-acs- header must be among the SignedHeaders.")
    canonical = canonical_request(request, claim.signed_headers)
    to_sign = f"{V3}\n{hashlib.sha256(_bytes(canonical)).hexdigest()}"
    expected = hmac.new(key.secret.encode(), to_sign.encode(), hashlib.sha256).hexdigest()
    same_body = _same(hashlib.sha256(request.body).hexdigest(), request.headers.get("x-acs-content-sha256", ""))
    if not _same(expected, claim.signature) or not same_body:
        words = "Specified signature does not match our calculation."
        # As the service does, the answer holds what was signed: that is how a client's author finds the difference.
        raise ApiError(
            400,
            "SignatureDoesNotMatch",
            f"{words} server StringToSign is [{to_sign}] server CanonicalRequest is [{_text(canonical)}]",
        )


def _check_v1(request: Request, claim: Claim, key: Key) -> None:
    to_sign = string_to_sign_v1(request)
    digest = hmac.new((key.secret + "&").encode(), _bytes(to_sign), hashlib.sha1).digest()
    if not _same(base64.b64encode(digest).decode(), claim.signature):
        words = "Specified signature is not matched with our calculation."
        raise ApiError(400, "SignatureDoesNotMatch", f"{words} server string to sign is:{_text(to_sign)}")


def _check_token(key: Key, claim: Claim, now: float) -> None:
    if (key.token or "") != claim.token:
        raise ApiError(400, "InvalidSecurityToken.Malformed", "Specified SecurityToken is malformed.")
    if key.expires is not None and key.expires <= now:
        raise ApiError(403, EXPIRED_TOKEN, "Specified SecurityToken is expired.")


def _check_time(text: str, now: float) -> None:
    try:
        then = datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        words = "Specified time stamp or date value is not well formatted."
        raise ApiError(400, "InvalidTimeStamp.Format", words) from None
    if abs(now - then) > MAX_SKEW:
        raise ApiError(400, "InvalidTimeStamp.Expired", "Specified time stamp or date value is expired.")


def _pairs(text: str) -> list[tuple[str, str]]:
    return parse_qsl(text, keep_blank_values=True, errors="surrogateescape")


def _encoded(text: str) -> str:
    return quote(_bytes(text), safe="~")


def _bytes(text: str) -> bytes:
    # A query may hold any bytes; those that are no UTF-8 came in as surrogates.
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # other surrogates: no client could have signed those
        return text.encode("utf-8", "replace")


def _text(text: str) -> str:
    return _bytes(text).decode("utf-8", "replace")


def _same(expected: str, given: str) -> bool:
    return hmac.compare_digest(expected.encode(), given.encode("utf-8", "replace"))
