"""``sandboxkit-eci-emulator``: serves until it is told to stop, then removes what it made."""

from __future__ import annotations

import asyncio
import signal
import socket
import ssl
import sys
import tempfile
from argparse import Namespace
from contextlib import ExitStack
from pathlib import Path

from sandboxkit_eci.emulator import tls
from sandboxkit_eci.emulator.app import Server
from sandboxkit_eci.emulator.assembly import ACCESS_KEY_ID, ACCESS_KEY_SECRET, make_service
from sandboxkit_eci.emulator.commandline import UsageError, keys, read
from sandboxkit_eci.emulator.service import Service
from sandboxkit_eci.emulator.state import StateError, StateFile


def main(arguments: list[str] | None = None) -> int:
    """Run the command; give its exit code."""
    try:
        options = read(sys.argv[1:] if arguments is None else arguments)
        return asyncio.run(serve(options))
    except (UsageError, StateError, OSError) as exc:
        print(f"sandboxkit-eci-emulator: {exc}", file=sys.stderr)
        return 1 if isinstance(exc, OSError) else 2


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
    with ExitStack() as stack:
        service = make(options)
        state = StateFile(service, Path(options.state)) if options.state is not None else None
        # Only where there is something to be put: who is killed leaves the folder.
        made = options.tls == []
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="eci-emulator-"))) if made else None
        server = Server(service, tls=_tls(options, folder))
        try:
            if state is not None:
                state.load()
            await _start(server, options)
            _announce(options, server, folder)
            await stop.wait()
        finally:
            if state is not None:
                state.close()
            await server.close()
            await service.close(keep=state is not None)
    return 0


def _tls(options: Namespace, folder: Path | None) -> ssl.SSLContext | None:
    """Give what TLS needs, if it is wanted: the files that were named, or a new certificate in ``folder``."""
    if options.tls is None:
        return None
    if folder is None and len(options.tls) != 2:
        raise UsageError("--tls takes a certificate and its key, or nothing")
    certificate, key = options.tls if folder is None else tls.make_certificate(folder, options.host)
    try:
        return tls.context(certificate, key)
    except ValueError as exc:
        raise UsageError(f"--tls {exc}") from exc


async def _start(server: Server, options: Namespace) -> None:
    """Begin to listen; a host that is none is a wrong option, an address that is taken is not."""
    try:
        await server.start(options.host, options.port)
    except (socket.gaierror, UnicodeError) as exc:
        # A name that cannot be one fails while it is encoded.
        reason = exc.strerror if isinstance(exc, OSError) else "no name of a host"
        raise UsageError(f"--host {options.host}: {reason}") from exc


def _announce(options: Namespace, server: Server, folder: Path | None) -> None:
    """Say where it listens, in the first line, and then what else its clients need."""
    said = [f"listening on {server.endpoint}"]
    if folder is not None:
        said.append(f"certificate: {folder / 'certificate.pem'}")
    if not options.access_key_id:
        said.append(f"access key: {ACCESS_KEY_ID}, secret: {ACCESS_KEY_SECRET}")
    # In one write: who stops reading after the first line breaks no pipe, and who reads on need not wait.
    sys.stdout.write("\n".join([*said, ""]))
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
