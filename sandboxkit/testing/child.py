"""A client in a process of its own, to be killed, and to find what another process made."""

from __future__ import annotations

import asyncio
import base64
import os
import pickle
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Self

_MAIN = "from sandboxkit.testing.child import main; main()"


class Child:
    """A process that runs an act of :mod:`sandboxkit.testing.acts`; leaving its block kills it."""

    def __init__(
        self,
        act: Callable[..., Coroutine[Any, Any, None]],
        args: Sequence[Any],
        *,
        provider: str,
        options: Mapping[str, Any],
        world: str,
    ) -> None:
        order = base64.b64encode(pickle.dumps((act, tuple(args), provider, dict(options), world)))
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed where the block is left
        # The order travels on stdin: options may hold secrets.
        self.process = subprocess.Popen(
            (sys.executable, "-W", "error", "-c", _MAIN),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )
        assert self.process.stdin is not None
        self.process.stdin.write(order + b"\n")
        self.process.stdin.close()
        self._line = b""

    def line(self, *, within: float = 30.0) -> str:
        """Wait for the next line that the act said; ``""`` at its end."""
        assert self.process.stdout is not None
        end = time.monotonic() + within
        while b"\n" not in self._line:
            readable, _, _ = select.select([self.process.stdout], [], [], max(0.0, end - time.monotonic()))
            assert readable, f"the other client said nothing in {within:g} s; its errors: {self.errors()}"
            data = os.read(self.process.stdout.fileno(), 65536)
            if not data:
                break
            self._line += data
        line, _, self._line = self._line.partition(b"\n")
        return line.decode()

    def errors(self) -> str:
        """Give what it has written on stderr."""
        self._stderr.seek(0)
        return self._stderr.read().decode("utf-8", "replace")

    def finish(self, *, within: float = 60.0) -> str:
        """Wait for its end, which must be a success without a word on stderr; give the rest of its lines."""
        rest = []
        while line := self.line(within=within):
            rest.append(line)
        code = self.process.wait(within)
        assert (code, self.errors()) == (0, "")
        return "\n".join(rest)

    def kill(self) -> None:
        """End it as a crash would: at once, with no chance to clean up."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.kill()
        assert self.process.stdout is not None
        self.process.stdout.close()
        self._stderr.close()


def say(text: str) -> None:
    """Tell the test a line."""
    print(text, flush=True)


def main() -> None:
    """Do what stdin orders."""
    import sandboxkit
    from sandboxkit.driver import run
    from sandboxkit.testing.faces import Face

    act, args, provider, options, world = pickle.loads(base64.b64decode(sys.stdin.readline()))

    async def asynchronous() -> None:
        async with sandboxkit.connect_async(provider, **options) as client:
            await act(client, *args)

    async def blocking() -> None:
        async with Face(sandboxkit.connect(provider, **options)) as client:
            await act(client, *args)

    if world == "asyncio":
        asyncio.run(asynchronous())
    else:
        run(blocking())
