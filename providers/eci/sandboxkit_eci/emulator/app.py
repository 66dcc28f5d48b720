"""The HTTP server: the API, exec sessions at ``/exec/``, and the emulator's own pages under ``/_emulator``."""

from __future__ import annotations

import asyncio
import json
import ssl
from contextlib import suppress

from aiohttp import web

from sandboxkit_eci.emulator.backend import Stream
from sandboxkit_eci.emulator.errors import ConnectionLost
from sandboxkit_eci.emulator.frames import ERROR, encode
from sandboxkit_eci.emulator.service import Service
from sandboxkit_eci.emulator.session import SUBPROTOCOLS, ExecWebSocket, agreed, serve
from sandboxkit_eci.emulator.signature import Request
from sandboxkit_eci.emulator.tickets import Ticket

LINE_LIMIT = 1 << 20
"""Bytes of a request's first line: clients put env and files into the query."""

BODY_LIMIT = 4 << 20


class Server:
    """Serves one service on one address."""

    def __init__(self, service: Service, *, tls: ssl.SSLContext | None = None) -> None:
        self.service = service
        self._tls = tls
        self._runner: web.AppRunner | None = None
        self._sockets: set[ExecWebSocket] = set()
        self.endpoint = ""
        """``http://HOST:PORT``, once it has started."""

    async def start(self, host: str, port: int) -> None:
        """Begin to listen; port 0 picks one."""
        app = web.Application(client_max_size=BODY_LIMIT)
        app.router.add_get("/exec/", self._exec)
        app.router.add_get("/_emulator/requests", self._requests)
        app.router.add_route("*", "/{path:.*}", self._api)
        # No access log: secrets are in the addresses.
        self._runner = web.AppRunner(
            app, access_log=None, max_line_size=LINE_LIMIT, max_field_size=LINE_LIMIT, shutdown_timeout=1.0
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port, ssl_context=self._tls, backlog=1024)
        await site.start()
        address = self._runner.addresses[0]
        name = f"[{address[0]}]" if ":" in address[0] else address[0]
        self.endpoint = f"{'https' if self._tls else 'http'}://{name}:{address[1]}"

    async def close(self) -> None:
        """Stop listening, and end what is going on."""
        for websocket in list(self._sockets):
            websocket.drop()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _api(self, request: web.Request) -> web.StreamResponse:
        path, _, query = request.raw_path.partition("?")
        headers = {name.lower(): value for name, value in request.headers.items()}
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            return web.json_response({"Code": "RequestEntityTooLarge", "Message": "too large"}, status=413)
        came = Request(method=request.method, path=path, query=query, headers=headers, body=body)
        # A client whose endpoint was given as an address says it in its Host, too.
        host = request.host.rpartition("://")[2].rstrip("/")
        origin = f"{request.scheme}://{host}"
        try:
            answer = await self.service.handle(came, origin)
        except ConnectionLost:
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=500)  # nobody is there to read it
        if answer.text is not None:
            return web.Response(status=answer.status, text=answer.text, content_type="text/html")
        return web.Response(
            status=answer.status,
            body=json.dumps(answer.body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace"),
            headers={**answer.headers, "Content-Type": "application/json;charset=utf-8"},
        )

    async def _requests(self, request: web.Request) -> web.Response:
        """Tell how often each action was asked for: nothing of the service, but of use to tests."""
        counts = self.service.counts
        body = {
            "calls": dict(counts.calls),
            "throttled": dict(counts.throttled),
            "failed": dict(counts.failed),
            "sessions": counts.sessions,
        }
        return web.json_response(body)

    async def _exec(self, request: web.Request) -> web.StreamResponse:
        service = self.service
        # First, so that an address is not used up by what cannot be a session.
        if not ExecWebSocket().can_prepare(request):
            return web.Response(status=400, text="a websocket is expected")
        ticket = service.tickets.redeem(request.query.get("s", ""), now=service.runtime.clock.now())
        if ticket is None:
            return web.Response(status=service.runtime.quirks.uri_refused_status, text="the address is not valid")
        stream = ticket.take()
        websocket = ExecWebSocket(protocols=SUBPROTOCOLS if ticket.quirks.subprotocols == "agreed" else ())
        try:
            await websocket.prepare(request)
        except BaseException:
            if stream is not None:
                await stream.close()
            raise
        service.counts.sessions += 1
        self._sockets.add(websocket)
        try:
            await self._serve(websocket, ticket, stream)
        finally:
            self._sockets.discard(websocket)
        return websocket

    async def _serve(self, websocket: ExecWebSocket, ticket: Ticket, stream: Stream | None) -> None:
        machine, quirks = ticket.container.machine, agreed(ticket.quirks, websocket.ws_protocol)
        try:
            if stream is None:
                if machine is None:
                    raise RuntimeError("the container does not run")
                stream = await machine.exec(ticket.argv, tty=ticket.tty, stdin=ticket.stdin)
        except asyncio.CancelledError:
            raise
        except Exception as exc:  # noqa: BLE001 - whatever a backend raises, the client is told
            # As Kubernetes does before v4: words on the error channel, and the end.
            with suppress(ConnectionError):
                words = f"error executing command in container: {exc}".encode()
                await websocket.send_messages([encode(ERROR, words, quirks.encoding)])
                await websocket.end(quirks.close_code)
            return
        await serve(websocket, stream, tty=ticket.tty, stdin=ticket.stdin, quirks=quirks)
