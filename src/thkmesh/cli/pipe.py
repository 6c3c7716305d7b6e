"""``thkmesh chat`` between other programs: lines in, lines out."""

import asyncio
import contextlib
import io
import sys
import threading
from collections.abc import AsyncIterator
from typing import BinaryIO, Final

from thkmesh import (
    InvalidArgument,
    Lost,
    MessageTooLarge,
    PeerLagging,
    Room,
    Undelivered,
)
from thkmesh.apps.chat import Chat, ChatMessage, displayed

__all__ = ["delivered", "relay"]

_STDIN: Final = 0
_LINE_LIMIT_BYTES: Final = 65_536
"""What is longer than a message is not read into memory either."""

_LINES_AHEAD: Final = 64
_DELIVERY_TIMEOUT: Final = 10.0
_GLANCE: Final = 0.05


async def relay(chat: Chat, linger: float) -> int:
    """Say each line of input, print each message; return the exit code.

    When the input ends, it waits until what was said is on its way to everybody,
    and ``linger`` seconds more for answers.

    Raises:
        BrokenPipeError: nobody reads our output any more.
        MeshError: the room ended.
    """
    printing = asyncio.create_task(_print(chat))
    sending = asyncio.create_task(_send(chat))
    try:
        await asyncio.wait({printing, sending}, return_when=asyncio.FIRST_COMPLETED)
        if not printing.done():
            await asyncio.wait({printing}, timeout=linger)
        if printing.done():
            printing.result()
        return 0 if sending.result() else 1
    finally:
        for task in (printing, sending):
            task.cancel()
        await asyncio.gather(printing, sending, return_exceptions=True)


async def _print(chat: Chat) -> None:
    async for entry in chat:
        match entry:
            case ChatMessage(author=author, content=content):
                print(f"{chat.name_of(author)}: {displayed(content)}", flush=True)
            case Lost(peer=peer, count=count) if count is not None:
                name = chat.name_of(peer)
                print(f"thkmesh: {count} messages from {name} were lost", file=sys.stderr)
            case Undelivered(peer=peer, count=count) | PeerLagging(peer=peer, count=count):
                name = chat.name_of(peer)
                message = f"thkmesh: {count} messages may not have reached {name}"
                print(message, file=sys.stderr)
            case _:
                pass


async def _send(chat: Chat) -> bool:
    """Say every line; return whether all could be said."""
    number = unsent = 0
    async for line in _lines():
        number += 1
        if not line.isspace():
            try:
                await chat.say(line.rstrip("\r\n"))
            except (MessageTooLarge, InvalidArgument) as error:
                unsent += 1
                print(f"thkmesh: line {number} was not sent: {error}", file=sys.stderr)
    await delivered(chat.room)
    return not unsent


async def delivered(room: Room) -> None:
    """Wait until every link is up and nothing waits for it, but not for ever."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_DELIVERY_TIMEOUT):
            while not all(  # noqa: ASYNC110 - a queue of bytes has no event
                (link := room.link(peer)) and link.path is not None and not link.waiting_bytes
                for peer in room.peers
            ):
                await asyncio.sleep(_GLANCE)


def _stdin() -> BinaryIO:
    """Return standard input, in a buffer of its own; nothing if it was closed before we began.

    The buffer of ``sys.stdin`` could not be closed at exit while a thread waits in it.
    """
    return open(_STDIN, "rb", closefd=False) if sys.stdin else io.BytesIO()


async def _lines() -> AsyncIterator[str]:
    """Yield the lines of standard input, as far as they may be sent.

    A thread reads them, because not every input can be waited for. It is a daemon:
    nothing can wake it at the end.
    """
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[bytes] = asyncio.Queue()
    ahead = threading.Semaphore(_LINES_AHEAD)

    def put(line: bytes) -> None:
        ahead.acquire()
        loop.call_soon_threadsafe(queue.put_nowait, line)

    def read() -> None:
        # OSError: there is no input. RuntimeError: the loop is closed, nobody wants it.
        with contextlib.suppress(RuntimeError):
            with contextlib.suppress(OSError), _stdin() as stdin:
                begun = False
                while piece := stdin.readline(_LINE_LIMIT_BYTES + 2):
                    if not begun:
                        put(piece)
                    begun = len(piece) > _LINE_LIMIT_BYTES and not piece.endswith(b"\n")
            put(b"")

    threading.Thread(target=read, name="stdin", daemon=True).start()
    while line := await queue.get():
        ahead.release()
        yield line.decode(errors="replace")
