"""What the client asks the building process to make, and how it travels: over a pipe, never in arguments."""

from __future__ import annotations

import struct

from sandboxkit_local.wire import pack, unpack

_NUMBERS = struct.Struct("<dI???")


class Plan:
    """One sandbox to build. Strings are bytes as the kernel sees them.

    ``state`` is the state directory, ``claim`` the name of the idempotency claim, ``meta`` the text of
    ``meta.json``, ``expires_at`` seconds since the epoch, ``pids`` the most processes, ``shown`` host paths to show
    read-only, ``env`` the variables of every command, ``command`` a program to keep running beside (or nothing),
    ``again`` whether its files are there and its PID 1 is to be replaced.
    """

    def __init__(
        self,
        *,
        id: bytes,
        state: bytes,
        claim: bytes,
        meta: bytes,
        cwd: bytes,
        expires_at: float,
        pids: int,
        network: bool,
        isolated: bool,
        shown: list[bytes],
        env: list[bytes],
        command: list[bytes],
        again: bool = False,
    ) -> None:
        self.id = id
        self.state = state
        self.claim = claim
        self.meta = meta
        self.cwd = cwd
        self.expires_at = expires_at
        self.pids = pids
        self.network = network
        self.isolated = isolated
        self.shown = shown
        self.env = env
        self.command = command
        self.again = again

    def encode(self) -> bytes:
        """Give the bytes that :meth:`decode` takes."""
        numbers = _NUMBERS.pack(self.expires_at, self.pids, self.network, self.isolated, self.again)
        lists = (pack(self.shown), pack(self.env), pack(self.command))
        return pack([self.id, self.state, self.claim, self.meta, self.cwd, numbers, *lists])

    @classmethod
    def decode(cls, data: bytes) -> Plan:
        """Read what :meth:`encode` made."""
        name, state, claim, meta, cwd, numbers, shown, env, command = unpack(data)
        expires_at, pids, network, isolated, again = _NUMBERS.unpack(numbers)
        return cls(
            id=name,
            state=state,
            claim=claim,
            meta=meta,
            cwd=cwd,
            expires_at=expires_at,
            pids=pids,
            network=network,
            isolated=isolated,
            shown=unpack(shown),
            env=unpack(env),
            command=unpack(command),
            again=again,
        )


class StepFailed(Exception):
    """A step of the construction failed: ``step`` names it, ``code`` is its errno (0 for none)."""

    def __init__(self, step: str, code: int, message: str) -> None:
        super().__init__(step, code, message)
        self.step = step
        self.code = code
        self.message = message


def step_failed(step: str, exc: OSError) -> StepFailed:
    """Name the step that an ``OSError`` stopped."""
    where = f"{step} ({exc.filename})" if exc.filename and str(exc.filename) != step else step
    return StepFailed(where, exc.errno or 0, exc.strerror or str(exc))
