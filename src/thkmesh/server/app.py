"""The signaling server as an ASGI application."""

from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import BaseRoute, WebSocketRoute

from thkmesh.server.broker import BrokerUnreachable
from thkmesh.server.rest import RestApi, answer_error
from thkmesh.server.service import RoomService, ServerSettings
from thkmesh.server.web import page_routes
from thkmesh.server.websocket import WebSocketEndpoint

__all__ = ["create_app"]


def create_app(
    settings: ServerSettings | None = None,
    *,
    service: RoomService | None = None,
    serve_page: bool = True,
    extra_routes: Sequence[BaseRoute] = (),
) -> Starlette:
    """Return the server: ``/ws``, ``/api/rooms``, ``/healthz``, the page, and what is added.

    It stands alone or is mounted anywhere in a Starlette or FastAPI application;
    it needs no lifespan. All its requests must come on one event loop, in one process.

    Args:
        settings: None means the defaults.
        service: the rooms to serve, to stop them or to share them with other processes (a
            ``SharedRoomService``, which has to be started before); made from
            ``settings`` if None, and found at ``app.state.service`` either way.
        serve_page: serve the page at ``/`` and the browser client below ``/thkmesh/``.
        extra_routes: looked at after our own.
    """
    service = service or RoomService(settings)
    origins = service.settings.allowed_origins
    cors = Middleware(
        CORSMiddleware,
        allow_origins=origins,
        allow_methods=["GET", "POST"],
        allow_headers=["content-type"],
    )
    app = Starlette(
        routes=[
            WebSocketRoute("/ws", WebSocketEndpoint(service)),
            *RestApi(service).routes,
            *(page_routes() if serve_page else ()),
            *extra_routes,
        ],
        middleware=[cors] if origins else [],
        exception_handlers={
            HTTPException: answer_error,
            BrokerUnreachable: answer_error,
            Exception: answer_error,
        },
    )
    app.state.service = service
    return app
