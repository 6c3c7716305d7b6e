"""Where tokens come from: a text that is always the same, or a function of the application.

The application's code never runs on the session's thread. A function is called on the
application's own loop, and what it returns is awaited there; without such a loop it runs in
a thread of its own, for which nobody waits at the end of the process.
"""

import asyncio
import inspect
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import Final, TypeAlias

from thkmesh.errors import InvalidArgument, RoomClosed

__all__ = ["TOKEN_LIMIT", "Token", "TokenFunction", "TokenSource", "check_token"]

TokenFunction: TypeAlias = Callable[[], str | Awaitable[str]]
"""Returns a fresh token; may be a coroutine function."""

Token: TypeAlias = str | TokenFunction

TOKEN_LIMIT: Final = 8192


def check_token(token: object) -> str:
    """Return a token if it can be one.

    Raises:
        InvalidArgument: it cannot.
    """
    if isinstance(token, str) and token.isascii() and len(token) <= TOKEN_LIMIT:
        return token
    raise InvalidArgument(
        f"a token is ASCII text of up to {TOKEN_LIMIT} characters, or a function that returns one"
    )


async def _called(function: TokenFunction) -> str:
    result = function()
    return check_token(await result if inspect.isawaitable(result) else result)


class TokenSource:
    """Gives tokens; of itself only where that takes no time."""

    def __init__(self, token: Token = "", loop: asyncio.AbstractEventLoop | None = None) -> None:
        """Take what the application passed.

        Args:
            token: a token, or a function that returns a fresh one.
            loop: where to call it; None means in a thread of its own.
        """
        self.fixed = token if isinstance(token, str) else None
        self._function = None if isinstance(token, str) else token
        self._loop = loop

    async def fetch(self) -> str:
        """Return a fresh token; cancelling is safe.

        Raises:
            Exception: whatever the application's function raises.
            RoomClosed: the application's loop has ended.
        """
        if self._function is None:
            return self.fixed or ""
        if self._loop is None:
            return await self._in_thread(self._function)
        work = _called(self._function)
        try:
            asked = asyncio.run_coroutine_threadsafe(work, self._loop)
        except RuntimeError:  # the loop has closed meanwhile
            work.close()
            raise RoomClosed("the application's event loop has ended") from None
        return await asyncio.wrap_future(asked)

    @staticmethod
    async def _in_thread(function: TokenFunction) -> str:
        asked: Future[str] = Future()

        def ask() -> None:
            try:
                asked.set_result(asyncio.run(_called(function)))
            except BaseException as error:  # noqa: BLE001 - whatever it is, who waits must hear of it
                asked.set_exception(error)

        asked.set_running_or_notify_cancel()  # or it could be cancelled, and then not be set
        threading.Thread(target=ask, name="thkmesh-token", daemon=True).start()
        return await asyncio.wrap_future(asked)
