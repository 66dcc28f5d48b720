"""An emulator inside a test: ``with emulator() as eci: connect("eci", endpoint=eci.endpoint, …)``."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from sandboxkit_eci.emulator.app import Server
from sandboxkit_eci.emulator.assembly import ACCESS_KEY_ID, ACCESS_KEY_SECRET, make_service
from sandboxkit_eci.emulator.backend import Backend
from sandboxkit_eci.emulator.faults import Fault, Faults
from sandboxkit_eci.emulator.service import Counts

T = TypeVar("T")


class Emulator:
    """One that runs, in a thread with a loop of its own."""

    def __init__(self, server: Server, loop: asyncio.AbstractEventLoop) -> None:
        self.service = server.service
        self.endpoint = server.endpoint
        self.access_key_id = ACCESS_KEY_ID
        self.access_key_secret = ACCESS_KEY_SECRET
        self._server = server
        self._loop = loop
        self._closed = False

    @property
    def requests(self) -> Mapping[str, int]:
        """How often each action was asked for, those refused included."""
        return dict(self.service.counts.calls)

    @property
    def counts(self) -> Counts:
        """The same with what was throttled and failed, and the sessions that were opened."""
        return self.service.counts

    @property
    def options(self) -> dict[str, Any]:
        """The options of ``connect("eci", …)`` that lead here."""
        return {
            "endpoint": self.endpoint,
            "access_key_id": self.access_key_id,
            "access_key_secret": self.access_key_secret,
            "region_id": self.service.region,
        }

    def inject(self, *faults: Fault | str) -> None:
        """Add faults while it runs."""
        self.service.faults.rules.extend(Faults(faults).rules)

    def clear_faults(self) -> None:
        """Take all faults away."""
        self.service.faults.rules.clear()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run something in the emulator's loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def close(self) -> None:
        """Stop it and remove what it made; safe to repeat."""
        if not self._closed:
            self._closed = True
            self.run(_close(self._server))


async def _close(server: Server) -> None:
    try:
        await server.close()
    finally:
        await server.service.close()


@contextmanager
def emulator(
    backend: Backend | str = "local", *, host: str = "127.0.0.1", port: int = 0, **options: Any
) -> Iterator[Emulator]:
    """Run an emulator in a thread while the block lasts; the service takes no time unless ``time_scale`` says so.

    The other ``options`` are those of :func:`~sandboxkit_eci.emulator.assembly.make_service`.
    """
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="eci-emulator", daemon=True)
    thread.start()

    async def start() -> Server:
        server = Server(make_service(backend, **options))
        await server.start(host, port)
        return server

    try:
        running = Emulator(asyncio.run_coroutine_threadsafe(start(), loop).result(), loop)
        try:
            yield running
        finally:
            running.close()
    finally:
        asyncio.run_coroutine_threadsafe(_drain(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _drain() -> None:
    """End what still runs in the loop, so that nothing is left of the emulator."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    loop = asyncio.get_running_loop()
    await loop.shutdown_asyncgens()
    await loop.shutdown_default_executor()
