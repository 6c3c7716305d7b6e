"""Stories for the vectors of the session: messages in any order, and those that may be lost."""

from collections.abc import Callable

from tests.core.session_stories import ADA, CAT, START, Story, acked, key
from tests.core.session_traces import Recorder
from thkmesh.core import engine, frames, wire
from thkmesh.core import link_events as link
from thkmesh.core.channels import Delivery, Priority, Rule
from thkmesh.core.credit import WINDOW_BYTES
from thkmesh.core.frames import FORWARD, Fragment, Lossy, Report
from thkmesh.core.realtime import WINDOW, Limits
from thkmesh.core.relay import RELAY_AFTER
from thkmesh.core.session_events import (
    CloseChannel,
    Flush,
    Leave,
    OpenChannel,
    SendAll,
    Start,
    Welcomed,
)
from thkmesh.core.window import MOST_BYTES

__all__ = ["TALES"]

NOW = Limits()
TWICE = Limits(max_retransmits=2)
SOON = Limits(max_retransmits=None, life_time=0.4)


def _opened(story: Story, name: str, limits: Limits | None, *, listen: bool = True) -> None:
    delivery = Delivery.UNORDERED if limits is None else Delivery.REALTIME
    story.tell(OpenChannel(name, delivery, Priority.NORMAL, listen, limits))


def _named(number: int, name: str, rule: int, begin: frames.Begin = START) -> frames.Name:
    return frames.Name(number, rule, name, begin, begin)


def _lossy(stream: int, number: int, floor: int | None = None, *, report: bool = False) -> Lossy:
    floor = number if floor is None else floor
    return Lossy(stream, number, floor, 0, f"{stream}:{number}".encode(), report)


def _forward(stream: int, floor: int) -> Lossy:
    return Lossy(stream, floor, floor, FORWARD, b"", report=True)


def _met(recorder: Recorder, limits: Limits | None, *, connected: bool = True) -> Story:
    """Return a story in which Ada hears "x", of that kind."""
    story = Story(recorder)
    story.enter(ADA)
    _opened(story, "x", limits)
    if connected:
        story.connect(ADA)
        story.engine(ADA, engine.ChannelOpened(engine.BULK))
        story.engine(ADA, engine.ChannelOpened(engine.REALTIME))
        story.frames(ADA, frames.Listen(("x",)))
    return story


# --- what may be lost -----------------------------------------------------------------


def _cursors(recorder: Recorder) -> None:
    """They go to who listens and is there, at once; what is late or doubled is dropped."""
    story = _met(recorder, NOW, connected=False)
    story.send(1, channel="x", data="nobody is there")
    story.connect(ADA)
    story.send(2, channel="x", data="nobody is known to listen")
    story.frames(ADA, frames.Listen(("x",)))
    story.send(3, channel="x", data={"x": 1})
    story.send(4, ADA, channel="x", data="alone")
    several = [(name, *frames.encode(name)) for name in ("x", "", "x")]
    story.tell(SendAll(tuple(several)))
    story.send_all(*["y" * 1000] * 3, channel="x")
    story.send(5, channel="x", data="z" * 1101)
    story.send(6, CAT, channel="x")
    story.tell(Flush(7, "x"))
    story.datagram(ADA, frames.datagram(_lossy(4, 0)))
    story.frames(ADA, _named(2, "x", Rule.LOSSY), _named(3, "z", Rule.LOSSY_UNORDERED))
    for number in (3, 4, 4, 2, 7, 6, 300, 8):
        story.frames(ADA, _lossy(4, number), _lossy(5, number), _lossy(6, number))
    story.tell(OpenChannel("z", Delivery.REALTIME, Priority.NORMAL, listen=True, limits=NOW))
    for number in (3, 4, 4, 2, 7, 6, 300, 8, 50):
        story.frames(ADA, _lossy(6, number))
    story.tell(CloseChannel("x"))
    story.frames(ADA, _lossy(4, 301))
    story.frames(ADA, frames.Listen(()))
    story.send(8, channel="x", data="nobody listens")
    story.send(9, ADA, channel="x", data="nor does she")
    story.frames(ADA, frames.Listen(("x",)))
    story.send(10, channel="x", data="now she does")
    story.engine(ADA, engine.ChannelClosed(engine.CONTROL))
    story.send(11, channel="x", data="lost")
    story.offer(ADA, "A2", 2, 2)
    story.perform()
    story.open(ADA)
    story.frames(ADA, frames.Resume({}), frames.Listen(("x",)))
    story.send(12, channel="x", data="on")
    story.frames(ADA, _lossy(6, 301))
    story.left(ADA, "timeout")


def _nonsense(recorder: Recorder) -> None:
    """What fits no rule ends the connection."""
    name = _named(1, "x", Rule.LOSSY)
    for said in (
        (_named(1, "x", 2),),
        (name, _named(1, "x", Rule.LOSSY_UNORDERED)),
        (_lossy(0, 0),),
        (name, Fragment(2, 0, 0, last=True, payload=b"")),
        (name, Lossy(2, 0, 0, 2, b"{", report=False)),
        (Report(2, 0, ()),),
        (Report(5, 0, ()),),
        (_named(1, "x", Rule.UNORDERED), _lossy(2, 0)),
    ):
        story = _met(recorder, TWICE)
        story.frames(ADA, *said)
    for report in (Report(2, 2, ()), Report(2, 0, (1,)), Report(2, 1, ())):
        story = _met(recorder, TWICE)
        story.send(1, channel="x")
        story.frames(ADA, report)


def _too_many(recorder: Recorder) -> None:
    """What would wait in the engine is dropped, and the engine asked until it is empty."""
    story = _met(recorder, NOW)
    for token in range(24):
        story.send(token, channel="x", data="x" * 1000)
    story.link(ADA, link.Measured(1, 16_384, engine.REALTIME))
    story.send(30, channel="x")
    story.link(ADA, link.Measured(2, 0, engine.REALTIME))
    story.link(ADA, link.Measured(1, 100, engine.REALTIME))
    story.engine(ADA, engine.BufferLow(engine.REALTIME))
    story.send(31, channel="x")


def _sent_again(recorder: Recorder) -> None:
    """What has not come is sent again, as often or as long as it may, and then given up."""
    for limits in (TWICE, SOON, Limits(ordered=False, max_retransmits=1)):
        story = _met(recorder, limits)
        story.send(1, channel="x", data="0")
        story.run(0.02)
        story.frames(ADA, Report(2, 1, ()))
        for token in range(2, 8):
            story.send(token, channel="x", data=str(token - 1))
            story.send(token, ADA, channel="x", data=str(token - 1))
            story.run(0.005)
        story.frames(ADA, Report(2, 1, (2, 3)))
        story.frames(ADA, Report(2, 1, (2, 3, 4, 6)))
        story.frames(ADA, Report(2, 1, (2, 3, 4, 6)))
        story.run(0.06)
        story.frames(ADA, Report(3, 0, ()))
        story.run(0.3)
        story.frames(ADA, Report(2, 2, (3, 4, 6)))
        story.run(0.5)
        story.frames(ADA, Report(2, 7, ()))
        story.send(20, channel="x", data="later")
        story.engine(ADA, engine.ChannelClosed(engine.CONTROL))
        story.run(1.0)
    story = _met(recorder, SOON)
    story.send(1, channel="x", data="unheard")
    story.frames(ADA, frames.Listen(()))
    story.run(1.0)
    story.frames(ADA, frames.Listen(("x",)))
    story.send_all(*["many"] * (WINDOW + 2), channel="x")
    story.send(2, channel="x", data="more")
    story.left(ADA, "timeout")


def _reported(recorder: Recorder) -> None:
    """In order what is missing is waited for as long as it may come; all is reported."""
    story = _met(recorder, NOW)
    story.tell(OpenChannel("y", Delivery.REALTIME, Priority.NORMAL, listen=True, limits=NOW))
    named = (_named(2, "x", Rule.LOSSY), _named(3, "y", Rule.LOSSY_UNORDERED))
    story.frames(ADA, *named)
    for stream in (4, 6):
        for number, floor in ((5, 5), (7, 6), (8, 6), (7, 6), (6, 6), (11, 9), (12, 10), (3, 3)):
            story.frames(ADA, _lossy(stream, number, floor, report=True))
            if number == 8:
                story.run(0.02)
        story.frames(ADA, _forward(stream, 11))
        story.run(0.02)
        for number in (20, 22, 20 + WINDOW, 24 + 2 * WINDOW):
            story.frames(ADA, _lossy(stream, number, 13, report=True))
        story.run(0.02)
    story.frames(ADA, _lossy(7, 5, 3, report=True))
    story.run(0.02)
    for name, channel in (("a", 8), ("b", 9)):
        story.tell(OpenChannel(name, Delivery.REALTIME, Priority.NORMAL, listen=True, limits=NOW))
        story.frames(ADA, _named(channel, name, Rule.LOSSY))
        for stream in (2 * channel, 2 * channel + 1):
            part = [
                Lossy(stream, number, 0, 1, bytes(1100), report=True) for number in range(1, WINDOW)
            ]
            for at in range(0, len(part), 50):
                story.frames(ADA, *part[at : at + 50])
    story.left(ADA, "timeout")


# --- in any order ---------------------------------------------------------------------


def _scattered(recorder: Recorder) -> None:
    """Messages come out as soon as they are whole, each once, and are counted exactly."""
    story = _met(recorder, None)

    def part(number: int, text: bytes, *, first: bool = True, last: bool = True) -> None:
        story.frames(ADA, Fragment(4, number, 0, last, text, first))

    story.frames(ADA, _named(2, "x", Rule.UNORDERED))
    part(2, b"third")
    part(2, b"third")
    part(0, b"first")
    part(0, b"first")
    part(5, b"c", first=False)
    part(3, b"a", last=False)
    part(4, b"b", first=False, last=False)
    story.run(0.1)
    part(1, b"second")
    part(8, b"half of ", last=False)
    part(11, b"more")
    story.frames(ADA, frames.Skip(4, frames.Begin(10, 8, 1000)))
    story.run(0.1)
    part(10, b"on")
    part(13, b"gone", first=False)
    story.tell(CloseChannel("x"))
    part(14, b"unheard, ", last=False)
    _opened(story, "x", None)
    part(15, b"so is this", first=False)
    part(12, b"and this, ", last=False)
    part(18, b"ahead")
    story.frames(ADA, _named(2, "x", Rule.UNORDERED, frames.Begin(17, 12, 2000)))
    part(17, b"last")
    story.frames(ADA, frames.Skip(4, frames.Begin(18, 3, 3000)))
    story.frames(ADA, frames.Skip(4, frames.Begin(30, 1, 4000)))


def _misplaced(recorder: Recorder) -> None:
    """Fragments that do not fit each other, or what was granted, end the connection."""
    whole = bytes(frames.FRAGMENT_BYTES)
    begun = Fragment(4, 5, 0, last=False, payload=b"", first=True)
    inner = Fragment(4, 6, 0, last=False, payload=b"")
    ended = Fragment(4, 6, 0, last=True, payload=b"")
    tails = [Fragment(4, number, 0, last=True, payload=b"") for number in (6, 7)]
    for said in (
        (begun, Fragment(4, 6, 0, last=True, payload=b"", first=True)),
        (begun, Fragment(4, 4, 0, last=False, payload=b"", first=True)),
        (ended, Fragment(4, 5, 0, last=True, payload=b"", first=True)),
        (begun, Fragment(4, 6, 1, last=True, payload=b"")),
        (inner, Fragment(4, 7, 0, last=True, payload=b"", first=True)),
        tails,
        (Fragment(4, 9, 0, last=True, payload=b"", first=False), begun, ended),
        (Fragment(4, 0, 0, last=False, payload=b"x", first=True), frames.Skip(4, START)),
        (Fragment(4, 0, 2, last=True, payload=b"{", first=True),),
        (
            Fragment(4, 0, 0, last=True, payload=bytes(100), first=True),
            frames.Skip(4, frames.Begin(3, 3, 10)),
        ),
    ):
        story = _met(recorder, None)
        story.frames(ADA, _named(2, "x", Rule.UNORDERED))
        story.frames(ADA, *said)
    story = _met(recorder, None)
    story.frames(ADA, _named(2, "x", Rule.UNORDERED))
    for number in range(6, 0, -1):  # more than a window, and nobody has granted it
        story.frames(ADA, Fragment(4, number, 1, number == 6, whole, number == 1))
    story = _met(recorder, None)
    story.frames(ADA, _named(2, "x", Rule.UNORDERED))
    for number in range(1, 160):  # more than a message may have
        story.frames(ADA, Fragment(4, number - 1, 1, last=False, payload=whole, first=number == 1))
        story.run(0.0)


def _bulk(recorder: Recorder) -> None:
    """What is in any order goes its own way once the name of its channel is known to be there."""
    story = _met(recorder, None)
    story.frames(ADA, acked({2: 0, 3: 0}))
    story.send(1, channel="x", data="behind its name")
    story.send(2, channel="x", data="still behind")
    story.frames(ADA, acked({2: 1}))
    story.send(3, channel="x", data="ahead")
    story.send(4, data="in order")
    story.tell(SendAll((("x", 0, b"in bulk"), ("", 0, b"in order"), ("x", 0, b"in bulk"))))
    story.send(5, ADA, channel="x", data="not yet")
    story.send(6, channel="x", data=bytes(WINDOW_BYTES))
    story.link(ADA, link.Measured(1, 0))
    story.engine(ADA, engine.BufferLow(engine.BULK))
    story.link(ADA, link.Measured(1, 0))
    story.frames(ADA, acked({2: 9, 3: 1}))
    story.engine(ADA, engine.ChannelClosed(engine.BULK))
    story.send(7, channel="x", data="no bulk any more")
    story.link(ADA, link.Measured(1, 0))
    story.engine(ADA, engine.ChannelClosed(engine.CONTROL))
    story.send(8, channel="x", data="later")
    story.offer(ADA, "A2", 2, 2)
    story.perform()
    story.open(ADA)
    story.engine(ADA, engine.ChannelOpened(engine.BULK))
    story.frames(ADA, frames.Resume(acked({2: 10, 3: 1}).wants), frames.Listen(("x",)))
    story.frames(ADA, acked({2: 11}))
    story.send(9, channel="x", data="ahead again")
    story.link(ADA, link.CutLoose("x"))
    story.send(10, channel="x", data="behind the gap")
    story.link(ADA, link.Measured(2, MOST_BYTES))
    story.link(ADA, link.Measured(2, 0))
    story.tell(Leave(1.0))


def _through_the_server(recorder: Recorder) -> None:
    """What may be lost goes through the server as well, while there is something left."""
    story = Story(recorder)
    story.tell(Start())
    message = wire.Welcome("r", "one", "s", relay_bytes=2000)
    story.tell(Welcomed(message, (ADA,), (key(ADA),)))
    _opened(story, "x", TWICE)
    story.run(RELAY_AFTER)

    def relayed(*said: frames.Frame) -> None:
        story.link(ADA, link.Relayed(frames.datagram(*said)))

    relayed(frames.Resume({}), frames.Listen(("x",)), _named(1, "x", Rule.LOSSY))
    for token in range(6):
        story.send(token, channel="x", data="x" * 900)
    relayed(Report(2, 1, ()), _lossy(2, 0, report=True))
    story.run(2.0)
    story.send(9, data="in order")
    story.send(10, channel="x", data="it is not my turn")
    story.run(20.0)


TALES: tuple[Callable[[Recorder], None], ...] = (
    _cursors,
    _nonsense,
    _too_many,
    _sent_again,
    _reported,
    _scattered,
    _misplaced,
    _bulk,
    _through_the_server,
)
