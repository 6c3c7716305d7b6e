"""The browser client and the page, from the package's own files.

``/thkmesh/...`` is the folder ``web/``: the library at ``/thkmesh/index.js``, which
pages of other origins may import too, and what the page at ``/`` is made of. The
files are read once, and nothing but them can be asked for: no request ever becomes
a path. Browsers keep them and ask each time whether they are still current (RFC
9110, section 13.1.2; RFC 9111, section 5.2.2.4).

Modules are sent without what is written for people, which makes half to load; as they
are written they lie in the packages, for Python and for npm. Those of the page come
joined, in the few files that it loads (see ``linking``).
"""

import gzip
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final

from rjsmin import jsmin
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from thkmesh.server.linking import link

__all__ = ["page_routes"]

_TYPES: Final = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}

_PAGE: Final = "page/index.html"
_DOCTOR: Final = "doctor/index.html"
_ICON: Final = "page/icon.svg"
_ROOTS: Final = ("page/page.js", "page/hall.js", "page/qr.js")
"""What the page loads, in this order."""

# Nothing inline, nothing from elsewhere, no text that becomes markup or code
# (https://www.w3.org/TR/CSP3/, https://www.w3.org/TR/trusted-types/). WebSockets
# of the same host are 'self'.
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
_HEADERS: Final = {
    "cache-control": "no-cache",
    "vary": "accept-encoding",
    "x-content-type-options": "nosniff",
}
# For what a window can show; on modules they would mean nothing, and weigh.
_DOCUMENT_HEADERS: Final = {
    "content-security-policy": _POLICY,
    "cross-origin-opener-policy": "same-origin",
    "referrer-policy": "no-referrer",
}
_MODULE_HEADERS: Final = {"access-control-allow-origin": "*"}


@dataclass(frozen=True)
class _File:
    """One file, as it is sent."""

    content: bytes
    suffix: str

    @cached_property
    def digest(self) -> str:
        return hashlib.sha256(self.content).hexdigest()[:16]

    @cached_property
    def compressed(self) -> bytes:
        return gzip.compress(self.content, mtime=0)

    def answer(self, request: Request) -> Response:
        """Return the file, or that the browser has it already."""
        zipped = _takes_gzip(request.headers.get("accept-encoding", ""))
        tag = f'"{self.digest}-gzip"' if zipped else f'"{self.digest}"'
        headers = _HEADERS | {"etag": tag}
        headers |= _MODULE_HEADERS if self.suffix == "js" else _DOCUMENT_HEADERS
        if _matches(request.headers.get("if-none-match", ""), tag):
            return Response(None, 304, headers)
        if zipped:
            headers["content-encoding"] = "gzip"
        content = self.compressed if zipped else self.content
        return Response(content, 200, headers | {"content-type": _TYPES[self.suffix]})


def page_routes() -> list[Route]:
    """Return the routes of the page and of the client library."""
    return [
        Route("/", _page),
        Route("/doctor", _doctor),
        Route("/favicon.ico", _icon),
        Route("/thkmesh/{path:path}", _asset),
    ]


async def _page(request: Request) -> Response:
    return _files()[_PAGE].answer(request)


async def _doctor(request: Request) -> Response:
    return _files()[_DOCTOR].answer(request)


async def _icon(request: Request) -> Response:
    """Answer what browsers ask for beside any document that names no icon."""
    return _files()[_ICON].answer(request)


async def _asset(request: Request) -> Response:
    file = _files().get(request.path_params["path"])
    if file is None:
        raise HTTPException(404, "the browser client has no such file")
    return file.answer(request)


@cache
def _files() -> dict[str, _File]:
    """Return all there is, by the path below ``web/``."""
    found = dict(_walk(files("thkmesh") / "web", ""))
    modules = {path: text.decode() for path, text in found.items() if path.endswith(".js")}
    modules |= link(modules, _ROOTS)
    found |= {path: jsmin(text).encode() for path, text in modules.items()}
    return {path: _File(content, path.rpartition(".")[2]) for path, content in found.items()}


def _walk(folder: Traversable, path: str) -> Iterator[tuple[str, bytes]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _walk(entry, f"{path}{entry.name}/")
        elif entry.name.rpartition(".")[2] in _TYPES:
            yield path + entry.name, entry.read_bytes()


def _takes_gzip(accepted: str) -> bool:
    """Tell whether ``Accept-Encoding`` allows gzip (RFC 9110, section 12.5.3)."""
    for coding in accepted.lower().split(","):
        name, _, weight = coding.partition(";")
        if name.strip() in {"gzip", "x-gzip"}:
            return weight.replace(" ", "") not in {"q=0", "q=0.0", "q=0.00", "q=0.000"}
    return False


def _matches(known: str, tag: str) -> bool:
    """Tell whether ``If-None-Match`` names the tag; the comparison is weak."""
    return known.strip() == "*" or tag in (
        each.strip().removeprefix("W/") for each in known.split(",")
    )
