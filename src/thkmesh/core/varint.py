"""Numbers of one to eight bytes: LEB128, unsigned, below 2**53.

Seven bits a byte, the lowest first; the top bit says that another byte follows.
JavaScript holds integers up to 2**53 - 1 exactly, so no larger ones are used.
"""

from thkmesh.errors import InvalidMessage

__all__ = ["read", "write"]

_LIMIT = 2**53


def write(number: int) -> bytes:
    """Return the bytes of a number."""
    if number < 0x80:
        return bytes((number,))
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def read(data: bytes, at: int) -> tuple[int, int]:
    """Return the number that begins at ``at``, and where it ends.

    Raises:
        InvalidMessage: it is cut off, or too large.
    """
    if at < len(data) and data[at] < 0x80:  # which most are
        return data[at], at + 1
    number = shift = 0
    for end in range(at, min(at + 8, len(data))):
        byte = data[end]
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            if number >= _LIMIT:
                break
            return number, end + 1
        shift += 7
    raise InvalidMessage("a number that is cut off, or beyond 2**53 - 1")
