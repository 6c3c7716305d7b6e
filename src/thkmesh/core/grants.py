"""What a session may do at the signaling server, and who says so.

A **grant** is one of six words; together they are what one session may do in one room:

======  ==========================================================================
join    come in, be listed, hear who is there
send    have signals passed on; so, connect to others
relay   have sealed frames passed on, where no direct path opens
create  bring the room into being
kick    have others removed
list    look into the room over HTTP, and ask for the rooms that want to be found
======  ==========================================================================

A **permit** is what somebody who showed something (a token, a password, a ticket, the
application's own login, or nothing in an open room) is given: grants, and how long they
last. Who is not admitted is **denied**, with a reason for the wire and a sentence.

A token is a JSON Web Token (RFC 7519). Whether its signature is genuine is the shell's
concern; what its claims are worth is decided here, without a clock of our own. Every
claim that admits must be there and be right; whatever else there is means nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Final, Literal, TypeAlias, get_args

import msgspec
from msgspec import Meta, Struct

from thkmesh.core.closing import CloseCode
from thkmesh.core.identity import is_id, is_room

__all__ = [
    "ALL",
    "AUDIENCE",
    "LEEWAY",
    "OPEN",
    "Claims",
    "Denied",
    "Grant",
    "Permit",
    "judge",
    "lacking_to_enter",
    "misplaced",
    "not_granted",
    "sorted_grants",
    "unauthorized",
]

Grant: TypeAlias = Literal["join", "send", "relay", "create", "kick", "list"]

ALL: Final[tuple[Grant, ...]] = get_args(Grant)
"""All grants, in the order in which they are told."""

AUDIENCE: Final = "thkmesh"
"""Whom tokens are for, unless the operator has another name for this server."""

OPEN: Final = frozenset[Grant](ALL) - {"kick"}
"""What everybody has where nobody has to prove anything."""

LEEWAY: Final = 10.0
"""Seconds that the clock of who signs a token may be ahead of ours, or behind."""


@dataclass(frozen=True, slots=True)
class Permit:
    """What somebody may do in one room.

    Attributes:
        grants: each of ``join``, ``send``, ``relay``, ``create``, ``kick`` and ``list``.
        ttl: seconds from now on for which that holds; None means without end.
        room: the one room that it is for; empty if it is for any.
        peer: the id of the one peer that it is for; empty if it is for any.
    """

    grants: frozenset[Grant] = OPEN
    ttl: float | None = None
    room: str = ""
    peer: str = ""


@dataclass(frozen=True, slots=True)
class Denied:
    """Somebody is not admitted: why, in a word and a sentence, and how that closes."""

    reason: str
    message: str
    code: CloseCode = CloseCode.UNAUTHORIZED


def unauthorized(message: str) -> Denied:
    """Return the answer to a token that is not genuine, not for here, or not for now."""
    return Denied("unauthorized", message)


def not_granted(grant: Grant) -> Denied:
    """Return the answer to who does what it has no grant for."""
    return Denied("not-granted", f"the grant {grant} is missing", CloseCode.NOT_GRANTED)


def misplaced(permit: Permit, room: str, peer: str) -> Denied | None:
    """Return why a permit is not for a peer in a room; None if it is.

    Args:
        permit: what somebody was given.
        room: where it wants to be; empty where it is about no single room.
        peer: its id; empty where nobody has one.
    """
    if permit.room and room not in {permit.room, ""}:
        return unauthorized("what was shown is for another room")
    if permit.peer and peer not in {permit.peer, ""}:
        return unauthorized("what was shown is for another peer")
    return None


def lacking_to_enter(permit: Permit, *, new: bool) -> Denied | None:
    """Return why somebody may not enter a room, a ``new`` one or not; None if it may."""
    if "join" not in permit.grants:
        return not_granted("join")
    return not_granted("create") if new and "create" not in permit.grants else None


def sorted_grants(grants: Iterable[str]) -> tuple[Grant, ...]:
    """Return those words that are grants, each once, in the order in which they are told."""
    words = set(grants)
    return tuple(each for each in ALL if each in words)


class Claims(Struct, frozen=True):
    """What a token says; times are seconds since 1970, as in RFC 7519.

    Attributes:
        aud: whom it is for.
        exp: when it ends.
        room: the one room it is for.
        grants: what its bearer may do there; words that are none of ours mean nothing.
        nbf: before when it is worth nothing.
        sub: the one peer that may use it; empty for whoever has it.
        jti: names it among all tokens; tickets need one.
        until: when the permit ends that a ticket stands for; 0 means never.
    """

    aud: str | tuple[str, ...]
    exp: Annotated[float, Meta(ge=0, lt=2**53)]
    room: Annotated[str, Meta(max_length=64)]
    grants: Annotated[tuple[Annotated[str, Meta(max_length=64)], ...], Meta(max_length=64)]
    nbf: Annotated[float, Meta(ge=0, lt=2**53)] = 0
    sub: Annotated[str, Meta(max_length=128)] = ""
    jti: Annotated[str, Meta(max_length=256)] = ""
    until: Annotated[float, Meta(ge=0, lt=2**53)] = 0


_decode = msgspec.json.Decoder(Claims).decode


def judge(  # long: one table of what a claim has to be
    payload: bytes, *, audience: str, room: str, peer: str, today: float, leeway: float = LEEWAY
) -> "tuple[Claims, Permit] | Denied":
    """Return what a genuine token is worth to a peer who wants into a room.

    Args:
        payload: its claims, as they were signed.
        audience: for whom it has to be.
        room: where its bearer wants to be; empty where it is about no single room.
        peer: the id that the bearer has proved; empty where nobody has one, as over HTTP:
            then a token that names its peer does for that peer.
        today: seconds since 1970.
        leeway: seconds that the signer's clock may differ from ours.
    """
    try:
        claims = _decode(payload)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        return unauthorized(f"the token's claims are not what they should be: {error}"[:256])
    audiences = (claims.aud,) if isinstance(claims.aud, str) else claims.aud
    left = claims.exp + leeway - today
    if audience not in audiences:
        return unauthorized("the token is for another audience")
    if left <= 0:
        return unauthorized("the token has expired")
    if claims.nbf - leeway > today:
        return unauthorized("the token is not valid yet")
    if not is_room(claims.room):
        return unauthorized("the token is for no room that there could be")
    if claims.sub and not is_id(claims.sub):
        return unauthorized("the token is for no peer that there could be")
    permit = Permit(frozenset(sorted_grants(claims.grants)), left, claims.room, claims.sub)
    return misplaced(permit, room, peer) or (claims, permit)
