"""The daemon's HTTP API: connections, deadlines, and errors in sandboxkit's words."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

import attrs
import docker.errors
import docker.tls
import docker.utils
import urllib3
from docker import APIClient
from requests.adapters import HTTPAdapter

from sandboxkit.errors import DeadlineExceeded, InvalidSpec, ProviderError, ProviderUnavailable
from sandboxkit_docker.connection import connection_pool
from sandboxkit_docker.faults import failure, unreachable
from sandboxkit_docker.options import ConnectOptions

IDLE_CONNECTIONS = 64
"""Connections kept open when idle; any number may be in use."""

MINIMUM_VERSION = (1, 40)
"""Docker 19.03, the oldest whose API has all that is asked for."""


@attrs.frozen
class Answer:
    """What the daemon answered: the HTTP status and the body's JSON (its text where it is none)."""

    status: int
    body: Any

    @property
    def message(self) -> str:
        """The daemon's own words for what went wrong."""
        if isinstance(self.body, Mapping):
            return str(self.body.get("message", ""))
        return str(self.body)


def _client(options: ConnectOptions) -> APIClient:
    """Let the SDK read the environment, addresses, certificates and the registries' credentials."""
    try:
        if options.base_url is None:
            arguments: dict[str, Any] = dict(docker.utils.kwargs_from_env())
        else:
            arguments = {"base_url": options.base_url}
            if options.tls_ca or options.tls_cert or options.base_url.startswith("https://"):
                pair = (options.tls_cert, options.tls_key) if options.tls_cert and options.tls_key else None
                arguments["tls"] = docker.tls.TLSConfig(
                    client_cert=pair, ca_cert=options.tls_ca, verify=options.tls_verify
                )
        address = str(arguments.get("base_url") or "")
        if address.startswith("ssh://"):
            raise InvalidSpec(
                f"{address!r}: ssh is not supported; forward the socket with "
                "'ssh -L /tmp/docker.sock:/var/run/docker.sock HOST' and connect to 'unix:///tmp/docker.sock'"
            )
        # A version is given so that the SDK does not ask for it here: connecting must not wait.
        client = APIClient(
            version="1.41", timeout=int(options.timeout) or 1, max_pool_size=IDLE_CONNECTIONS, **arguments
        )
    except InvalidSpec:
        raise
    except (docker.errors.DockerException, ValueError) as exc:  # the latter of a port that is none
        raise InvalidSpec(f"these docker connect options do not work: {exc}") from exc
    if client.base_url.startswith(("http://", "https://")):
        client.mount(client.base_url, HTTPAdapter(pool_maxsize=IDLE_CONNECTIONS))
    return client


class Daemon:
    """One daemon, for any number of threads at once.

    What the SDK knows (addresses, TLS, credentials) comes from its ``APIClient``. Requests go through the urllib3
    pool below it: that one is made for many threads, which ``requests.Session`` does not promise to be; each call
    has a deadline of its own, which the SDK's methods do not take; and a call costs 0.5 ms instead of 1.3. The pool
    does not block, so no number of calls under way holds up another: a kill gets a connection at once.
    """

    def __init__(self, options: ConnectOptions) -> None:
        self.options = options
        self.api = _client(options)
        self.address = (
            options.base_url or docker.utils.kwargs_from_env().get("base_url") or "unix:///var/run/docker.sock"
        )
        self._version: str | None = None
        self._pool = connection_pool(self.api, IDLE_CONNECTIONS)

    def close(self) -> None:
        """Close idle connections; those in use close when their calls end, and a later call makes a new one."""
        old, self._pool = self._pool, connection_pool(self.api, IDLE_CONNECTIONS)
        old.close()
        self.api.close()

    def describe(self) -> str:
        """Ask what the daemon is, in a few words."""
        answer = self.request("GET", "/version", until=self.limited(None))
        if answer.status != 200 or not isinstance(answer.body, Mapping):
            raise failure(answer.status, answer.message, "asking for the daemon's version")
        return f"docker {answer.body.get('Version', '?')}"

    def request(
        self,
        method: str,
        path: str,
        *,
        until: float | None,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> Answer:
        """Make one call and read its whole answer by ``until``; whatever the status, it is an answer.

        Raises ``ProviderUnavailable`` (the daemon cannot be reached, or went away), ``DeadlineExceeded``.
        """
        until = self.limited(until)
        response = self.send(method, path, until=until, query=query, body=body)
        return self.read(response, f"{method} {path}", until)

    def read(self, response: urllib3.HTTPResponse, doing: str, until: float) -> Answer:
        """Read a response's whole body by ``until``, as JSON, and give the connection back."""
        return Answer(response.status, _json(self.read_bytes(response, doing, until)))

    def read_bytes(self, response: urllib3.HTTPResponse, doing: str, until: float) -> bytes:
        """Read a response's whole body by ``until`` and give the connection back."""
        try:
            # Headers have come in time; the body gets what is left of it, not as much again.
            self.limit(response, until)
            data = response.read()
        except (urllib3.exceptions.HTTPError, OSError) as exc:
            response.close()
            raise unreachable(exc, self.address, _masked(doing)) from exc
        except BaseException:
            response.close()
            raise
        response.release_conn()
        return data

    def stream(self, method: str, path: str, *, until: float | None, **more: Any) -> Iterator[dict[str, Any]]:
        """Make one call and give its answer's JSON objects, one a line, as they come."""

        def limit() -> float:
            # A long answer: without a deadline each piece of it has to come within the timeout.
            return time.monotonic() + self.options.timeout if until is None else until

        response = self.send(method, path, until=limit(), **more)
        try:
            if response.status != 200:
                self.limit(response, limit())
                answer = Answer(response.status, _json(response.read()))
                raise failure(answer.status, answer.message, f"{method} {_masked(path)}")
            rest = b""
            while True:
                self.limit(response, limit())
                data = response.read1(65536)
                if not data:
                    break
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    if line.strip():
                        yield _object(line)
            if rest.strip():
                yield _object(rest)
        except (urllib3.exceptions.HTTPError, OSError) as exc:
            raise unreachable(exc, self.address, f"{method} {_masked(path)}") from exc
        finally:
            # Half-read answers cannot be followed by another call on the same connection.
            response.close()

    def send(
        self,
        method: str,
        path: str,
        *,
        until: float,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        upgrade: bool = False,
    ) -> urllib3.HTTPResponse:
        """Send one request and give its response with the body unread; ``upgrade`` asks for the raw connection."""
        sent = {"Host": "docker", "User-Agent": "sandboxkit", **(headers or {})}
        data = None
        if body is not None or method == "POST":
            data = json.dumps(body or {}).encode()
            sent["Content-Type"] = "application/json"
        if upgrade:
            sent |= {"Connection": "Upgrade", "Upgrade": "tcp"}
        url = f"/v{self.version(until)}{path}" + (f"?{urlencode(query)}" if query else "")
        return self._urlopen(method, url, data, sent, until)

    def version(self, until: float) -> str:
        """Give the API version that the daemon speaks, asked for once."""
        if self._version is None:
            response = self._urlopen("GET", "/_ping", None, {"Host": "docker"}, until)
            text = response.headers.get("Api-Version", "")
            response.drain_conn()
            response.release_conn()
            found = re.fullmatch(r"(\d+)\.(\d+)", text)
            if found is None or (int(found[1]), int(found[2])) < MINIMUM_VERSION:
                raise ProviderError(
                    f"what answers at {self.address} is no Docker daemon of API version 1.40 or newer "
                    f"(it answered {response.status}, version {text or 'none'})"
                )
            self._version = text
        return self._version

    def _urlopen(
        self, method: str, url: str, data: bytes | None, headers: Mapping[str, str], until: float
    ) -> urllib3.HTTPResponse:
        left = self._left(until)
        try:
            return self._pool.urlopen(  # type: ignore[return-value]
                method,
                url,
                body=data,
                headers=headers,
                timeout=urllib3.Timeout(connect=left, read=left),
                retries=False,
                redirect=False,
                preload_content=False,
            )
        except (urllib3.exceptions.HTTPError, OSError) as exc:
            raise unreachable(exc, self.address, f"{method} {_masked(url)}") from exc

    def limit(self, response: urllib3.HTTPResponse, until: float) -> None:
        """Let the next read of the response take until then at most."""
        sock = getattr(response.connection, "sock", None)
        if sock is not None:  # None: the body has come already
            sock.settimeout(self._left(until))

    def limited(self, until: float | None) -> float:
        """Give the deadline of one call: ``until``, but never further away than the connect option ``timeout``."""
        most = time.monotonic() + self.options.timeout
        return most if until is None else min(until, most)

    @staticmethod
    def _left(until: float) -> float:
        left = until - time.monotonic()
        if left <= 0:
            raise DeadlineExceeded("the docker daemon did not answer within the operation's deadline")
        return left


def _masked(path: str) -> str:
    # Query strings and identifiers make messages long and different each time.
    return re.sub(r"[0-9a-f]{64}", lambda found: found[0][:12], path.partition("?")[0])


def _json(data: bytes) -> Any:
    try:
        return json.loads(data) if data.strip() else None
    except ValueError:
        return data.decode("utf-8", "replace")[:1000]


def _object(line: bytes) -> dict[str, Any]:
    found = _json(line)
    if not isinstance(found, dict):
        raise ProviderUnavailable("the docker daemon's answer broke off or is no JSON")
    return found
