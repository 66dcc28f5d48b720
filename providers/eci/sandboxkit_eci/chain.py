"""Alibaba's own credential chain: asked where no keys are given, in bounded time, with errors that say what to give.

The chain tries the environment, profile files, the roles of a container or an instance, and what else it knows. Its
exceptions quote lines of files and bodies of answers, with keys in them: nothing of their text goes on.
"""

from __future__ import annotations

import functools
import os
import re
import threading
import time
from collections.abc import Callable
from typing import Any

import attrs

from sandboxkit.errors import AuthenticationFailed, DeadlineExceeded, ProviderUnavailable, SandboxError
from sandboxkit_eci.faults import Answer, ApiFault
from sandboxkit_eci.quiet import quietly

LIMIT = 10.0
"""Seconds that the chain may take. A metadata service that is not there costs it about two."""

FRESH = 60.0
"""Seconds for which a key is used without asking again: the chain renews its own a quarter of an hour early."""

ADVICE = (
    "give access_key_id and access_key_secret to connect('eci'), or set ECI_SANDBOX_ACCESS_KEY_ID and "
    "ECI_SANDBOX_ACCESS_KEY_SECRET, or ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET"
)

Credential = Any
"""A ``CredentialModel`` of the SDK's."""


@attrs.define(eq=False)
class _Question:
    """One asking of the chain, whose answer all who wait share."""

    done: threading.Event = attrs.field(factory=threading.Event, init=False)
    reason: str = attrs.field(default="", init=False)


@attrs.define(eq=False)
class Chain:
    """What the SDK asks for a key. ``_ask`` asks Alibaba's library; used by any number of threads."""

    _ask: Callable[[], Credential]
    _limit: float = LIMIT
    _process: int = attrs.field(factory=os.getpid, init=False)
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False)
    _question: _Question | None = attrs.field(default=None, init=False)
    _found: Credential = attrs.field(default=None, init=False, repr=False)
    _fresh_until: float = attrs.field(default=0.0, init=False)

    def renew(self, left: float) -> None:
        """See to it that there is a key that can be used, within ``left`` seconds.

        Raises ``AuthenticationFailed`` that names the settings where the chain has none, and ``ProviderUnavailable``
        where it had one before and cannot renew it now. Nothing was sent then.
        """
        self._see_forks()
        with self._lock:
            if time.monotonic() < self._fresh_until:
                return
            question = self._question
            if question is None:
                self._question = question = _Question()
                threading.Thread(
                    target=self._answer, args=(question,), name="sandboxkit-eci-credentials", daemon=True
                ).start()
        most = min(left, self._limit)
        if not question.done.wait(most):
            # The thread ends once the library's own timeouts have; until then others wait for the same answer.
            if most < self._limit:
                raise _unsent(DeadlineExceeded("Alibaba's credential chain gave no key within the deadline"))
            raise self._failed(f"no answer within {most:g} s")
        if question.reason:
            raise self._failed(question.reason)

    def _see_forks(self) -> None:
        if self._process != os.getpid():
            # The threads that were asking, or had the lock, are the parent's.
            self._lock, self._question, self._process = threading.Lock(), None, os.getpid()

    def _answer(self, question: _Question) -> None:
        found, reason = None, ""
        try:
            with quietly():
                found = self._ask()
            if not (found.access_key_id and found.access_key_secret):
                reason = "a key without an id or a secret"
        except Exception as exc:  # noqa: BLE001 - the chain raises anything, and none of it may go on
            reason = reason_of(str(exc))
        with self._lock:
            self._question, question.reason = None, reason
            if not reason:
                self._found, self._fresh_until = found, time.monotonic() + FRESH
        question.done.set()

    def forget(self) -> None:
        """Have the chain asked again by the next call: the service refused the key."""
        with self._lock:
            self._fresh_until = 0.0

    def get_credential(self) -> Credential:
        """Give the key that :meth:`renew` found; the SDK calls this."""
        return self._found

    def _failed(self, reason: str) -> SandboxError:
        if self._found is not None:
            return _unsent(ProviderUnavailable(f"Alibaba's credential chain cannot renew its key: {reason}"))
        return _unsent(
            AuthenticationFailed(
                f"no access key is given, and Alibaba's credential chain has none ({reason}): {ADVICE}"
            )
        )


def _unsent(error: SandboxError) -> SandboxError:
    error.__cause__ = ApiFault("no request was made for want of a key", Answer(sent=False))
    return error


_SOURCES = {
    "EnvironmentVariable": "environment",
    "OIDCRoleArn": "OIDC role",
    "CLIProfile": "the profile of Alibaba's command line",
    "Profile": "the credentials file",
    "EcsRamRole": "the instance's role",
    "URL": "ALIBABA_CLOUD_CREDENTIALS_URI",
}

_REASONS = (
    (r"[Tt]imed? ?out", "no answer in time"),
    (r"Max retries|[Cc]onnection|Failed to establish|Network is unreachable|RemoteDisconnected", "not reached"),
    (r"(?:HttpCode=|http_code=|httpCode: )(\d+)", "HTTP {}"),
    (r"fail(?:ed)? to parse|no section header|[Pp]arsing error|already exists|unsupported|invalid", "cannot be read"),
    (r"cannot be empty|unable to open|failed to get credential from|not found|No such file|disabled", "none"),
)


def reason_of(text: str) -> str:
    """Say in own words what the chain says of each of its sources; nothing of the text itself is repeated."""
    parts = re.split(r"(\w+?)CredentialsProvider: ", text)
    if len(parts) == 1:
        return _short_reason(text)
    told = zip(parts[1::2], parts[2::2], strict=True)
    return "; ".join(f"{_SOURCES.get(name, 'another source')}: {_short_reason(said)}" for name, said in told)


def _short_reason(text: str) -> str:
    for pattern, words in _REASONS:
        found = re.search(pattern, text)
        if found is not None:
            return words.format(*found.groups())
    return "failed"


@functools.cache  # without a lock of its own, which a fork might inherit: a chain asks one question at a time
def _library() -> Callable[[], Credential]:
    from alibabacloud_credentials.client import Client  # type: ignore[import-untyped]

    get: Callable[[], Credential] = Client().get_credential
    return get


def _ask_library() -> Credential:
    return _library()()


chain = Chain(_ask_library)
"""The process's own. Each of the library's clients starts a thread that never ends, so that there is one for all."""
