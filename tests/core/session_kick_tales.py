"""Stories for the vectors of the session: who is removed from the room, and by whom."""

from collections.abc import Callable

from tests.core.session_stories import ADA, CAT, ME, ZOE, Story, key
from tests.core.session_traces import Recorder
from thkmesh.core import frames, wire
from thkmesh.core import link_events as link
from thkmesh.core.engine import CONTROL, ChannelClosed
from thkmesh.core.expulsion import ANSWER_TIMEOUT, CLAIMS, EXPULSION_LIMIT, Statement
from thkmesh.core.machine import Slept
from thkmesh.core.session_events import (
    Cancel,
    Expelled,
    Heard,
    Introduced,
    Kick,
    Leave,
    SocketLost,
    Start,
    Welcomed,
)
from thkmesh.peer import Peer

__all__ = ["TALES"]

EPOCH = 1_800_000_000_000
"""What the server's clock says at 0."""


def _statement(who: str, at: float, until: float, reason: str = "") -> Statement:
    """Return one of some seconds of the server's life, in a form that is easy to read."""
    at_ms, until_ms = EPOCH + int(at * 1000), EPOCH + int(until * 1000)
    return Statement(who, at_ms, until_ms, reason, f"body {who[0]} {at}", f"sign {who[0]} {at}")


def _enter(story: Story, *peers: Peer, time: int = EPOCH, room_key: str = "k" * 43) -> None:
    """Open the way to a server that removes people."""
    story.tell(Start())
    story.tell(Heard(wire.Challenge(nonce="n", epoch="one", protocol=(1, 1))))
    _welcome(story, *peers, time=time, room_key=room_key)


def _welcome(story: Story, *peers: Peer, time: int = EPOCH, room_key: str = "k" * 43) -> None:
    message = wire.Welcome("r", "one", "s", room_key=room_key, time=time)
    story.tell(Welcomed(message, peers, tuple(map(key, peers))))


def _told(story: Story, who: str, at: float, until: float, reason: str = "") -> None:
    story.tell(Expelled(_statement(who, at, until, reason)))


def _parted(recorder: Recorder) -> None:
    """Who is removed is told, and left; so are all others; what is old or over does nothing."""
    story = Story(recorder)
    _enter(story, ADA, CAT, ZOE)
    story.connect(ADA, CAT, ZOE)
    story.send(1)
    story.send(2, CAT)
    _told(story, CAT.id, 0.0, 60.0, "spam")
    _told(story, CAT.id, 0.0, 60.0, "spam")
    _told(story, CAT.id, -1.0, 90.0)
    _told(story, ZOE.id, -9.0, 0.0)
    story.left(CAT)
    story.run(1.0)
    _told(story, CAT.id, 1.0, 5.0)
    _told(story, "d" * 26, 1.0, 5.0)
    story.run(10.0)


def _passed_on(recorder: Recorder) -> None:
    """A statement goes over every connection that comes up, once, and none that has it."""
    story = Story(recorder)
    _enter(story, ADA, ZOE)
    story.connect(ZOE)
    _told(story, CAT.id, 0.0, 60.0)
    story.connect(ADA)
    _told(story, "d" * 26, 0.5, 2.0)
    story.engine(ZOE, ChannelClosed(CONTROL))
    story.run(3.0)
    story.await_request()
    story.perform()
    story.answer(ZOE, "z2", 2)
    story.perform()
    story.open(ZOE)
    for number in range(CLAIMS + 2):
        story.frames(ADA, frames.Kicked(f"body {number}", f"sign {number}"))
    story.frames(ADA, frames.Kicked("body 0", "sign 0"))
    story.frames(ZOE, frames.Kicked("body c 0.0", "sign c 0.0"))
    story.engine(ZOE, ChannelClosed(CONTROL))
    story.frames(ZOE, frames.Kicked("late", "late"))
    story.frames(ZOE, frames.Kicked("body c 0.0", "sign c 0.0"))
    story.link(ZOE, link.Relayed(frames.datagram(frames.Kicked("b", "s"))))
    story.run(5.0)


def _without_the_server(recorder: Recorder) -> None:
    """Who is away from it obeys as well, and learns with its next welcome who is there."""
    story = Story(recorder)
    _enter(story, ADA, ZOE)
    story.connect(ADA, ZOE)
    story.tell(SocketLost(1006, "gone"))
    _told(story, ZOE.id, 0.0, 2.0)
    story.run(5.0)
    _welcome(story, ADA, ZOE, time=EPOCH + 5_000)
    story.run(1.0)


def _kept_out(recorder: Recorder) -> None:
    """Who comes back too soon has to wait; unless it goes, or the list is without it."""
    story = Story(recorder)
    _enter(story, ADA, CAT, ZOE)
    _told(story, CAT.id, 0.0, 10.0)
    _told(story, ADA.id, 0.0, 20.0)
    back = Peer(CAT.id, "7" * 16, "Cat")
    for sealed in (True, False):
        story.tell(Introduced(back, sealed))
    story.tell(Introduced(Peer(ADA.id, "8" * 16, "Ada"), sealed=True))
    story.tell(Heard(wire.PeerLeft("r", ADA.id, "8" * 16)))
    story.run(11.0)
    story.tell(Introduced(ADA, sealed=True))
    _welcome(story, ADA, back, ZOE, time=EPOCH + 11_000)
    story.run(5.0)
    _welcome(story, ZOE, time=EPOCH + 16_000)
    story.tell(Slept(3.0))
    story.run(10.0)
    # Without a clock nothing holds.
    _told(story, ZOE.id, 27.0, 60.0)
    story.tell(Introduced(Peer(ZOE.id, "9" * 16, "Zoe"), sealed=False))
    _welcome(story, ZOE, time=0)
    _told(story, CAT.id, 28.0, 60.0)


def _many(recorder: Recorder) -> None:
    """Only so many are kept out, and only so many wait."""
    story = Story(recorder)
    _enter(story)
    ids = [f"{number:0>26}".replace("0", "a").replace("1", "b") for number in range(10)]
    for number in range(EXPULSION_LIMIT + 2):
        who = ids[number % 10][:23] + f"{number:03}".translate({48 + n: 97 + n for n in range(10)})
        _told(story, who, 0.0, 100.0 - number // 100)
        story.tell(Introduced(Peer(who, "5" * 16, "")))
        story.tell(Introduced(Peer(who, "6" * 16, "")))
    story.run(101.0)


def _own(recorder: Recorder) -> None:
    """Who is removed itself does not come back, whoever says so first."""
    for connected in (True, False):
        story = Story(recorder)
        _enter(story, ADA)
        story.connect(ADA)
        if not connected:
            story.tell(SocketLost(1006, "gone"))
        _told(story, ME.id, 0.0, 60.5, "spam \N{GRINNING FACE}")
        story.tell(SocketLost(4412, "kicked"))
        story.run(10.0)
        story.tell(Kick(9, ADA.id, 60.0, ""))
    for complaint in ("come back in 9 s", ""):
        story = Story(recorder)
        story.tell(Start())
        story.tell(Heard(wire.Challenge(nonce="n", epoch="one", protocol=(1, 1))))
        story.tell(Heard(wire.Error("kicked", complaint, 9.0)))
        story.tell(SocketLost(4412, "kicked"))


def _asked(recorder: Recorder) -> None:
    """A request is done, refused, or left without an answer."""
    story = Story(recorder)
    story.tell(Kick(1, ADA.id, 60.0, ""))
    _enter(story, ADA, room_key="")
    story.tell(Kick(2, ADA.id, 60.0, ""))
    _welcome(story, ADA, ZOE)
    for token, who in ((3, ADA), (4, ADA), (5, ZOE), (6, ZOE)):
        story.tell(Kick(token, who.id, 3600.0, "spam"))
    story.tell(Cancel(4))
    story.tell(Heard(wire.Error("not-granted", "no", n=3)))
    story.tell(Heard(wire.Error("not-granted", "no", n=99)))
    story.tell(Heard(wire.Error("else", "no")))
    _told(story, ADA.id, 0.0, 60.0)
    _told(story, ADA.id, 0.0, 60.0)
    story.answering = True
    story.tell(Kick(7, ADA.id, 60.0, ""))
    story.run(ANSWER_TIMEOUT)
    story.tell(Kick(8, ZOE.id, 60.0, ""))
    story.tell(SocketLost(1006, "gone"))
    story.tell(Kick(9, ZOE.id, 60.0, ""))
    story.tell(Leave(1.0))
    story.tell(Kick(10, ZOE.id, 60.0, ""))
    story = Story(recorder)
    _enter(story, ADA)
    story.tell(Kick(1, ADA.id, 60.0, ""))
    story.tell(Leave(0.0))
    story = Story(recorder)
    _enter(story, ADA)
    story.connect(ADA)
    story.send(1)
    story.tell(Leave(5.0))
    story.tell(Kick(2, ADA.id, 60.0, ""))
    story.run(6.0)
    story = Story(recorder)
    _enter(story, ADA)
    story.tell(Kick(1, ADA.id, 60.0, ""))
    story.tell(SocketLost(4409, "replaced"))


TALES: tuple[Callable[[Recorder], None], ...] = (
    _parted,
    _passed_on,
    _without_the_server,
    _kept_out,
    _many,
    _own,
    _asked,
)
