"""Where sandboxes are kept on the host, and what can be read of them there.

::

    <state>/claims/<digest>          a link that names the sandbox that has an idempotency key
    <state>/etc/                     hosts and hostname, shown in every sandbox, and a place to mount its root
    <state>/trash/                   what a delete has taken away and not yet removed
    <state>/<id>/meta.json           what was asked for; never environment values
    <state>/<id>/plan                what it was built from, for a restart; with environment values, so 0600
    <state>/<id>/lock                who lives (see locks.py); holds the deadline
    <state>/<id>/sock                where PID 1 listens
    <state>/<id>/{workspace,home,tmp,var}
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
import stat
import tempfile
import time
from pathlib import Path
from typing import Any

import attrs

from sandboxkit.errors import InvalidSpec, ProviderError, SandboxNotFound
from sandboxkit.model import CreateRequest, SandboxInfo, Status
from sandboxkit_local import locks
from sandboxkit_local.inside.plan import Plan
from sandboxkit_local.removal import remove_tree

ENVIRONMENT = "SANDBOXKIT_LOCAL_STATE"
ROOT_STATE = "/var/lib/sandboxkit"

_ID = re.compile(r"sk-[0-9a-f]{12}\Z")
_STALE = 60.0
"""Seconds after which what a dead process left half made or half removed is swept away."""


@attrs.frozen
class State:
    """One state directory."""

    path: str

    def of(self, sandbox_id: str) -> str:
        """Give a sandbox's directory; raises ``SandboxNotFound`` for what is no id of ours."""
        if not isinstance(sandbox_id, str) or not _ID.match(sandbox_id):
            raise SandboxNotFound(f"no local sandbox {sandbox_id!r}")
        return f"{self.path}/{sandbox_id}"

    def new_id(self) -> str:
        """Make up an id."""
        return "sk-" + secrets.token_hex(6)

    def claim(self, owner: str, key: str) -> str:
        """Give the name of the claim for an owner's idempotency key."""
        return hashlib.sha256(f"{owner}\0{key}".encode()).hexdigest()[:40]

    def claimed_by(self, claim: str) -> str | None:
        """Give the id of the sandbox that has a claim, if one has it."""
        try:
            return os.readlink(f"{self.path}/claims/{claim}")
        except OSError:
            return None

    def ids(self) -> list[str]:
        """Give the ids of all sandboxes, sorted."""
        try:
            return sorted(name for name in os.listdir(self.path) if _ID.match(name))
        except FileNotFoundError:
            return []

    def status(self, sandbox_id: str) -> tuple[Status, int]:
        """Say what a sandbox does, and the pid of its PID 1 (0 for none that is known)."""
        lock = f"{self.of(sandbox_id)}/lock"
        if locks.holder(lock, locks.CREATING) is not None:
            return Status.CREATING, 0
        pid = locks.holder(lock, locks.ALIVE)
        if pid is not None:
            return Status.RUNNING, max(0, pid)
        # One that was ready once had noted its deadline; the others were never finished.
        return (Status.STOPPED if self._deadline(sandbox_id) else Status.FAILED), 0

    def _deadline(self, sandbox_id: str) -> float | None:
        try:
            return float(self._said(sandbox_id)[0])
        except (IndexError, ValueError):
            return None

    def _said(self, sandbox_id: str) -> list[str]:
        """Give what PID 1 noted in the lock file: the deadline, and why it ended if it should not have."""
        try:
            return Path(f"{self.of(sandbox_id)}/lock").read_text(errors="replace").splitlines()
        except OSError:
            return []

    def meta(self, sandbox_id: str) -> dict[str, Any]:
        """Read what was asked for; raises ``SandboxNotFound``."""
        try:
            found = json.loads(Path(f"{self.of(sandbox_id)}/meta.json").read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            raise SandboxNotFound(f"no local sandbox {sandbox_id!r} in {self.path}") from None
        except ValueError:
            found = {}
        return found if isinstance(found, dict) else {}

    def info(self, sandbox_id: str) -> SandboxInfo:
        """Describe a sandbox; raises ``SandboxNotFound``."""
        meta = self.meta(sandbox_id)
        status, _ = self.status(sandbox_id)
        details = {"isolation": meta.get("isolation", ""), "workspace": f"{self.of(sandbox_id)}/workspace"}
        if len(said := self._said(sandbox_id)) > 1:
            details["reason"] = said[1]
        return SandboxInfo(
            id=sandbox_id,
            provider="local",
            status=status,
            owner=meta.get("owner", ""),
            labels=meta.get("labels", {}),
            created_at=meta.get("created_at"),
            expires_at=self._deadline(sandbox_id) or meta.get("expires_at"),
            details=details,
        )

    def remove_unfinished(self, sandbox_id: str) -> None:
        """Remove what a building process that was killed had not even given its name yet."""
        remove_tree(f"{self.of(sandbox_id)}.new")

    def plan(self, sandbox_id: str) -> Plan:
        """Read what the sandbox was built from, with the deadline that it has now; raises ``SandboxNotFound``."""
        try:
            plan = Plan.decode(Path(f"{self.of(sandbox_id)}/plan").read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            self.meta(sandbox_id)
            raise ProviderError(f"sandbox {sandbox_id} was made by an older version and cannot restart") from None
        plan.expires_at = self._deadline(sandbox_id) or plan.expires_at
        return plan

    def remove(self, sandbox_id: str) -> bool | None:
        """Remove a dead sandbox's directory and its claim; ``False`` when someone else did, ``None`` if it lives."""
        claim = ""
        with contextlib.suppress(SandboxNotFound):
            claim = self.meta(sandbox_id).get("claim", "")
        trash = f"{self.path}/trash/{sandbox_id}.{secrets.token_hex(4)}"
        lock = -1
        try:
            # Against a restart, which would start what is being removed.
            with contextlib.suppress(FileNotFoundError):
                lock = os.open(f"{self.of(sandbox_id)}/lock", os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
                if not locks.hold_while_open(lock, locks.CREATING):
                    return None
                if locks.holder_of(lock, locks.ALIVE) is not None:
                    return None
            # From here on it is gone for everyone, however long the rest takes.
            os.rename(self.of(sandbox_id), trash)
        except FileNotFoundError:
            return False
        finally:
            if lock >= 0:
                os.close(lock)
        if claim and self.claimed_by(claim) == sandbox_id:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{self.path}/claims/{claim}")
        remove_tree(trash)
        return True

    def sweep(self) -> None:
        """Remove what processes that died in the middle of a create or a delete left, after a minute."""
        with contextlib.suppress(OSError):
            for name in os.listdir(self.path):
                if name.endswith(".new") and _ID.match(name[: -len(".new")]):
                    lock = f"{self.path}/{name}/lock"
                    if locks.holder(lock, locks.CREATING) is None:
                        _remove_stale(f"{self.path}/{name}")
            for name in os.listdir(f"{self.path}/trash"):
                _remove_stale(f"{self.path}/trash/{name}")


def _remove_stale(path: str) -> None:
    with contextlib.suppress(OSError):
        if os.lstat(path).st_ctime < time.time() - _STALE:
            remove_tree(path)


def make_meta(sandbox_id: str, request: CreateRequest, claim: str, isolation: str) -> bytes:
    """Give the text of ``meta.json``."""
    meta = {
        "id": sandbox_id,
        "owner": request.owner,
        "labels": dict(request.spec.labels),
        "created_at": time.time(),
        "expires_at": request.expires_at,
        "fingerprint": request.fingerprint,
        "claim": claim,
        "isolation": isolation,
    }
    return json.dumps(meta).encode()


def find_state(given: str | None) -> State:
    """Choose the state directory, without making it: what was given, the environment's, or the user's usual."""
    chosen = given or os.environ.get(ENVIRONMENT)
    if chosen:
        return State(os.path.abspath(chosen))
    if os.geteuid() == 0:
        return State(ROOT_STATE)
    home = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    if home.startswith("/") and _can_make(home):
        return State(f"{home}/sandboxkit")
    # Not the runtime directory, which a logout removes.
    return State(f"{tempfile.gettempdir()}/sandboxkit-{os.geteuid()}")


def _can_make(path: str) -> bool:
    while not os.path.lexists(path):
        path = os.path.dirname(path)
    return os.access(path, os.W_OK | os.X_OK)


def make_state(state: State) -> None:
    """Make the state directory, or check that the one which is there is this user's alone to write."""
    mode = 0o711 if os.geteuid() == 0 else 0o700
    try:
        os.makedirs(os.path.dirname(state.path), exist_ok=True)
        with contextlib.suppress(FileExistsError):
            os.mkdir(state.path, mode)
            os.chmod(state.path, mode)
        found = os.lstat(state.path)
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
            raise InvalidSpec(
                f"the state directory {state.path} must be a directory that belongs to this user and that no other "
                f"may write; choose another with state_dir= or {ENVIRONMENT}"
            )
        for name, its_mode in (("claims", 0o700), ("trash", 0o700), ("etc", 0o755), ("etc/root", 0o755)):
            os.makedirs(f"{state.path}/{name}", its_mode, exist_ok=True)
        _write_once(f"{state.path}/etc/hosts", "127.0.0.1 localhost sandbox\n::1 localhost sandbox\n")
        _write_once(f"{state.path}/etc/hostname", "sandbox\n")
    except OSError as exc:
        raise ProviderError(
            f"cannot use the state directory {state.path}: {exc.strerror}; choose another with state_dir= or "
            f"{ENVIRONMENT}"
        ) from exc


def _write_once(path: str, text: str) -> None:
    if not os.path.exists(path):
        new = f"{path}.{secrets.token_hex(4)}"
        Path(new).write_text(text)
        os.chmod(new, 0o644)
        os.rename(new, path)
