"""Who a client is, where proxies stand before the server.

Each proxy adds whom it was talking to at the end of a header; what stands before that
anybody may have written. So the header is read from its end, and only as long as those
who wrote there are trusted: the first address that is not a trusted proxy's is the
client's. Where the connection itself is not from a trusted proxy its headers mean
nothing.

A proxy that is trusted and does not say whom it was talking to is the client itself. One
that nobody counts, for it is on the same machine, is not: its client is ``unknown`` then,
with all others of that kind, or whoever finds words that we cannot read had no limits.

There are two kinds of header: ``X-Forwarded-For`` with ``X-Forwarded-Proto``, and
``Forwarded`` (RFC 7239). A proxy passes on the one that it does not know as the client
wrote it, so the operator says which one counts; the other is never looked at.
"""

import logging
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, Literal, TypeAlias

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from thkmesh.core.admission import NAMELESS, source_of
from thkmesh.errors import InvalidArgument

__all__ = ["Client", "ProxyHeader", "ProxyHeaders", "TrustedProxies"]

logger = logging.getLogger("thkmesh.server")

ProxyHeader: TypeAlias = Literal["x-forwarded-for", "forwarded"]
Network: TypeAlias = IPv4Network | IPv6Network

_EVERYBODY: Final = "*"
_HOPS: Final = 32
"""Of a longer way the rest is not looked at."""
_LINE: Final = 4096
"""Of a longer header the beginning is not looked at."""

_NAMED: Final = r"([!#$%&'*+.^_`|~0-9A-Za-z-]++)=(\"(?:[^\"\\]|\\.)*+\"|[^\",;\s\\]*+)"
_PAIR: Final = re.compile(_NAMED)
_ELEMENT: Final = re.compile(rf"\s*+(?:{_NAMED}\s*+)?+(?:;\s*+(?:{_NAMED}\s*+)?+)*+")
"""What one proxy says (RFC 7239, section 4), with addresses that lack quotation marks."""
_SCHEMES: Final = frozenset({"http", "https", "ws", "wss"})


@dataclass(frozen=True)
class Client:
    """Where a request is from.

    Attributes:
        address: the client's; None where there are no addresses, ``unknown`` where a proxy
            should have said it.
        secure: whether it used TLS.
    """

    address: str | None
    secure: bool


@dataclass(frozen=True)
class _Hop:
    """What a proxy says of whom it was talking to."""

    address: str | None
    scheme: str | None = None


class TrustedProxies:
    """Reads the headers of those whom the operator trusts."""

    def __init__(
        self, trusted: Iterable[str] = (), header: ProxyHeader = "x-forwarded-for"
    ) -> None:
        """Trust addresses and networks; ``*`` is whoever connects, with what it says last.

        Raises:
            InvalidArgument: one of them is neither.
        """
        trusted = tuple(trusted)
        self._everybody = _EVERYBODY in trusted
        self._networks = tuple(_network(each) for each in trusted if each != _EVERYBODY)
        self._header: ProxyHeader = header
        self._warned = False

    def client(self, scope: Scope) -> Client:
        """Return where a request is from."""
        client: tuple[str, int] | None = scope.get("client")
        peer = client[0] if client else None
        secure = scope["scheme"] in {"https", "wss"}
        if not (self._everybody or self._networks):
            self._doubt(scope, peer)
            return Client(peer, secure)
        if not (self._everybody or self._trusts(peer)):
            return Client(peer, secure)
        scheme: str | None = None
        for hop in self._hops(Headers(scope=scope)):
            scheme = hop.scheme or scheme
            if hop.address is None:
                # It does not say whom: then it was the last one we know of.
                peer = peer if source_of(peer) else NAMELESS
                break
            peer = hop.address
            if not self._trusts(peer):
                break
        return Client(peer, secure if scheme is None else scheme in {"https", "wss"})

    def _trusts(self, peer: str | None) -> bool:
        address = _address(peer or "")
        if address is None:
            return False
        found = ip_address(address)
        return any(found in network for network in self._networks)

    def _hops(self, headers: Headers) -> Iterator[_Hop]:
        """Yield what each proxy says, the nearest first."""
        if self._header == "forwarded":
            return _forwarded(headers.getlist("forwarded"))
        return _x_forwarded(
            headers.getlist("x-forwarded-for"), headers.getlist("x-forwarded-proto")
        )

    def _doubt(self, scope: Scope, peer: str | None) -> None:
        """Tell the operator, once, of a proxy that seems to be nobody's."""
        headers = Headers(scope=scope)
        if not self._warned and ("x-forwarded-for" in headers or "forwarded" in headers):
            self._warned = True
            logger.warning(
                "a proxy at %s, perhaps: name it with --trusted-proxy, or all its clients "
                "count as one",
                peer,
            )


class ProxyHeaders:
    """An ASGI application whose requests are from whom trusted proxies say."""

    def __init__(self, app: ASGIApp, proxies: TrustedProxies) -> None:
        self._app = app
        self._proxies = proxies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, with the client's address and the scheme that it used."""
        if scope["type"] in {"http", "websocket"}:
            client = self._proxies.client(scope)
            schemes = ("http", "https") if scope["type"] == "http" else ("ws", "wss")
            scope = dict(scope, scheme=schemes[client.secure])
            peer = scope.get("client")
            if peer is None or peer[0] != client.address:
                scope["client"] = client.address and (client.address, 0)
        await self._app(scope, receive, send)


def _network(text: str) -> Network:
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        raise InvalidArgument(f"{text!r:.80} is neither an address nor a network") from None
    return network


def _x_forwarded(addresses: list[str], schemes: list[str]) -> Iterator[_Hop]:
    """Read both headers from the end; they belong together where they are as long."""
    if not addresses:
        return
    line = ",".join(addresses)
    said = _listed(schemes)
    paired = len(said) == line.count(",") + 1
    for index, address in enumerate(reversed(line.rsplit(",", _HOPS)[-_HOPS:])):
        # Most proxies overwrite the scheme instead of adding theirs: the one there is, then.
        scheme = said[-1 - index] if paired else (said[-1] if said else None)
        yield _Hop(_address(address.strip()), _scheme(scheme))


def _forwarded(lines: list[str]) -> Iterator[_Hop]:
    """Read the header of RFC 7239 from the end.

    What a proxy adds is the shortest end behind a comma that is a whole element: a shorter
    one begins inside of quotation marks and has an odd number of them. So whatever the
    client wrote before, an open quotation mark too, is not part of it.
    """
    if not lines:
        return
    line = ",".join(lines)
    first = line.find(",", len(line) - _LINE) if len(line) > _LINE else -1
    start = end = len(line)
    for _ in range(_HOPS):
        start = line.rfind(",", 0, start)
        if _ELEMENT.fullmatch(line, start + 1, end):
            yield _said(line[start + 1 : end])
            end = start
        if start <= first:
            break
    if end > 0:
        yield _Hop(None)


def _said(element: str) -> _Hop:
    pairs = {
        name.lower(): value.strip('"').replace("\\", "") for name, value in _PAIR.findall(element)
    }
    return _Hop(_address(pairs.get("for", "")), _scheme(pairs.get("proto")))


def _listed(lines: list[str]) -> list[str]:
    return [each.strip() for line in lines for each in line.split(",")]


def _scheme(text: str | None) -> str | None:
    scheme = (text or "").lower()
    return scheme if scheme in _SCHEMES else None


def _address(text: str) -> str | None:
    """Return an address without port, brackets and zone; None if it is none."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(found, IPv6Address):
        found = found.ipv4_mapped or found
    return str(found)
