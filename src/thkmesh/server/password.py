"""A password for all rooms of a server.

What is kept is a salted hash by scrypt (RFC 7914), which takes a moment on purpose; so it
is computed in a thread, one at a time, once for all who say the same at a time, and what
was right once is known again by a keyed hash. So a thousand members who come at once cost
one hash, and who guesses keeps only other guesses waiting. How many guesses a place in
the network has is for the caller to count (``knows``). Texts that look the same are the
same (Unicode NFC, as RFC 8265 wants).
"""

import asyncio
import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from typing import Final
from unicodedata import normalize

from thkmesh.errors import InvalidArgument

__all__ = ["PASSWORD_LIMIT", "Password"]

PASSWORD_LIMIT: Final = 256
"""No longer password is looked at."""

_COST: Final = 2**14
_MEMORY_BYTES: Final = 64 * 1024 * 1024


def _scrypt(text: str, salt: bytes) -> bytes:
    return hashlib.scrypt(text.encode(), salt=salt, n=_COST, r=8, p=1, maxmem=_MEMORY_BYTES)


@dataclass(eq=False)
class _Guess:
    """A text that is being compared, and how many wait to hear of it."""

    work: "asyncio.Task[bool]"
    waiting: int = 0


@dataclass(eq=False)
class Password:
    """One password, as far as one has to know it to recognise it."""

    _salt: bytes
    _hash: bytes
    _known: bytes = b""
    _pepper: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    _guesses: dict[bytes, _Guess] = field(default_factory=dict[bytes, _Guess])

    def __repr__(self) -> str:
        return "Password(...)"

    @classmethod
    def of(cls, text: str) -> "Password":
        """Return what recognises a password.

        Raises:
            InvalidArgument: it is empty, too long, or no text.
        """
        if not 0 < len(text) <= PASSWORD_LIMIT:
            raise InvalidArgument(f"a password has 1 to {PASSWORD_LIMIT} characters")
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise InvalidArgument("a password is text") from error
        salt = secrets.token_bytes(16)
        return cls(salt, _scrypt(normalize("NFC", text), salt))

    def knows(self, text: str) -> bool:
        """Tell whether it costs nothing to compare: it was right before, or is on its way."""
        if len(text) > PASSWORD_LIMIT:
            return True
        mark = self._mark(normalize("NFC", text))
        return hmac.compare_digest(mark, self._known) or mark in self._guesses

    def expect(self, text: str) -> None:
        """Begin to compare, at the next ``await``: whoever says the same from now on shares it."""
        if not self.knows(text):
            said = normalize("NFC", text)
            mark = self._mark(said)
            work = asyncio.get_running_loop().create_task(self._compare(said, mark))
            self._guesses[mark] = _Guess(work)

    async def matches(self, text: str) -> bool:
        """Tell whether that is the password; takes as long for what is almost it.

        Whoever is cancelled gives up its turn, unless that has begun.
        """
        if len(text) > PASSWORD_LIMIT:
            return False
        self.expect(text)
        guess = self._guesses.get(self._mark(normalize("NFC", text)))
        if guess is None:
            return True
        guess.waiting += 1
        try:
            return await asyncio.shield(guess.work)
        finally:
            guess.waiting -= 1

    def _mark(self, said: str) -> bytes:
        return hmac.digest(self._pepper, said.encode(errors="surrogatepass"), hashlib.sha256)

    async def _compare(self, said: str, mark: bytes) -> bool:
        try:
            await asyncio.sleep(0)  # whoever expects it waits by then
            async with self._turn:
                if not self._guesses[mark].waiting:
                    return False  # and nobody hears it
                found = await asyncio.to_thread(_scrypt, said, self._salt)
        except UnicodeEncodeError:
            return False
        finally:
            del self._guesses[mark]
        right = hmac.compare_digest(found, self._hash)
        if right:
            self._known = mark
        return right
