"""``sandboxkit-eci-emulator``: serves until it is told to stop, then removes what it made."""

from __future__ import annotations

import asyncio
import signal
import ssl
import sys
import tempfile
from argparse import Namespace
from pathlib import Path

from sandboxkit_eci.emulator import tls
from sandboxkit_eci.emulator.app import Server
from sandboxkit_eci.emulator.assembly import ACCESS_KEY_ID, ACCESS_KEY_SECRET, make_service
from sandboxkit_eci.emulator.commandline import UsageError, keys, read
from sandboxkit_eci.emulator.service import Service
from sandboxkit_eci.emulator.state import StateFile


def main(arguments: list[str] | None = None) -> int:
    """Run the command; give its exit code."""
    try:
        options = read(sys.argv[1:] if arguments is None else arguments)
        return asyncio.run(serve(options))
    except (UsageError, OSError) as exc:
        print(f"sandboxkit-eci-emulator: {exc}", file=sys.stderr)
        return 2 if isinstance(exc, UsageError) else 1


def make(options: Namespace) -> Service:
    """Put the service together that the options describe."""
    try:
        return make_service(
            options.backend,
            quirks=options.quirk,
            faults=options.fault,
            time_scale=options.time_scale,
            seed=options.seed,
            keys=keys(options),
            region=options.region,
            responder=options.responder,
        )
    except ValueError as exc:
        raise UsageError(str(exc)) from exc


async def serve(options: Namespace) -> int:
    """Serve until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    with tempfile.TemporaryDirectory(prefix="eci-emulator-") as folder:
        service = make(options)
        state = StateFile(service, Path(options.state)) if options.state else None
        server = Server(service, tls=_tls(options, Path(folder)))
        try:
            await server.start(options.host, options.port)
            if state is not None:
                state.load()
            _announce(options, server, Path(folder))
            await stop.wait()
        finally:
            if state is not None:
                state.close()
            await server.close()
            await service.close()
    return 0


def _tls(options: Namespace, folder: Path) -> ssl.SSLContext | None:
    if options.tls is None:
        return None
    certificate, key = options.tls or tls.make_certificate(folder, options.host)
    return tls.context(certificate, key)


def _announce(options: Namespace, server: Server, folder: Path) -> None:
    """Say where it listens. The line that begins with "listening" is the last one."""
    if options.tls == []:
        print(f"certificate: {folder / 'certificate.pem'}")
    if not options.access_key_id:
        print(f"access key: {ACCESS_KEY_ID}, secret: {ACCESS_KEY_SECRET}")
    print(f"listening on {server.endpoint}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
