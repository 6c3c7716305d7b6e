"""Stories for the vectors of the session: the server, members, sending and leaving."""

from collections.abc import Callable

from tests.core.session_stories import (
    ADA,
    CAT,
    ME,
    ZOE,
    Story,
    acked,
    key,
    sdp,
)
from tests.core.session_traces import Recorder
from thkmesh.core import engine, frames, wire
from thkmesh.core import link_events as link
from thkmesh.core.closing import CloseCode
from thkmesh.core.machine import Slept, Tick
from thkmesh.core.membership import PARTING, RETURN_GRACE
from thkmesh.core.session import PATIENCE
from thkmesh.core.session_events import (
    Cancel,
    Heard,
    Leave,
    NetworkChanged,
    SignalVerified,
    SocketLost,
    Start,
    Suspected,
)
from thkmesh.core.window import LEAST_BYTES, MOST_BYTES
from thkmesh.errors import IdentityMismatch, InvalidMessage, InvalidSignature
from thkmesh.signaling.verification import IncompatiblePeer, MalformedBody

__all__ = ["TALES"]

CODES = (*CloseCode, 1001, 1006, 1011, 4999)


# --- the server -------------------------------------------------------------------


def _close_codes(recorder: Recorder) -> None:
    """Each code before and after the first welcome, with a reason and without."""
    for code in CODES:
        for joined in (False, True):
            for reason in ("", "because"):
                story = Story(recorder)
                if joined:
                    story.enter(ADA)
                else:
                    story.tell(Start())
                story.send(1)
                story.tell(SocketLost(code, reason), 0.5)
                story.tell(Tick(), 6.0)


def _retries(recorder: Recorder) -> None:
    """A server that is away, silent, too new, or asks for odd pings."""
    story = Story(recorder)
    story.tell(Start())
    for _ in range(8):
        story.tell(SocketLost(1006, "refused"))
        story.run(5.0)
    story.run(30.0)  # nobody greets us
    story.welcome(ping_interval=0.01)
    story.run(3.5)
    story.tell(Heard(wire.Pong(1)))
    story.run(15.0)  # a server that fell silent
    story.tell(Heard(wire.Pong(2)))  # from nowhere
    story.welcome(ADA, epoch="two", ping_interval=3600.0)
    story.run(61.0)
    story.tell(Heard(wire.Error("rate", "slower", 1.5)))
    story.tell(Heard(wire.Challenge(nonce="n", epoch="two", protocol=(1, 1))))
    for low, high in ((2, 3), (0, 0)):
        story = Story(recorder)
        story.tell(Start())
        story.tell(Heard(wire.Challenge(nonce="n", epoch="one", protocol=(low, high))))
        story.send(1)


def _patience(recorder: Recorder) -> None:
    """A server that is about to stop, or has had too much of us, says when to come back."""
    for message, code in (
        (wire.Moving(2.0), CloseCode.RESTARTING),
        (wire.Error("rate-limited", "slower", 3.0), CloseCode.RATE_LIMITED),
        (wire.Error("rate-limited", "slower"), CloseCode.RATE_LIMITED),
        (wire.Moving(3600.0), CloseCode.RESTARTING),
    ):
        story = Story(recorder)
        story.enter(ADA)
        story.run(6.0)
        story.tell(Heard(message))
        story.tell(SocketLost(code, ""))
        story.tell(NetworkChanged(), 0.5)
        story.run(4.0)
        story.run(60.0)


def _admissions(recorder: Recorder) -> None:
    """A fresh token is asked for when the server asks, and not before it knows us."""
    asked = Heard(wire.Admitted(60.0, ("join", "send"), renew=True))
    story = Story(recorder)
    story.tell(Start())
    story.tell(asked)
    story.enter(ADA)
    story.tell(asked)
    story.tell(Heard(wire.Admitted(600.0, ("join",))))
    story.tell(Heard(wire.IceServers((wire.IceServer(("turn:x",), "name", "secret"),))))
    story.tell(SocketLost(CloseCode.TOKEN_EXPIRED, "token-expired"))
    story.run(6.0)
    # The room is gone, and we may not make it; until somebody does, and we are refused.
    story.tell(SocketLost(CloseCode.NOT_GRANTED, "not-granted"))
    story.run(6.0)
    story.welcome(ADA, epoch="two")
    story.tell(SocketLost(CloseCode.NOT_GRANTED, "not-granted"))
    story.run(6.0)


def _leaving_the_server(recorder: Recorder) -> None:
    """It is told if it has heard of us, in whatever state we are."""
    challenge = Heard(wire.Challenge(nonce="n", epoch="one", protocol=(1, 1)))
    for stage in range(5):
        story = Story(recorder)
        if stage:
            story.tell(Start())
        if stage > 1:
            story.tell(challenge)
        if stage > 2:
            story.welcome()
        if stage > 3:
            story.tell(SocketLost(1006, ""))
            story.tell(Heard(wire.Pong(1)))
        story.tell(Leave(1.0))
        story.send(1)
        story.tell(Tick(), 1.0)
    story = Story(recorder)
    story.enter()
    story.tell(SocketLost(1006, ""))
    story.run(1.0)
    story.tell(challenge)
    story.tell(Leave(1.0))


def _suspicions(recorder: Recorder) -> None:
    """What was not what it claims to be is told, with who it claims to be if known."""
    story = Story(recorder)
    story.enter(ADA)
    arrived = link.SignalArrived(1, 0, None)
    for error in (
        InvalidMessage("x"),
        InvalidSignature("x"),
        IdentityMismatch("x"),
        IncompatiblePeer("x"),
        wire.UnknownType("x"),
        wire.Unsigned("x"),
        wire.WrongEnvelope("x"),
        MalformedBody("x", arrived),
    ):
        for claimed in (key(ADA), key(CAT), None):
            story.tell(Suspected(claimed, error))


def _refusals(recorder: Recorder) -> None:
    """A refused signal stops its link; but not one that may be taken later."""
    for reason in ("queue-full", "unknown-session", "whatever"):
        story = Story(recorder)
        story.enter(ZOE)
        story.perform()
        story.refused(ZOE, reason)
        story.refused(CAT, reason)
        story.run(8.0)
        story.introduce(ZOE)
        story.run(20.0)


# --- members ----------------------------------------------------------------------


def _members(recorder: Recorder) -> None:
    """They come, are replaced, part, are given up and come back."""
    story = Story(recorder)
    story.enter(ADA, CAT, ZOE)
    story.introduce(ADA)
    newer = type(ADA)(ADA.id, "f" * 16, "Ada again")
    story.introduce(newer)
    story.introduce(ADA)
    story.left(CAT)
    story.introduce(type(CAT)(CAT.id, "e" * 16, "Cat again"))
    story.run(PARTING)
    story.introduce(CAT)
    story.connect(ZOE)
    story.left(ZOE, "timeout")
    story.engine(ZOE, engine.ChannelClosed(engine.CONTROL))
    story.introduce(ZOE)
    story.perform()
    story.left(ZOE, "timeout")
    story.introduce(ZOE)
    story.left(newer, "replaced")
    story.left(ADA, "replaced")
    story.run(5.0)
    story.welcome()
    story.introduce(type(ADA)(ME.id, ME.sid, "me"))


def _partings(recorder: Recorder) -> None:
    """The server's word, the goodbye and the end of the link, in any order."""
    story = Story(recorder)
    story.enter(ADA, CAT, ZOE)
    story.connect(ADA, CAT, ZOE)
    story.left(ADA)
    story.run(PARTING / 2)
    story.message(ADA, 0, "last words", stream=1)
    story.run(PARTING / 2)
    story.frames(ADA, frames.Bye())
    story.left(CAT)
    story.engine(CAT, engine.ChannelClosed(engine.CONTROL))
    story.frames(ZOE, frames.Bye())
    story.left(ZOE)
    story.welcome(ADA, CAT, ZOE)


def _restarts(recorder: Recorder) -> None:
    """A server that comes back empty; some come back to it, some do not."""
    story = Story(recorder)
    story.enter(ADA, CAT, ZOE)
    story.connect(ADA, CAT)
    story.tell(SocketLost(CloseCode.RESTARTING, "restart"))
    story.send(1)
    story.run(1.0)
    story.welcome(epoch="two")
    story.introduce(ADA)
    story.engine(CAT, engine.ChannelClosed(engine.CONTROL))
    story.tell(Slept(2.0))
    story.run(RETURN_GRACE + 2.0)
    story.welcome(epoch="two")


def _return_without_a_beginning(recorder: Recorder) -> None:
    """A link that the other side was to begin goes on from nothing."""
    story = Story(recorder)
    story.enter(ADA)
    story.left(ADA, "timeout")
    story.introduce(ADA)
    story.run(20.0)
    story.connect(ADA)
    story.left(ADA, "timeout")
    story.engine(ADA, engine.ChannelClosed(engine.CONTROL))
    story.introduce(ADA)
    story.run(1.0)


# --- sending ----------------------------------------------------------------------


def _full_logs(recorder: Recorder) -> None:
    """Senders wait in order for the logs they need; they may cancel; a leaver frees them."""
    story = Story(recorder)
    story.enter(ADA, CAT)
    story.connect(CAT)
    story.fill(1, ADA)
    for token, to in ((3, None), (4, ADA), (5, CAT), (6, ADA), (7, ZOE)):
        story.send(token, to)
    story.tell(Cancel(4))
    story.tell(Cancel(4))
    story.left(ADA)
    story.run(PARTING)
    story.tell(Cancel(6))
    story = Story(recorder)
    story.enter(ADA)
    story.fill(1, None)
    story.send(3)
    story.send(4, ADA)
    story.tell(Cancel(3))
    story.run(2 * PATIENCE)
    story.send(5)
    story.tell(SocketLost(CloseCode.REPLACED, ""))


def _laggards(recorder: Recorder) -> None:
    """Everybody waits for the slowest for a while, who is then cut loose, and told."""
    story = Story(recorder)
    story.enter(ADA, CAT, ZOE)
    story.connect(ADA, CAT)
    story.fill(1, None)
    story.send(3)
    for number in range(140, 281, 70):
        for _ in range(12):
            story.link(CAT, link.Measured(1, 0))
        story.frames(CAT, acked({0: number}))
    story.run(PATIENCE)
    story.send(4, ADA)
    story.connect(ZOE)
    for _ in range(25):
        story.link(ADA, link.Measured(1, 0))
    story.frames(ADA, acked({0: 275}))
    story.frames(ADA, acked({1: 1}))
    story.left(ZOE, "timeout")
    story.engine(ZOE, engine.ChannelClosed(engine.CONTROL))


def _vain(recorder: Recorder) -> None:
    """Who was cut loose and is not heard of costs nobody any more time."""
    story = Story(recorder)
    story.enter(ADA)
    story.fill(1, None)
    story.send(2)
    story.run(PATIENCE)
    story.fill(3, None)
    story.send(4)
    story.connect(ADA)
    story.frames(ADA, acked({0: 550}))


def _losses(recorder: Recorder) -> None:
    """What others give up is lost here, and counted; it may have come in part."""
    story = Story(recorder)
    story.enter(ADA)
    story.connect(ADA)
    story.message(ADA, 0, "one")
    story.frames(ADA, frames.Fragment(0, 1, 1, last=False, payload=b"half"))
    story.frames(ADA, frames.Skip(0, frames.Begin(9, 6, 2000)))
    story.frames(ADA, frames.Skip(0, frames.Begin(9, 6, 2000)))
    story.message(ADA, 8, "late")
    story.message(ADA, 9, "on")
    story.run(1.0)
    story.frames(ADA, frames.Skip(1, frames.Begin(3, 0, 300)))
    story.engine(ADA, engine.ChannelClosed(engine.CONTROL))
    story.left(ADA, "timeout")


def _resumptions(recorder: Recorder) -> None:
    """Another connection goes on from what the other side has, if that is possible."""
    for expected, later in ((0, 3), (2, 5), (3, 3), (4, 4), (9, 9)):
        story = Story(recorder)
        story.enter(ADA)
        story.send(1)
        story.connect(ADA)
        story.send(2, ADA)
        story.send(3)
        story.frames(ADA, acked({0: 1, 1: 1}))
        story.engine(ADA, engine.ChannelClosed(engine.CONTROL))
        story.send(4)
        story.offer(ADA, "A2", 2, 2)
        story.perform()
        story.open(ADA)
        story.resume(ADA, s0=expected, s1=1)
        story.resume(ADA, s0=later, s1=1)
        story.frames(ADA, acked({0: later}))
        story.message(ADA, 0, [expected])
        story.run(1.0)


def _returns(recorder: Recorder) -> None:
    """Who was given up and comes back, and knows nothing of that, is told what it missed."""
    story = Story(recorder)
    story.enter(ADA)
    story.connect(ADA)
    story.send(1)
    story.message(ADA, 0, "before")
    story.engine(ADA, engine.ChannelClosed(engine.CONTROL))
    story.left(ADA, "timeout")
    story.send(2)
    story.introduce(ADA)
    story.send(3)
    story.offer(ADA, "A3", 3, 2)
    story.perform()
    story.open(ADA)
    story.resume(ADA, s0=1)
    story.message(ADA, 1, "after")
    story.frames(ADA, acked({0: 3}))
    story.run(1.0)


def _backpressure(recorder: Recorder) -> None:
    """Only a window is handed on; the engine is asked how much it holds."""
    story = Story(recorder)
    story.enter(ADA)
    story.connect(ADA)
    for token in range(7):
        story.send(token, ADA, bytes(MOST_BYTES // 2))
    story.link(ADA, link.Measured(1, LEAST_BYTES))
    story.link(ADA, link.Measured(1, LEAST_BYTES - 1))
    story.link(ADA, link.Measured(7, 0))
    story.engine(ADA, engine.BufferLow(engine.BULK))
    story.engine(ADA, engine.BufferLow(engine.CONTROL))
    story.run(0.01)  # 8 MB/s
    story.link(ADA, link.Measured(1, 10_000))
    story.link(ADA, link.Measured(1, 40_000))
    story.frames(ADA, acked({1: 2}))
    story.run(0.06)  # 1 MB/s
    story.link(ADA, link.Measured(1, 50_000))
    story.run(0.3)  # 0.2 MB/s
    story.link(ADA, link.Measured(1, 20_000))
    story.link(ADA, link.Measured(1, 0))
    story.link(ADA, link.Measured(1, 0))
    for token in range(8, 60):
        story.send(token, ADA if token % 3 else None, "x" * (40 * token))
    story.link(ADA, link.Measured(1, 0))
    story.engine(ADA, engine.ChannelClosed(engine.CONTROL))
    story.link(ADA, link.Measured(1, 0))
    story.send(60)
    story.signal(ADA, wire.OfferBody(2, 2, wire.SeedDescription("offer", sdp("A2"))))
    story.perform()
    story.open(ADA)


def _bursts(recorder: Recorder) -> None:
    """What comes in a burst shares datagrams, goes to everybody, and waits for links."""
    story = Story(recorder)
    story.enter(ADA, CAT)
    story.send_all("before", [1, 2])
    story.connect(ADA)
    story.send_all(*range(20))
    story.send(1)
    story.send_all(bytes(9000), bytes(9000), "x", "")
    story.connect(CAT)
    story.tell(SocketLost(CloseCode.REPLACED, ""))
    story.send_all("too late")


# --- leaving ----------------------------------------------------------------------


def _leavings(recorder: Recorder) -> None:
    """With patience, with too little, hurried, and while others come and go."""
    for patience, later in ((5.0, None), (5.0, 50.0), (50.0, 1.0), (0.0, None), (9.0, 9.0)):
        story = Story(recorder)
        story.enter(ADA, CAT)
        story.connect(ADA, CAT)
        story.send(1, ADA, bytes(2 * MOST_BYTES))
        story.send(2)
        story.tell(Leave(patience))
        story.send(3)
        if later is not None:
            story.tell(Leave(later))
        story.tell(SocketLost(1006, ""))
        story.introduce(ZOE)
        story.left(ZOE, "timeout")
        if patience == later:
            continue
        story.run(2.0)
        story.tell(Slept(0.5))
        for _ in range(8):
            story.link(ADA, link.Measured(1, 0))
        story.frames(ADA, acked({0: 1}))
        story.run(1.0)
        story.frames(ADA, acked({1: 35}))
        story.run(10.0)
    story = Story(recorder)
    story.enter(ADA, ZOE)
    story.tell(Leave(3.0))
    story = Story(recorder)
    story.enter(ADA, CAT, ZOE)
    story.connect(ADA)
    story.offer(CAT, "C1")
    for peer in (None, CAT, ZOE):
        story.send(1, peer)
    story.engine(ADA, engine.ChannelClosed(engine.CONTROL))
    story.tell(Leave(60.0))  # one was here, one answers, of one nothing is heard
    story.run(30.0)
    story = Story(recorder)
    story.enter(ADA, ZOE)
    story.send(1)
    story.tell(Leave(3.0))
    story.engine(ZOE, engine.StateChanged(engine.ConnectionState.FAILED))
    story.tell(SignalVerified(key(ADA), link.SignalArrived(1, 0, wire.RestartBody(1))))
    story.run(10.0)
    story.send(2)
    story = Story(recorder)
    story.enter(ADA)
    story.connect(ADA)
    story.send(1, ADA, bytes(2 * MOST_BYTES))
    story.tell(Leave(50.0))
    story.run(9.0)  # it falls silent meanwhile


TALES: tuple[Callable[[Recorder], None], ...] = (
    _close_codes,
    _retries,
    _patience,
    _admissions,
    _leaving_the_server,
    _suspicions,
    _refusals,
    _members,
    _partings,
    _restarts,
    _return_without_a_beginning,
    _full_logs,
    _laggards,
    _vain,
    _losses,
    _resumptions,
    _returns,
    _backpressure,
    _bursts,
    _leavings,
)
"""In the order in which they are told."""
