"""A password for all rooms of a server.

What is kept is a salted hash by scrypt (RFC 7914), which takes a moment on purpose; so it
is computed in a thread, one at a time, and what was right once is known again by a keyed
hash. So a thousand members who come back cost nothing, and who guesses keeps only other
guesses waiting. Texts that look the same are the same (Unicode NFC, as RFC 8265 wants).
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
class Password:
    """One password, as far as one has to know it to recognise it."""

    _salt: bytes
    _hash: bytes
    _known: bytes = b""
    _pepper: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

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

    async def matches(self, text: str) -> bool:
        """Tell whether that is the password; takes as long for what is almost it."""
        if len(text) > PASSWORD_LIMIT:
            return False
        said = normalize("NFC", text)
        mark = hmac.digest(self._pepper, said.encode(errors="replace"), hashlib.sha256)
        if hmac.compare_digest(mark, self._known):
            return True
        async with self._turn:
            try:
                found = await asyncio.to_thread(_scrypt, said, self._salt)
            except UnicodeEncodeError:
                return False
        right = hmac.compare_digest(found, self._hash)
        if right:
            self._known = mark
        return right
