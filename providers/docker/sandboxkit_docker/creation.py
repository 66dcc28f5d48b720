"""One attempt to create a sandbox: idempotent by name, and nothing left behind when it fails or is given up."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Mapping
from typing import Any, Literal

import attrs

from sandboxkit import bookkeeping as books
from sandboxkit.commandcheck import answer, no_program, question
from sandboxkit.errors import (
    IdempotencyConflict,
    ImageNotFound,
    ProviderError,
    ProviderUnavailable,
    SandboxError,
    Unsupported,
)
from sandboxkit.model import CreateRequest, SandboxInfo, Status
from sandboxkit_docker import describe
from sandboxkit_docker import labels as marks
from sandboxkit_docker import spec as mapping
from sandboxkit_docker.containers import inspect, output, remove, set_modes
from sandboxkit_docker.daemon import Answer, Daemon
from sandboxkit_docker.faults import never_connected, redacted, refused_spec
from sandboxkit_docker.options import DockerOptions, docker_options
from sandboxkit_docker.pull import pull

log = logging.getLogger("sandboxkit")

CLEANUP = 8.0
"""Seconds that the removal of a failed attempt's container may take beyond the operation's deadline."""

APPEARANCE = 1.5
"""Seconds in which a container must show whose creation was asked for and never confirmed."""

CHECKS = 40
"""Times that a command is looked at while its sandbox seems to be ending."""

State = Literal["new", "running", "failed", "made", "abandoned"]


class _Vanished(Exception):
    """What held the name is gone: the create can be tried again."""


class _Abandoned(SandboxError):
    """Seen by no one: whoever waited has gone."""


@attrs.define(eq=False)
class Creation:
    """Runs in one thread, while another may give it up."""

    daemon: Daemon
    request: CreateRequest
    until: float | None
    leftover: bool = attrs.field(default=False, init=False)
    done: threading.Event = attrs.field(factory=threading.Event, init=False, repr=False)
    _attempt: str = attrs.field(factory=lambda: secrets.token_hex(16), init=False, repr=False)
    _made_at: float = attrs.field(factory=time.time, init=False)
    _name: str = attrs.field(init=False)
    _body: dict[str, Any] = attrs.field(init=False, repr=False)
    _options: DockerOptions = attrs.field(init=False, repr=False)
    _container: str | None = attrs.field(default=None, init=False)
    _unconfirmed: bool = attrs.field(default=False, init=False)
    _state: State = attrs.field(default="new", init=False)
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._options = docker_options(self.request.spec.options)
        self._name = marks.container_name(self.request.owner, self.request.key)
        self._body = mapping.container_body(self.request, attempt=self._attempt, now=self._made_at)

    # -- from the waiting side ------------------------------------------------------------------------------------

    def abandon(self) -> State:
        """Give it up and say what it was doing; only after ``"made"`` is it the caller who must :meth:`clean`."""
        with self._lock:
            was = self._state
            if was in ("new", "running"):
                self._state = "abandoned"
            return was

    # -- in its thread --------------------------------------------------------------------------------------------

    def run(self) -> SandboxInfo:
        """Create and start; whatever goes wrong, remove what was made first."""
        try:
            with self._lock:
                if self._state == "new":
                    self._state = "running"
            self._checkpoint()
            info = self._make()
            with self._lock:
                if self._state == "running":
                    self._state = "made"
            if self._state != "made":
                raise _Abandoned("the create was given up")
            return info
        except BaseException as exc:
            with self._lock:
                self._state = "failed"
            self.clean()
            if isinstance(exc, ProviderError) and self.leftover:
                exc.leftover = self.request.key
            if isinstance(exc, SandboxError):
                redacted(exc, self._secrets())
            raise
        finally:
            self.done.set()

    def clean(self) -> None:
        """Remove the container that this attempt made, and no other; note in ``leftover`` if that failed."""
        if self._container is None and not self._unconfirmed:
            return
        until = time.monotonic() + CLEANUP
        try:
            if self._container is None:
                self._container = self._find_unconfirmed(until)
            if self._container is not None:
                remove(self.daemon, self._container, until=until)
        except SandboxError as exc:
            self.leftover = True
            log.warning("the container %s of a failed create may be left behind: %s", self._name, exc.code)

    def _find_unconfirmed(self, until: float) -> str | None:
        appears = min(until, time.monotonic() + APPEARANCE)
        while True:
            found = inspect(self.daemon, self._name, until=until)
            if found is not None and self._is_mine(found):
                return str(found["Id"])
            if found is not None or time.monotonic() >= appears:
                return None
            time.sleep(0.05)

    def _is_mine(self, found: Mapping[str, Any]) -> bool:
        return (found["Config"].get("Labels") or {}).get(books.ATTEMPT) == self._attempt

    def _checkpoint(self) -> None:
        if self._state == "abandoned":
            raise _Abandoned("the create was given up")

    def _secrets(self) -> tuple[str, ...]:
        auth = self._options.auth
        return (*self.request.spec.env.values(), *((auth.password,) if auth else ()))

    def _make(self) -> SandboxInfo:
        image = str(self.request.spec.image)
        if self._options.pull == "always":
            pull(self.daemon, image, self._options, until=self.until, checkpoint=self._checkpoint)
        while True:
            self._checkpoint()
            try:
                holder = self._create(image)
                if holder is not None:
                    return self._adopt(holder)
                return self._start()
            except _Vanished:
                time.sleep(0.05)

    def _create(self, image: str) -> Mapping[str, Any] | None:
        """Create the container, or give the one that holds the name already."""
        answer = self._ask_to_create()
        if answer.status == 404:
            if self._options.pull == "never":
                raise ImageNotFound(
                    f"image {image!r} is not present, and pull='never' was given", provider_code="404"
                )
            if self._options.pull == "missing":
                pull(self.daemon, image, self._options, until=self.until, checkpoint=self._checkpoint)
            self._checkpoint()
            answer = self._ask_to_create()
        if answer.status == 404:
            raise ImageNotFound(f"image {image!r} was not found: {answer.message}", provider_code="404")
        if answer.status == 409:
            holder = inspect(self.daemon, self._name, until=self.until)
            if holder is None:
                raise _Vanished
            if not self._is_mine(holder):
                self._unconfirmed = False
                return holder
            self._container = holder["Id"]
            return None
        if answer.status != 201:
            self._unconfirmed = False
            raise refused_spec(answer.status, answer.message, "creating the sandbox")
        self._container = answer.body["Id"]
        self._check_warnings(answer.body.get("Warnings") or ())
        return None

    def _ask_to_create(self) -> Answer:
        query = {"name": self._name}
        if self._options.platform is not None:
            query["platform"] = self._options.platform
        for again in (True, False):
            before = self._unconfirmed
            self._unconfirmed = True
            try:
                answer = self.daemon.request(
                    "POST", "/containers/create", until=self.until, query=query, body=self._body
                )
            except ProviderUnavailable as exc:
                if never_connected(exc):
                    self._unconfirmed = before
                    raise
                if not again:
                    raise
                # The reply was lost. Asking again is safe: if the container is there, the name is taken.
            else:
                # Refused: unless it was the second time that this was sent, nothing was made.
                self._unconfirmed = before if answer.status != 201 else False
                return answer
        raise AssertionError("unreachable")

    def _check_warnings(self, warnings: tuple[str, ...]) -> None:
        """Refuse a limit that the kernel cannot keep: the daemon would only warn and go on without."""
        for warning in warnings:
            for word, capability, asked in (
                ("memory", "memory", self.request.spec.memory_gib is not None),
                ("cpu", "cpu", self.request.spec.cpu is not None),
                ("pids", "pids", self.request.spec.options is not None and self._options.pids is not None),
            ):
                if word in warning.lower() and "discarded" in warning and asked:
                    raise Unsupported(
                        f"the docker daemon cannot limit {capability} here: {warning}",
                        capability=capability,
                        reason=warning,
                    )
            log.debug("docker: %s", warning)

    def _start(self) -> SandboxInfo:
        assert self._container is not None
        self._checkpoint()
        if not self._ask_to_start(self._container):
            raise ProviderError("the sandbox was removed while it was being created")
        mounts = mapping.tmpfs_mounts(self._options, self.request.spec.user)
        for owner, modes in mapping.modes_of(mounts).items():
            set_modes(self.daemon, self._container, owner, modes, until=self.until)
        if self.request.spec.command is not None and self.request.wait:
            self._check_command(self._container, self.request.spec.command[0])
        ports: dict[int, str] = {}
        if self.request.spec.ports:
            found = inspect(self.daemon, self._container, until=self.until)
            ports = describe.ports_of_inspect(found or {})
        return describe.info_of_request(self.request, self._container, created_at=self._made_at, ports=ports)

    def _check_command(self, container: str, program: str) -> None:
        """Refuse a command that cannot be run: the keep-alive starts it, the daemon knows nothing of it."""
        for _ in range(CHECKS):
            self._checkpoint()
            runs = answer(output(self.daemon, container, question(program), until=self.until))
            if runs is False:
                raise no_program(program)
            if runs:
                return
            # The check died with a sandbox that ends, or came too late: how that ended tells whether it began.
            state = (inspect(self.daemon, container, until=self.until) or {}).get("State", {})
            if not state.get("Running"):
                if state.get("ExitCode") in (126, 127):
                    raise no_program(program)
                return
            time.sleep(0.05)

    def _ask_to_start(self, container: str) -> bool:
        """Start a container, ``False`` if it is gone. Starting one that runs changes nothing."""
        path = f"/containers/{container}/start"
        try:
            answer = self.daemon.request("POST", path, until=self.until)
        except ProviderUnavailable as exc:
            if never_connected(exc):
                raise
            answer = self.daemon.request("POST", path, until=self.until)
        if answer.status in (204, 304):
            return True
        if answer.status == 404 and "No such container" in answer.message:
            return False
        raise refused_spec(answer.status, answer.message, "starting the sandbox")

    def _adopt(self, holder: Mapping[str, Any]) -> SandboxInfo:
        """Give the sandbox that an earlier or a concurrent create with this key made."""
        labels = holder["Config"].get("Labels") or {}
        if not marks.is_ours(labels, holder.get("Name", "")):
            raise ProviderError(f"the container name {self._name} is taken by a container that is not sandboxkit's")
        found = describe.info_of_inspect(holder)
        if found.status is Status.DELETING:
            raise _Vanished
        if found.status in (Status.STOPPED, Status.FAILED) and (found.expires_at or 0.0) <= time.time():
            # Its time is up: it can run nothing any more, and its key may be used again.
            remove(self.daemon, found.id, until=self.until)
            raise _Vanished
        if labels.get(books.FINGERPRINT) != self.request.fingerprint:
            raise IdempotencyConflict(
                f"the idempotency key {self.request.key!r} is in use by sandbox {found.id[:12]} with another "
                "specification; delete that one or take another key"
            )
        if found.status is not Status.CREATING:
            return found
        if not self._ask_to_start(found.id):
            raise _Vanished
        again = inspect(self.daemon, found.id, until=self.until)
        if again is None:
            raise _Vanished
        return describe.info_of_inspect(again)
