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
    if number < 0x4000:
        return bytes((number & 0x7F | 0x80, number >> 7))
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
    left = len(data) - at
    if left > 0:  # one or two bytes, as most are
        first = data[at]
        if first < 0x80:
            return first, at + 1
        if left > 1 and data[at + 1] < 0x80:
            return first & 0x7F | data[at + 1] << 7, at + 2
    number = shift = 0
    for end in range(at, at + min(left, 8)):
        byte = data[end]
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            if number >= _LIMIT:
                break
            return number, end + 1
        shift += 7
    raise InvalidMessage("a number that is cut off, or beyond 2**53 - 1")
