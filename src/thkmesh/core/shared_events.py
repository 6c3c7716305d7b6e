"""What rooms that several server processes share ask of a broker, and hear from it.

A **node** is one life of a server process, named by 16 hexadecimal digits. See
``shared_rooms`` for the side of a node, and ``registry`` for that of the broker.
"""

from typing import Literal, TypeAlias

from msgspec import Struct

from thkmesh.core.identity import SessionKey
from thkmesh.core.room_events import Command, News

__all__ = [
    "Away",
    "Came",
    "Depart",
    "Down",
    "Entrust",
    "Join",
    "Joined",
    "Look",
    "Looked",
    "Member",
    "Mount",
    "Post",
    "Posted",
    "Returned",
    "Tell",
    "Told",
    "Unmount",
    "Up",
    "Verdict",
    "Went",
]


class Member(Struct, frozen=True):
    """One session of a room, as the broker has it.

    Attributes:
        id: of the peer.
        sid: of the session.
        node: where it is connected, or was last.
        away: it has no connection at the moment, as far as that is known.
        age: seconds since it came into the room.
        words: its introduction: the text of a ``peer-ready``.
    """

    id: str
    sid: str
    node: str
    away: bool
    age: float
    words: str

    @property
    def key(self) -> SessionKey:
        """Which session it is."""
        return SessionKey(self.id, self.sid)


class Post(Struct, frozen=True, array_like=True):
    """What is for a session on another node: a message, or else a sealed frame."""

    room: str
    id: str
    sid: str
    text: str
    frame: bytes = b""

    @property
    def to(self) -> SessionKey:
        """Which session."""
        return SessionKey(self.id, self.sid)


# --- what a broker is asked to do ---------------------------------------------------


class Join(Command, frozen=True):
    """Let a session in; answered with ``Joined``.

    Attributes:
        ticket: names the question; a claim has the number 0.
        room: which.
        key: which session.
        words: its introduction.
        claim: it is here already, and the broker may have forgotten it. A claim takes
            nobody's seat and nothing from a node that lives.
        away: it has no connection: what waits for it stays where it is.
        may_create: it may bring the room into being; a claim always may.
    """

    ticket: int
    room: str
    key: SessionKey
    words: str
    claim: bool = False
    away: bool = False
    may_create: bool = True


class Depart(Command, frozen=True):
    """Take a session out, if it is still ours."""

    room: str
    key: SessionKey
    reason: Literal["left", "timeout", "replaced"]


class Away(Command, frozen=True):
    """Note that a session of ours has no connection at the moment."""

    room: str
    key: SessionKey


class Entrust(Command, frozen=True):
    """Pass a signal on to whichever node has its session, or keep it until one has.

    Answered with ``Returned`` if neither can be done.
    """

    room: str
    to: SessionKey
    text: str


class Tell(Command, frozen=True):
    """Send a message to everybody in the room who is on another node."""

    room: str
    text: str


class Look(Command, frozen=True):
    """Say who is in a room; answered with ``Looked``."""

    room: str


class Mount(Command, frozen=True):
    """From now on what is sent to ``conn`` is for a session on another node."""

    conn: int
    node: str
    room: str
    key: SessionKey


class Unmount(Command, frozen=True):
    """The number of a mount is not used any more."""

    conn: int


# --- what it says -------------------------------------------------------------------


class Up(News, frozen=True):
    """The broker is there (again); ``epoch`` names the life of what it knows."""

    epoch: str


class Down(News, frozen=True):
    """The broker is away. What it was asked to tell us it will not answer any more."""


Verdict: TypeAlias = Literal["new", "resumed", "full", "missing", "elsewhere"]


class Joined(News, frozen=True):
    """The answer to ``Join``.

    Attributes:
        ticket: of the question.
        room: of the question.
        key: of the question.
        verdict: ``new``; ``resumed``: the same session was there; ``full``: the room has
            its maximum of peers; ``missing``: there is no such room, and the session may not
            create it; ``elsewhere``: the claim is void.
        version: how often the room has changed.
        members: all of them, the session itself included.
        waiting: the signals that were kept for it, oldest first.
    """

    ticket: int
    room: str
    key: SessionKey
    verdict: Verdict
    version: int
    members: tuple[Member, ...]
    waiting: tuple[str, ...] = ()


class Looked(News, frozen=True):
    """The answer to ``Look``."""

    room: str
    version: int
    members: tuple[Member, ...]


class Came(News, frozen=True):
    """A session came in, moved to another node, or introduced itself anew."""

    room: str
    version: int
    member: Member


class Went(News, frozen=True):
    """A session is gone."""

    room: str
    version: int
    key: SessionKey
    reason: Literal["left", "timeout", "replaced"]


class Told(News, frozen=True):
    """A message for everybody of ours in a room."""

    room: str
    text: str


class Posted(News, frozen=True):
    """What other nodes have for sessions of ours."""

    posts: tuple[Post, ...] | list[Post]


class Returned(News, frozen=True):
    """A signal could neither be passed on nor kept."""

    text: str
    reason: Literal["unknown-session", "queue-full"]
