"""Why the server closed a signaling WebSocket (RFC 6455, section 7.4).

====  ===================  ==========================================  ==============
code  name                 meaning                                     come back?
====  ===================  ==========================================  ==============
1000  NORMAL               after ``leave``                             no
1003  UNSUPPORTED          a binary message                            no
1009  TOO_LARGE            a message over 64 KiB                       no
1012  RESTARTING           the server stops or restarts                yes, soon
1013  OVERLOADED           no more rooms, or nobody at the moment      yes, later
4400  INVALID              what was sent breaks the protocol           no
4401  UNAUTHORIZED         the identity, its signature or the token    no
                           is false
4403  NOT_GRANTED          the token does not allow to enter           not to join
4406  PROTOCOL_MISMATCH    no protocol version in common               no
4407  TOKEN_EXPIRED        the token has expired, and no other came    with another
4408  HELLO_TIMEOUT        no hello within 10 s                        yes
4409  REPLACED             a newer session of the same identity        no
4410  SUPERSEDED           this session came in on a newer connection  it is there
4411  IDLE                 silent for 60 s                             yes
4412  KICKED               removed from the room, for a while at least no
4429  RATE_LIMITED         too much, or too many from there            yes, when told
4430  ROOM_FULL            the room has its maximum of peers           not to join
4431  SLOW_CONSUMER        did not read what was sent to it            yes
====  ===================  ==========================================  ==============

Any other code, and a connection that just ends, means: come back. A session
whose connection ended in any way other than by ``leave``, being replaced, or a close
frame of the client's with 1001 keeps its place in the room for the grace period.
"""

from enum import IntEnum

__all__ = ["ABNORMAL", "GOING_AWAY", "UNTRUSTED", "CloseCode"]

GOING_AWAY = 1001
"""What browsers close with when the page goes away (HTML, "make disappear")."""

ABNORMAL = 1006
"""The code of a connection that ended without a close frame (RFC 6455, 7.1.5)."""

UNTRUSTED = 1015
"""The server could not prove who it is (RFC 6455, 7.4.1). Nobody sends it, and pages see 1006."""


class CloseCode(IntEnum):
    """A WebSocket close code with a meaning of its own here."""

    NORMAL = 1000
    UNSUPPORTED = 1003
    TOO_LARGE = 1009
    RESTARTING = 1012
    OVERLOADED = 1013
    INVALID = 4400
    UNAUTHORIZED = 4401
    NOT_GRANTED = 4403
    PROTOCOL_MISMATCH = 4406
    TOKEN_EXPIRED = 4407
    HELLO_TIMEOUT = 4408
    REPLACED = 4409
    SUPERSEDED = 4410
    IDLE = 4411
    KICKED = 4412
    RATE_LIMITED = 4429
    ROOM_FULL = 4430
    SLOW_CONSUMER = 4431

    @property
    def final(self) -> bool:
        """Tell whether coming back would only fail again."""
        return self in _FINAL


_FINAL = frozenset(
    {
        CloseCode.NORMAL,
        CloseCode.UNSUPPORTED,
        CloseCode.TOO_LARGE,
        CloseCode.INVALID,
        CloseCode.UNAUTHORIZED,
        CloseCode.NOT_GRANTED,
        CloseCode.PROTOCOL_MISMATCH,
        CloseCode.REPLACED,
        CloseCode.SUPERSEDED,
        CloseCode.KICKED,
        CloseCode.ROOM_FULL,
    }
)
