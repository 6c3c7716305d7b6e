"""Stories for the vectors of the session: frames, signals and connections."""

from collections.abc import Callable

from tests.core.session_stories import (
    ADA,
    ALL,
    CAT,
    HASTY,
    NO_RESTART,
    NO_ROLLBACK,
    ZOE,
    Story,
    candidate,
    sdp,
)
from tests.core.session_traces import Recorder
from thkmesh.core import engine, frames, wire
from thkmesh.core import link_events as link
from thkmesh.core.candidates import CANDIDATE_LIMIT
from thkmesh.core.link import WISH_INTERVAL, WISHES
from thkmesh.core.machine import Slept, Tick
from thkmesh.core.negotiation import INBOX_LIMIT, Begin, Change
from thkmesh.core.sequencing import WINDOW
from thkmesh.core.session import LONG_SLEEP
from thkmesh.core.session_events import Heard, NetworkChanged, SocketLost, Start
from thkmesh.core.trickle import BATCH_LIMIT
from thkmesh.events import Data

__all__ = ["TALES"]

PONG = frames.datagram(frames.Pong(1))


# --- frames -----------------------------------------------------------------------


def _frames(recorder: Recorder) -> None:
    """Messages of every kind, what may be skipped, and what ends a connection."""
    story = Story(recorder)
    story.enter(ADA)
    story.connect(ADA)
    said: tuple[Data, ...] = ("text", "", b"", b"\x00\xff", {"a": [1, 2.5, None, True, "ü"]}, [], 0)
    for number, data in enumerate(said):
        for stream in (0, 1):
            story.message(ADA, number, data, stream=stream)
    parts = (b"in ", b"three ", b"parts")
    for number, part in enumerate(parts, len(said)):
        story.frames(ADA, frames.Fragment(0, number, 0, last=part == parts[-1], payload=part))
    story.message(ADA, 3, "again")
    story.run(0.1)
    for skipped in (
        b"\x01\x80\x00",
        b"\x01\xbf\x01x",
        b'\x01\x40\x0f{"type":"wave"}',
        b'\x01\x40\x16{"type":"ping","n":-1}',
        b'\x01\x40\x07{"n":1}',
        PONG,
        frames.datagram(frames.Ping(7)),
    ):
        story.datagram(ADA, skipped)
    for bulk in (engine.ChannelOpened(engine.BULK), engine.ChannelClosed(engine.BULK)):
        story.engine(ADA, bulk)
    for state in engine.ConnectionState:
        if state is not engine.ConnectionState.FAILED:
            story.engine(ADA, engine.StateChanged(state))
    story.engine(ADA, engine.ChannelClosed(engine.CONTROL))
    story.frames(ADA, frames.Ping(8))
    story.engine(ADA, engine.StateChanged(engine.ConnectionState.FAILED), 7)
    story.engine(ZOE, engine.StateChanged(engine.ConnectionState.FAILED))


def _malformed_frames(recorder: Recorder) -> None:
    """Each ends its connection, and the next is made after a longer while."""
    story = Story(recorder)
    story.answering = True
    story.enter(ZOE)
    for number, data in enumerate(
        (
            b"",
            b"\x02",
            b"\x01" * (65_537),
            b"\x01\x04\x00\x00\x01\xff",
            b"\x01\x06\x00\x01\x01{",
            b"\x01\x06\x00\x02\x03NaN",
            b"\x01\x40\x02[]",
            b"\x01\x40\x08nonsense",
            b"\x01\x44",
            b"\x01\x04\x02\x00\x00",
            b"\x01\x07\x00\x03\x00",
            b"\x01\x04\x00\x05\x00",
            b"\x01\x04\x00\x03\x05x",
            b"\x01\x41\x01\x00\x05",
            b"\x01\x80",
            b"\x01\x00\x00\x03\x00\x05\x00\x04\x00",
            b"\x01\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
        ),
        1,
    ):
        story.perform()
        story.answer(ZOE, f"Z{number}", number, number)
        story.perform()
        story.meet(ZOE)
        for _ in range(16 if number == 6 else 0):  # a good connection: no long wait after it
            story.run(2.0)
            story.datagram(ZOE, PONG)
        story.datagram(ZOE, data)
        story.await_request()


# --- signals ----------------------------------------------------------------------


def _order(recorder: Recorder) -> None:
    """Signals out of order wait, double ones are dropped, false numbers are refused."""
    story = Story(recorder)
    story.enter(ADA, ZOE)
    described = wire.SeedDescription("offer", sdp("A1"))
    init = wire.CandidateInit(candidate(1), "A1", "0", 0)
    story.signal(ADA, wire.CandidatesBody(1, (init,)), seq=2)
    story.signal(ADA, wire.CandidatesBody(1, (init,)), seq=2)
    story.signal(ADA, None, seq=3)
    story.signal(ADA, None, seq=5)
    story.signal(ADA, wire.OfferBody(1, 1, described), seq=1)
    story.signal(ADA, wire.OfferBody(1, 1, described), seq=1)
    story.perform()
    story.run(0.5)
    story.signal(ADA, None, ack=1, seq=0)
    story.signal(ADA, None, ack=99, seq=0)
    story.signal(ADA, None, seq=4)
    story.signal(ADA, None, seq=5 + WINDOW)
    story.signal(ADA, None, seq=6 + WINDOW)
    story.signal(CAT, None, seq=1)
    story.perform()
    story.run(70.0)  # resends, later and later, until the way is closed
    story.tell(SocketLost(1006, ""))
    story.run(0.3)
    story.signal(ADA, None, ack=2, seq=6)
    story.welcome(ADA, ZOE)
    story.run(10.0)


def _violations(recorder: Recorder) -> None:
    """What no correct peer negotiates is told and has no effect."""
    story = Story(recorder)
    story.enter(ADA, ZOE)
    story.perform()
    for body in (
        wire.RestartBody(9),
        wire.RestartBody(1),
        wire.AnswerBody(1, 9, wire.SeedDescription("answer", sdp("Z9"))),
        wire.AnswerBody(2, 1, wire.SeedDescription("answer", sdp("Z9"))),
        wire.CandidatesBody(1, (wire.CandidateInit("", "nobody"),)),
        wire.CandidatesBody(1, ()),
    ):
        story.signal(ZOE, body)
        story.signal(ADA, body)
    story.answer(ZOE, "Z1")
    story.perform()
    story.answer(ZOE, "Z1")
    story.perform()
    story.signal(ZOE, wire.RestartBody(2))
    story.perform()
    story.run(1.0)


def _too_many_candidates(recorder: Recorder) -> None:
    """The engine is spared those beyond the limit, alone and in descriptions."""
    story = Story(recorder)
    story.enter(ADA)
    many = wire.SeedDescription("offer", sdp("A1", CANDIDATE_LIMIT - 3))
    story.signal(ADA, wire.OfferBody(1, 1, many))
    story.perform()
    for _ in range(2):
        story.candidates(ADA, "A1", range(CANDIDATE_LIMIT - 5, CANDIDATE_LIMIT + 3))
        story.perform()
    story.signal(ADA, wire.OfferBody(1, 2, many))
    story.link(ADA, Change(ice_restart=True))
    story.signal(ADA, wire.OfferBody(1, 2, wire.SeedDescription("offer", sdp("A2"))))
    story.candidates(ADA, "A2", range(200, 205))
    story.perform()
    heavy = wire.SeedDescription("offer", sdp("A3", CANDIDATE_LIMIT + 1))
    story.signal(ADA, wire.OfferBody(1, 3, heavy))
    story.perform()
    story.run(3.0)
    story.signal(ADA, wire.OfferBody(2, 4, heavy))
    story.run(3.0)
    story.offer(ADA, "A4", 3, 4)
    story.candidates(ADA, "A4", range(2), 3)
    story.perform()


def _own_candidates(recorder: Recorder) -> None:
    """They wait for their description, then for each other; so many go in one signal."""
    story = Story(recorder)
    story.enter(ZOE)

    def found(number: int, text: str | None = None) -> None:
        text = candidate(number) if text is None else text
        story.engine(ZOE, engine.CandidateFound(engine.Candidate(text, "0", 0, "me1")))

    for number in range(3):
        found(number)
    story.perform()
    story.run(0.1)
    for number in range(BATCH_LIMIT + 2):
        found(number)
    found(0, engine.END_OF_CANDIDATES)
    found(77)
    story.run(0.1)
    story.answer(ZOE, "Z1")
    story.perform()
    story.open(ZOE)
    found(0, engine.END_OF_CANDIDATES)
    found(78)
    found(0, engine.END_OF_CANDIDATES)
    found(79)
    story.link(ZOE, link.Renew())
    story.tell(Tick())
    story.perform()
    story.link(ZOE, Change())
    story.link(ZOE, link.Renew())
    story.run(0.1)


def _overflow(recorder: Recorder) -> None:
    """Whoever acknowledges nothing is given up, and again when the way is open."""
    story = Story(recorder)
    story.enter(ZOE)
    story.perform()
    ended = engine.Candidate(engine.END_OF_CANDIDATES, None, None, "me1")
    story.tell(SocketLost(1006, ""))
    for _ in range(WINDOW):
        story.engine(ZOE, engine.CandidateFound(ended))
    story.run(1.0)
    story.signal(ZOE, None, ack=WINDOW, seq=0)
    story.welcome(ZOE)
    story.run(1.0)


def _early_before_a_return(recorder: Recorder) -> None:
    """What came early to a link that has closed will be sent again to its heir."""
    story = Story(recorder)
    story.enter(ADA)
    described = wire.SeedDescription("offer", sdp("A1"))
    story.signal(ADA, wire.OfferBody(1, 1, described), seq=2)
    story.left(ADA, "timeout")
    story.introduce(ADA)
    story.signal(ADA, None, seq=1)
    story.run(1.0)


def _wishes(recorder: Recorder) -> None:
    """Who asks for ever new connections gets so many, and others in time."""
    story = Story(recorder)
    story.enter(ADA, ZOE)
    for number in range(1, WISHES + 3):
        story.offer(ADA, f"A{number}", number, number)
        story.signal(ZOE, wire.RestartBody(number + 1))
    story.run(WISH_INTERVAL)
    story.offer(ADA, "A30", 30, 30)
    story.offer(ADA, "A31", 31, 31)
    story.perform()


def _full_inbox(recorder: Recorder) -> None:
    """Signals that wait for an engine that does nothing break the generation."""
    story = Story(recorder)
    story.enter(ZOE)
    body = wire.CandidatesBody(1, ())
    for _ in range(INBOX_LIMIT + 1):
        story.signal(ZOE, body)
    story.run(1.0)


# --- connections ------------------------------------------------------------------


def _failures(recorder: Recorder) -> None:
    """An engine that fails; only descriptions of the other side are held against it."""
    story = Story(recorder)
    story.enter(ADA, ZOE)
    story.fail("no offer")
    story.run(5.0)
    story.perform()
    story.answer(ZOE, "Z1", 2, 2)
    story.fail("no such answer")
    story.run(16.0)
    story.offer(ADA, "A1")
    story.fail("no such offer")
    story.run(16.0)
    story.offer(ADA, "A2", 2, 2)
    story.candidates(ADA, "A2", range(1), 2)
    story.perform()
    story.run(40.0)


def _broken(recorder: Recorder) -> None:
    """Whatever comes of a generation that cannot go on, and has no heir yet, is inert."""
    story = Story(recorder)
    story.enter(ZOE)
    story.tell(SocketLost(1006, ""))
    story.fail("no offer")
    story.answer(ZOE, "Z1")
    story.engine(ZOE, engine.OperationFailed(engine.MakeOffer(), "once more"))
    story.engine(ZOE, engine.CandidateFound(engine.Candidate(candidate(1), "0", 0, "me1")))
    story.run(1.0)
    story.welcome(ZOE)


def _stalls(recorder: Recorder) -> None:
    """A link that falls silent is made anew, but sleep is not held against it.

    While its heir cannot be made, because there is no server, it may be heard again.
    """
    story = Story(recorder)
    story.enter(ADA, ZOE)
    story.connect(ADA, ZOE)
    story.run(3.0)
    story.now += 30.0
    story.tell(Slept(30.0))
    story.run(5.0)
    story.datagram(ADA, PONG)
    story.run(3.0)
    story.message(ADA, 0, "hello")
    story.run(20.0)
    story.perform()
    story.run(20.0)
    story = Story(recorder)
    story.enter(ADA)
    story.connect(ADA)
    story.tell(SocketLost(1006, ""))
    story.run(12.0)
    story.send(1)
    story.datagram(ADA, PONG)
    story.run(12.0)
    story.welcome(ADA)
    story.datagram(ADA, PONG)
    story.run(1.0)


def _sleep(recorder: Recorder) -> None:
    """It moves the times by which others are judged, whatever they wait for."""
    story = Story(recorder)
    story.tell(Start())
    story.tell(Slept(20.0), 20.0)
    story.tell(Slept(1.5), 1.5)
    story.tell(SocketLost(1006, ""))
    story.tell(Slept(1.5), 1.5)
    story.welcome(ADA, ZOE)
    story.perform()
    story.engine(ZOE, engine.CandidateFound(engine.Candidate(candidate(1), "0", 0, "me1")))
    story.offer(ADA, "A1")
    story.left(ADA)
    story.tell(Slept(10.0), 10.0)
    story.run(3.0)
    story.connect(ZOE)
    story.run(3.0)
    story.engine(ZOE, engine.CandidateFound(engine.Candidate(candidate(2), "0", 0, "me1")))
    story.tell(Slept(60.0), 60.0)
    story.run(30.0)
    story.tell(Slept(60.0), 60.0)
    story.run(60.0)


def _changes(recorder: Recorder) -> None:
    """Renegotiation, ICE restarts, glare and new generations, by any engine and side."""
    for settings in (NO_ROLLBACK, NO_RESTART, HASTY):
        for peer in (ADA, ZOE):
            story = Story(recorder, settings)
            story.enter(peer)
            story.link(peer, Begin(force=True))
            story.perform()
            if peer is ADA:
                story.offer(ADA, "A1")
                story.offer(ADA, "A2", 2, 2)
            else:
                story.offer(ZOE, "Z0")
                story.answer(ZOE, "Z1")
            story.perform()
            story.open(peer)
            story.link(peer, Change())
            story.perform()
            story.offer(peer, "g", 2 if peer is ADA else 1, 3)
            story.perform()
            story.run(20.0)
            story.link(peer, Change(ice_restart=True))
            story.perform()
            story.link(peer, link.Renew())
            story.run(3.0)


def _network(recorder: Recorder) -> None:
    """The network changes while all is well, while links are silent, and while they connect."""
    for settings in (ALL, NO_RESTART):
        story = Story(recorder, settings)
        story.answering = True
        story.enter(ADA, ZOE)
        story.connect(ADA, ZOE)
        for _ in range(12):
            story.run(0.25)
            for n in range(1, 9):
                story.frames(ZOE, frames.Pong(n))
        story.tell(NetworkChanged())
        story.tell(NetworkChanged(), 0.1)
        story.run(0.25)
        story.datagram(ADA, PONG)
        story.run(2.5)  # Zoë is silent, and mended
        story.perform()
        story.tell(NetworkChanged())
        story.answer(ZOE, "Z2", 1, 2)
        story.perform()
        story.engine(ZOE, engine.StateChanged(engine.ConnectionState.FAILED))
        story.engine(ZOE, engine.StateChanged(engine.ConnectionState.CONNECTED))
        story.run(4.0)  # in vain
        story.perform()
        story.tell(NetworkChanged())
        story.run(2.0)
        story.tell(NetworkChanged())
        story.run(0.5)
        story.perform()
        story.engine(ADA, engine.StateChanged(engine.ConnectionState.FAILED))
        story.tell(SocketLost(1006, ""))
        story.run(0.01)
        story.tell(NetworkChanged())
        story.run(9.0)
        story.tell(NetworkChanged())
        story.run(1.0)
        story.tell(Heard(wire.Challenge(nonce="n", epoch="one", protocol=(1, 1))))
        story.welcome(ADA, ZOE)
        story.run(0.1)
        story.tell(Slept(LONG_SLEEP), LONG_SLEEP)
        story.run(1.0)


def _mended(recorder: Recorder) -> None:
    """Silent connections are heard again after a restart of ICE, or before its answer."""
    for early in (True, False):
        story = Story(recorder)
        story.answering = True
        story.enter(ADA, ZOE)
        story.connect(ADA, ZOE)
        for peer in (ADA, ZOE):
            story.engine(peer, engine.StateChanged(engine.ConnectionState.FAILED))
        story.run(0.1)
        story.perform()
        for peer in (ADA, ZOE):
            if early:
                story.datagram(peer, PONG)
            story.answer(peer, f"{peer.name[0]}2", 1, 1 if peer is ADA else 2)
            story.perform()
            story.datagram(peer, PONG)
        story.tell(Slept(2.0), 2.0)
        story.tell(SocketLost(1006, ""))
        story.run(8.0)
        story.tell(NetworkChanged())
        story.engine(ADA, engine.StateChanged(engine.ConnectionState.FAILED))
        story.run(20.0)
        story.welcome(ADA, ZOE)
        story.run(20.0)
        story.perform()


def _signals_over_the_link(recorder: Recorder) -> None:
    """While the server is away a connection carries the signals about itself."""
    restart, offer = '{"kind":"restart","wanted":9}', '{"kind":"offer","generation":9}'
    candidates = '{"kind":"candidates","generation":1,"candidates":[]}'
    for away in (False, True):
        story = Story(recorder)
        story.enter(ADA)
        story.connect(ADA)
        if away:
            story.tell(SocketLost(1006, ""))
        story.link(ADA, Change(ice_restart=True))
        story.perform()
        seq = 100
        for body in ("", "{", '{"kind":"later"}', offer, candidates, restart, "[]"):
            story.frames(ADA, frames.Signal(seq, 0, body))
        for number, body in enumerate((candidates, "{", '{"kind":"later"}', restart), 1):
            story.frames(ADA, frames.Signal(number, 1, body))
            story.run(0.0)
        story.frames(ADA, frames.Signal(0, 2, ""))
        story.datagram(ADA, b'\x01\x40\x11{"type":"signal"}')
        story.run(5.0)
        story.run(20.0)


TALES: tuple[Callable[[Recorder], None], ...] = (
    _frames,
    _malformed_frames,
    _order,
    _violations,
    _too_many_candidates,
    _own_candidates,
    _overflow,
    _early_before_a_return,
    _wishes,
    _full_inbox,
    _failures,
    _broken,
    _stalls,
    _sleep,
    _changes,
    _network,
    _mended,
    _signals_over_the_link,
)
"""In the order in which they are told."""
