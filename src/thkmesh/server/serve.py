"""Running the server: uvicorn, set up for signaling.

uvloop and httptools; WebSockets by ``websockets``' sans-I/O protocol, without
compression (signals are small, and a deflate context costs 40 KB a connection),
at most 64 KiB a message, pinged every 20 s.
"""

import asyncio
import errno
import logging
import signal
import socket
import sys
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType

import uvicorn
from starlette.applications import Starlette
from starlette.routing import BaseRoute
from starlette.types import ASGIApp
from uvicorn.server import ServerState

from thkmesh.core.wire import SIGNALING_LIMIT_BYTES
from thkmesh.server.app import create_app
from thkmesh.server.gate import AccessSettings
from thkmesh.server.metrics import Metrics
from thkmesh.server.protocols import HttpProtocol, WebSocketProtocol
from thkmesh.server.service import RoomService, ServerSettings
from thkmesh.server.tls import write_self_signed

if sys.platform != "win32":
    import uvloop

__all__ = ["configure", "new_event_loop", "serve"]

logger = logging.getLogger("thkmesh.server")

_BACKLOG = 2048
_FAREWELL = 0.1


async def serve(
    host: str = "127.0.0.1",
    port: int = 8765,
    *,
    settings: ServerSettings | None = None,
    access: AccessSettings | None = None,
    tls_cert: Path | None = None,
    tls_key: Path | None = None,
    tls_self_signed: bool = False,
    metrics_host: str = "127.0.0.1",
    metrics_port: int | None = None,
    extra_routes: Sequence[BaseRoute] = (),
    on_ready: Callable[[int], None] | None = None,
) -> signal.Signals | None:
    """Serve until SIGTERM, SIGINT or cancellation; then ask all clients to move.

    They are closed with 1012, at most 200 a second, within ``settings.drain`` seconds; a
    second signal ends that. Returns the signal that ended it, if it was one. Signals are
    heard in the main thread only. Cancelling is safe: the server ends as if by a signal,
    two seconds after ``settings.drain`` at the latest.

    Args:
        host: a name or address; all addresses of a name are listened on.
        port: 0 takes a free one.
        settings: None means the defaults.
        access: who may do what; None means everything but to kick, for everybody.
        tls_cert: a file with the certificate chain, in PEM.
        tls_key: a file with its key, in PEM; None if it is in ``tls_cert``.
        tls_self_signed: make a certificate for this run.
        metrics_host: where Prometheus finds ``/metrics``; nobody else should.
        metrics_port: on which port; 0 takes a free one, None does without.
        extra_routes: served beside our own, such as a dashboard's.
        on_ready: called with the port once clients can come.

    Raises:
        OSError: the address cannot be listened on, or a file not be read.
        ssl.SSLError: the certificate and the key do not fit.
    """
    service = RoomService(settings, access=access)
    metrics = None if metrics_port is None else Metrics(service)
    app = create_app(service=service, extra_routes=extra_routes)
    with TemporaryDirectory(prefix="thkmesh-tls-") as folder:
        if tls_self_signed:
            tls_cert, tls_key = write_self_signed(Path(folder), host)
        config = configure(app, tls_cert, tls_key)
        config.load()
    server = _Server(config, service, on_ready)
    async with AsyncExitStack() as beside:
        if metrics is not None and metrics_port is not None:
            await beside.enter_async_context(_scraped(metrics, metrics_host, metrics_port))
        running = asyncio.create_task(server.serve(await _listen(host, port)))
        try:
            await asyncio.shield(running)
        except asyncio.CancelledError:
            server.should_exit = True
            await running
            raise
    return server.ended_by


@asynccontextmanager
async def _scraped(metrics: Metrics, host: str, port: int) -> AsyncGenerator[None]:
    """Let metrics be asked for, on a port of their own."""
    config = configure(Starlette(routes=[metrics.route]))
    config.load()
    state = ServerState()
    sockets = await _listen(host, port)
    loop = asyncio.get_running_loop()
    listening = [
        await loop.create_server(
            lambda: HttpProtocol(config=config, server_state=state, app_state={}), sock=each
        )
        for each in sockets
    ]
    logger.info("metrics on %s", sockets[0].getsockname())
    watching = asyncio.create_task(metrics.watch_loop())
    try:
        yield
    finally:
        watching.cancel()
        for each in listening:
            each.close()
        for connection in list(state.connections):
            connection.transport.abort()


def new_event_loop() -> asyncio.AbstractEventLoop:
    """Return uvloop's event loop, which halves the cost of a message, or else asyncio's.

    For ``asyncio.Runner(loop_factory=new_event_loop)``.
    """
    if sys.platform == "win32":
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def configure(
    app: ASGIApp, tls_cert: Path | None = None, tls_key: Path | None = None
) -> uvicorn.Config:
    """Return how uvicorn is to serve ``app``."""
    return uvicorn.Config(
        app,
        http=HttpProtocol,
        ws=WebSocketProtocol,
        ws_max_size=SIGNALING_LIMIT_BYTES,
        ws_ping_interval=20.0,
        ws_ping_timeout=20.0,
        ws_per_message_deflate=False,
        lifespan="off",
        log_config=None,
        log_level=logging.WARNING,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=1,
        proxy_headers=False,  # ours are of those whom the operator trusts
        ssl_certfile=tls_cert,
        ssl_keyfile=tls_key,
    )


class _Server(uvicorn.Server):
    """uvicorn's server, which says goodbye and leaves signals to those who sent them."""

    def __init__(
        self,
        config: uvicorn.Config,
        service: RoomService,
        on_ready: Callable[[int], None] | None,
    ) -> None:
        super().__init__(config)
        self._service = service
        self._on_ready = on_ready
        self.ended_by: signal.Signals | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listening in sockets or ():
            logger.info("listening on %s", listening.getsockname())
        if self._on_ready is not None and sockets:
            self._on_ready(sockets[0].getsockname()[1])

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        # uvicorn would raise the signal anew after the shutdown and kill the process.
        if self.should_exit:
            self._service.stop()
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True
        self.ended_by = signal.Signals(sig)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self._service.drain()
        self._service.stop()
        await asyncio.sleep(_FAREWELL)
        await super().shutdown(sockets)


async def _listen(host: str, port: int) -> list[socket.socket]:
    """Return sockets that listen on every address of ``host``, all on one port."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    sockets: list[socket.socket] = []
    for index, (family, _, _, _, address) in enumerate(found, start=1):
        where = (address[0], sockets[0].getsockname()[1] if sockets else port)
        try:
            sockets.append(socket.create_server(where, family=family, backlog=_BACKLOG))
        except OSError as error:
            # A name may have addresses of a family that this machine does without.
            last = index == len(found) and not sockets
            if last or error.errno not in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}:
                for listening in sockets:
                    listening.close()
                raise
    return sockets
