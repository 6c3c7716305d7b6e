"""Messages of any size on their way out: chunks of a source go in, pieces come out.

A large chunk is cut, small ones are gathered. What a source yields without waiting shares
pieces: they are sent while the source waits, or once a piece is full. So nothing is held
back for want of more, and a thousand lines cost no thousand pieces.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterator
from typing import Final, Protocol, TypeAlias, cast, runtime_checkable

from thkmesh.core.pieces import PIECE_BYTES
from thkmesh.errors import InvalidArgument

__all__ = ["Readable", "Source", "Transfer", "chunks", "is_stream", "plain_chunks"]

_AHEAD_BYTES: Final = 2 * PIECE_BYTES
"""A source waits while so much of it has not been sent."""


@runtime_checkable
class Readable(Protocol):
    """A binary file, as far as we know it."""

    def read(self, size: int, /) -> bytes:
        """Return so many bytes, or fewer; none at the end."""
        ...


_BYTES: Final = (bytes, bytearray, memoryview)

_Bytes: TypeAlias = "bytes | bytearray | memoryview"

Source: TypeAlias = AsyncIterable[_Bytes] | Iterator[_Bytes] | Readable
"""Where a stream comes from: an async iterable, an iterator, or a binary file."""


def is_stream(data: object) -> bool:
    """Tell whether what is no message can be sent as a stream."""
    return hasattr(type(data), "__aiter__") or isinstance(data, Iterator | Readable)


def plain_chunks(source: object) -> Iterator[object]:
    """Yield what is in a file or an iterator.

    Raises:
        InvalidArgument: it is neither.
    """
    if isinstance(source, Readable):
        while chunk := source.read(PIECE_BYTES):
            yield chunk
    elif isinstance(source, Iterator):
        yield from source
    else:
        raise InvalidArgument("an async iterable needs an event loop: use thkmesh.join")


async def chunks(source: object) -> AsyncGenerator[object, None]:
    """Yield what is in an async iterable, a file or an iterator."""
    if hasattr(type(source), "__aiter__"):
        async for chunk in source:  # type: ignore[attr-defined]  # that was just asked
            yield chunk
    else:
        for chunk in plain_chunks(source):
            yield chunk


class Transfer:
    """One stream that is being sent; for one event loop."""

    def __init__(
        self,
        send: Callable[[bytes], Awaitable[None]],
        send_last: Callable[[bytes], Awaitable[None]],
        give_up: Callable[[], object],
    ) -> None:
        """Begin, on the running loop.

        Args:
            send: sends a piece.
            send_last: sends the last piece.
            give_up: says that no more will come.
        """
        self._send = send
        self._send_last = send_last
        self._give_up = give_up
        self._chunks: deque[bytes] = deque()
        self._start = 0  # where what has not been sent of the first chunk begins
        self._waiting_bytes = 0
        self._finished = False
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._pump = asyncio.create_task(self._run())
        self._pump.add_done_callback(lambda _: self._room.set())

    async def feed(self, source: AsyncGenerator[object, None]) -> None:
        """Send all that a source yields; returns when the last piece is accepted.

        Raises:
            MeshError: it cannot be sent; that does not wait for the source.
        """
        feeding = asyncio.current_task()
        assert feeding is not None, "a coroutine runs in a task"
        requests = feeding.cancelling()
        stopped = False

        def stop(pump: "asyncio.Task[None]") -> None:
            nonlocal stopped
            if not self._finished and not pump.cancelled():
                stopped = feeding.cancel()

        self._pump.add_done_callback(stop)
        try:
            async for chunk in source:
                await self.put(chunk)
            await self.finish()
        except asyncio.CancelledError:
            if not stopped or feeding.uncancel() > requests:
                raise
            await self._pump
        finally:
            self._pump.remove_done_callback(stop)
            await source.aclose()

    async def put(self, chunk: object) -> None:
        """Add a chunk; returns when there is room for another.

        Raises:
            InvalidArgument: it is not bytes.
            MeshError: what was put before could not be sent.
        """
        if not isinstance(chunk, _BYTES):
            raise InvalidArgument(f"a stream is made of bytes, not {type(chunk).__name__}")
        copy = bytes(cast("bytes", chunk))
        if copy:
            self._chunks.append(copy)
            self._waiting_bytes += len(copy)
            self._news.set()
        while self._waiting_bytes >= _AHEAD_BYTES and not self._pump.done():
            self._room.clear()
            await self._room.wait()
        if self._pump.done():
            await self._pump

    async def finish(self) -> None:
        """Send what is left; returns when the last piece is accepted.

        Raises:
            MeshError: it could not be sent.
        """
        self._finished = True
        self._news.set()
        await self._pump

    async def abort(self) -> None:
        """Send nothing more, and say so."""
        # Not before the last piece has been withdrawn, whatever becomes of who waits for that.
        self._pump.add_done_callback(self._aborted)
        self._pump.cancel()
        await asyncio.wait([self._pump])

    def _aborted(self, pump: "asyncio.Task[None]") -> None:
        if not pump.cancelled():
            pump.exception()  # whoever aborts knows of it, or has another reason
        self._give_up()

    async def _run(self) -> None:
        while True:
            if not self._waiting_bytes and not self._finished:
                self._news.clear()
                await self._news.wait()
            piece = self._take()
            self._room.set()
            if self._finished and not self._waiting_bytes:
                await self._send_last(piece)
                return
            await self._send(piece)

    def _take(self) -> bytes:
        """Return what is there, up to a piece."""
        parts: list[bytes] = []
        free = PIECE_BYTES
        while self._chunks and free:
            first = self._chunks[0]
            part = first[self._start : self._start + free] if len(first) > free else first
            if part is first and self._start:
                part = first[self._start :]
            self._start += len(part)
            if self._start == len(first):
                self._chunks.popleft()
                self._start = 0
            free -= len(part)
            parts.append(part)
        self._waiting_bytes -= PIECE_BYTES - free
        return parts[0] if len(parts) == 1 else b"".join(parts)
