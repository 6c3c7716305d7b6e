"""A connection to Redis: commands and their replies, pipelined, or what is published.

hiredis reads and writes the protocol (RESP2). There are clients that do more, and that is
why we have our own: they come back behind one's back when a connection is lost, and we
have to know of each loss; and a message costs them ten times as much.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, cast
from urllib.parse import parse_qs, unquote, urlsplit

import hiredis

from thkmesh.errors import InvalidArgument

__all__ = ["Address", "Link", "Words", "address_of"]

Words: TypeAlias = tuple[str | bytes | int, ...]

_Reply: TypeAlias = Any
"""Bytes, an integer, a list of replies, None, or an error."""

_PORT = 6379


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where a Redis is, and what it wants to hear first.

    Attributes:
        path: of its socket; empty for TCP.
        host: its name or address.
        port: its port.
        tls: speak TLS.
        greeting: the commands to begin with.
    """

    path: str = ""
    host: str = ""
    port: int = _PORT
    tls: bool = False
    greeting: tuple[Words, ...] = ()


def address_of(url: str) -> Address:
    """Return what a URL says.

    Args:
        url: ``redis://``, with TLS ``rediss://``, then ``user:password@``, host, ``:port`` and
            ``/database``, all but the host optional; or ``unix:///path?db=0``.

    Raises:
        InvalidArgument: it is no such URL.
    """
    try:
        parts = urlsplit(url)
        port, host = parts.port or _PORT, parts.hostname or ""
        socket = parts.scheme == "unix"
        database = int(parse_qs(parts.query).get("db", ["0"])[0] if socket else parts.path[1:] or 0)
    except ValueError:
        raise InvalidArgument("the address of Redis is no URL") from None
    if parts.scheme not in {"redis", "rediss", "unix"} or not (parts.path if socket else host):
        raise InvalidArgument("the address of Redis is redis://HOST:PORT, or unix:///PATH")
    greeting: list[Words] = []
    if parts.password is not None:
        user = (unquote(parts.username),) if parts.username else ()
        greeting.append(("AUTH", *user, unquote(parts.password)))
    if database:
        greeting.append(("SELECT", database))
    return Address(
        path=unquote(parts.path) if socket else "",
        host=host,
        port=port,
        tls=parts.scheme == "rediss",
        greeting=tuple(greeting),
    )


class Link(asyncio.Protocol):
    """One connection, until it is lost.

    Attributes:
        lost: done when it is; nothing comes from it then.
    """

    def __init__(self, published: Callable[[bytes], None] | None = None) -> None:
        """Made by ``open``."""
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._published = published
        self._reader = hiredis.Reader()
        self._owed: deque[tuple[int, list[_Reply], asyncio.Future[list[_Reply]]]] = deque()
        self._transport: asyncio.Transport | None = None

    @classmethod
    async def open(
        cls, address: Address, published: Callable[[bytes], None] | None = None
    ) -> "Link":
        """Connect, and be greeted.

        Args:
            address: where to.
            published: is called with what comes in channels, if any are subscribed to.

        Raises:
            OSError: it cannot be reached, or wants another password.
        """
        loop = asyncio.get_running_loop()
        if address.path:
            _, link = await loop.create_unix_connection(lambda: cls(published), address.path)
        else:
            tls = ssl.create_default_context() if address.tls else None
            _, link = await loop.create_connection(
                lambda: cls(published), address.host, address.port, ssl=tls
            )
        try:
            for reply in await link.ask(address.greeting):
                if isinstance(reply, hiredis.ReplyError):
                    raise ConnectionRefusedError(str(reply))
        except BaseException:
            link.close()
            raise
        return link

    async def ask(self, commands: Sequence[Words]) -> list[_Reply]:
        """Have commands done in order; return the replies, of which some may be errors.

        Cancelling leaves them to be done.

        Raises:
            ConnectionError: the connection is lost; some may have been done.
        """
        if not commands:
            return []
        if self.lost.done() or self._transport is None:
            raise ConnectionResetError("the connection to Redis is lost")
        replies: asyncio.Future[list[_Reply]] = asyncio.get_running_loop().create_future()
        self._owed.append((len(commands), [], replies))
        self._transport.write(b"".join(map(hiredis.pack_command, commands)))
        return await replies

    def close(self) -> None:
        """End it at once."""
        if self._transport is not None:
            self._transport.abort()

    # --- what the loop calls ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one by shape only

    def data_received(self, data: bytes) -> None:
        """Take in replies and what is published."""
        try:
            self._reader.feed(data)
            while (reply := self._reader.gets()) is not False:
                self._take(reply)
        except hiredis.ProtocolError:
            self.close()

    def _take(self, reply: _Reply) -> None:
        if self._published is not None and reply[0] == b"message":
            self._published(reply[2])
            return
        count, replies, done = self._owed[0]
        replies.append(reply)
        if len(replies) == count:
            self._owed.popleft()
            if not done.done():
                done.set_result(replies)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell all who wait."""
        if not self.lost.done():
            self.lost.set_result(None)
        for _, _, done in self._owed:
            if not done.done():
                done.set_exception(ConnectionResetError("the connection to Redis is lost"))
        self._owed.clear()
