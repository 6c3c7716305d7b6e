"""The signaling server as an ASGI application."""

from collections.abc import Sequence
from dataclasses import replace

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import BaseRoute, WebSocketRoute

from thkmesh.errors import InvalidArgument
from thkmesh.server.gate import AccessSettings, Authenticate
from thkmesh.server.proxies import ProxyHeaders, TrustedProxies
from thkmesh.server.rest import RestApi, answer_error
from thkmesh.server.service import RoomService, ServerSettings
from thkmesh.server.web import page_routes
from thkmesh.server.websocket import WebSocketEndpoint

__all__ = ["create_app"]


def create_app(
    settings: ServerSettings | None = None,
    *,
    access: AccessSettings | None = None,
    authenticate: Authenticate | None = None,
    service: RoomService | None = None,
    serve_page: bool = True,
    extra_routes: Sequence[BaseRoute] = (),
) -> Starlette:
    """Return the server: ``/ws``, ``/api/rooms``, ``/healthz`` and ``/readyz``, and the page.

    It stands alone or is mounted anywhere in a Starlette or FastAPI application;
    it needs no lifespan. All its requests must come on one event loop, in one process.

    Args:
        settings: None means the defaults.
        access: who may do what; None means everything but to kick, for everybody.
        authenticate: the application's own login: an async function that is told who asks
            (``Asked``: room, id, token, headers, cookies, address) and returns grants or
            a ``Permit``, or None to refuse. Everybody else is served meanwhile.
        service: the rooms to serve, to share them or to stop them; made from the former
            three if None, and found at ``app.state.service`` either way.
        serve_page: serve the page at ``/`` and the browser client below ``/thkmesh/``.
        extra_routes: looked at after our own.

    Raises:
        InvalidArgument: a service has its own settings, and others were passed with it.
    """
    if authenticate is not None:
        access = replace(access or AccessSettings(), authenticate=authenticate)
    if service is not None and (settings or access) is not None:
        raise InvalidArgument("pass a service, or settings to make one, not both")
    service = service or RoomService(settings, access=access)
    settings = service.settings
    origins = settings.allowed_origins
    proxies = TrustedProxies(settings.trusted_proxies, settings.proxy_header)
    cors = Middleware(
        CORSMiddleware,
        allow_origins=origins,
        allow_methods=["GET", "POST"],
        allow_headers=["authorization", "content-type"],
    )
    app = Starlette(
        routes=[
            WebSocketRoute("/ws", WebSocketEndpoint(service)),
            *RestApi(service).routes,
            *(page_routes() if serve_page else ()),
            *extra_routes,
        ],
        middleware=[Middleware(ProxyHeaders, proxies), *([cors] if origins else [])],
        exception_handlers={HTTPException: answer_error, Exception: answer_error},
    )
    app.state.service = service
    return app
