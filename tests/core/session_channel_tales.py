"""Stories for the vectors of the session: channels, credit, priorities, and flushing."""

from collections.abc import Callable

from tests.core.session_stories import ADA, CAT, START, ZOE, Story, acked
from tests.core.session_traces import Recorder
from thkmesh.core import engine, frames
from thkmesh.core import link_events as link
from thkmesh.core.channels import Delivery, Priority
from thkmesh.core.credit import WINDOW_BYTES, WINDOW_LIMIT_BYTES
from thkmesh.core.session import PATIENCE
from thkmesh.core.session_events import (
    Cancel,
    CloseChannel,
    Flush,
    Leave,
    OpenChannel,
    Send,
    SendAll,
)
from thkmesh.core.streams import LOG_BYTES

__all__ = ["TALES"]


def opened(
    story: Story, name: str, priority: Priority = Priority.NORMAL, *, listen: bool = True
) -> None:
    """Let the application open a channel."""
    story.tell(OpenChannel(name, Delivery.RELIABLE, priority, listen))


def _named(number: int, name: str, begin: frames.Begin = START) -> frames.Name:
    return frames.Name(number, 0, name, begin, begin)


def _both_ways(recorder: Recorder) -> None:
    """What is sent on a channel is named once a connection, and reaches who listens."""
    story = Story(recorder)
    story.enter(ADA, CAT)
    opened(story, "x")
    story.send(1, ADA, channel="x")
    story.connect(ADA)
    opened(story, "quiet", listen=False)
    story.frames(ADA, frames.Listen(("x",)))
    story.send(2, channel="x")
    story.send(3, channel="quiet")
    story.send(4, ADA, channel="quiet")
    story.frames(ADA, _named(3, "x"), _named(1, "y"))
    for stream in (6, 7, 2, 3):
        story.message(ADA, 0, f"on {stream}", stream=stream)
    opened(story, "y", Priority.HIGH)
    story.message(ADA, 1, "heard now", stream=2)
    story.tell(CloseChannel("y"))
    story.tell(CloseChannel("y"))
    story.message(ADA, 2, "heard no longer", stream=2)
    story.frames(ADA, frames.Fragment(2, 3, 1, last=False, payload=b"half "))
    opened(story, "y")
    story.frames(ADA, frames.Fragment(2, 4, 1, last=True, payload=b"of it"))
    story.message(ADA, 5, "and now", stream=2)
    story.run(0.1)
    story.frames(ADA, acked({2: 1, 3: 1}))
    story.frames(ADA, frames.Listen(()))
    story.send(5, ADA, channel="x")
    story.send(6, channel="x")
    story.frames(ADA, frames.Listen(("x", "quiet")))
    story.send(7, channel="x")
    story.frames(ADA, acked({2: 1}))
    story.engine(ADA, engine.ChannelClosed(engine.CONTROL))
    story.send(8, channel="x")
    story.offer(ADA, "A2", 2, 2)
    story.perform()
    story.open(ADA)
    story.frames(ADA, frames.Resume(acked({2: 1}).wants), frames.Listen(("x",)))
    story.frames(ADA, _named(1, "y", frames.Begin(9, 9, 900)))
    story.message(ADA, 9, "on", stream=2)
    story.run(0.1)


def _bursts(recorder: Recorder) -> None:
    """What comes in a burst is accepted, on whichever channel, and goes to who listens."""
    story = Story(recorder)
    story.enter(ADA, CAT)
    opened(story, "x")
    opened(story, "y", Priority.HIGH)
    story.meet(ADA, CAT)
    story.frames(ADA, frames.Listen(("x",)))
    story.frames(CAT, frames.Listen(("x", "y")))
    story.send_all(*range(3), channel="x")
    story.send(1, channel="y")
    several = [(name, *frames.encode(name)) for name in ("x", "y", "", "x")]
    story.tell(SendAll(tuple(several)))
    story.tell(Flush(2, "x"))
    story.frames(ADA, acked({0: 1, 2: 5}))
    story.frames(CAT, acked({0: 1, 2: 5, 4: 2}))


def _kept_until_known(recorder: Recorder) -> None:
    """What was sent before the list came is delivered, or dropped and told."""
    for names in ((), ("x",), ("y", "x")):
        story = Story(recorder)
        story.enter(ADA, CAT)
        for name in ("x", "y", "z"):
            opened(story, name)
            story.send(1, ADA, channel=name)
            story.send(2, channel=name)
        story.connect(CAT)
        story.perform()
        story.answer(ADA, "A1")
        story.perform()
        story.open(ADA)
        story.frames(ADA, frames.Resume({}))
        story.frames(ADA, frames.Listen(names))
        story.left(ADA, "timeout")


def _mistakes(recorder: Recorder) -> None:
    """Names and numbers that make no sense end the connection."""
    nonsense: tuple[tuple[frames.Frame, ...], ...] = (
        (_named(1, "x"), _named(2, "x")),
        (_named(1, "x"), _named(1, "y")),
        (frames.Name(1, 9, "x", START, START),),
        (acked({9: 0}),),
        (acked({2: 1}),),
        (frames.Fragment(2, 0, 1, last=True, payload=b""),),
        (_named(1, "x"), frames.Skip(2, frames.Begin(4, 3, 1)), frames.Skip(2, START)),
        (_named(1, "x", frames.Begin(4, 3, 900)), _named(1, "x", frames.Begin(5, 4, 1))),
        (frames.Skip(2, frames.Begin(4, 3, 1)), frames.Ping(1)),
    )
    for said in nonsense:
        story = Story(recorder)
        story.enter(ADA)
        opened(story, "x")
        story.connect(ADA)
        story.frames(ADA, frames.Listen(("x",)))
        story.frames(ADA, *said)


def _unread(recorder: Recorder) -> None:
    """A sender has a window; more comes with what is read."""
    part = bytes(frames.FRAGMENT_BYTES)
    story = Story(recorder)
    story.enter(ADA)
    story.connect(ADA)
    for number in range(4):
        story.message(ADA, number, part)
        story.run(0.0)
    story.message(ADA, 4, part)
    story.run(0.1)
    for number in range(5, 70):
        story.message(ADA, number, part)
        if number % 8 == 0:
            story.run(0.0)
    story.run(1.0)
    story.link(ADA, link.Read(0, 100_000))
    story.run(1.0)
    story.link(ADA, link.Read(0, WINDOW_LIMIT_BYTES))
    story.link(ADA, link.Read(9, 1))
    story.run(1.0)
    story.message(ADA, 70, part)
    story = Story(recorder)
    story.enter(ADA)
    story.connect(ADA)
    for number in range(6):  # more than a window, and nobody has granted it
        story.message(ADA, number, part)


def _large(recorder: Recorder) -> None:
    """A message that is larger than the window gets what it needs."""
    part = bytes(frames.FRAGMENT_BYTES)
    story = Story(recorder)
    story.enter(ADA)
    story.connect(ADA)
    for number in range(76):
        story.frames(ADA, frames.Fragment(0, number, 1, number == 75, part))
        story.run(0.0)
    story.run(1.0)
    story.link(ADA, link.Read(0, 76 * (len(part) + 64)))
    story.run(1.0)


def _granted(recorder: Recorder) -> None:
    """We send as far as the other side lets us, and no further; a grant never shrinks."""
    story = Story(recorder)
    story.enter(ADA)
    story.connect(ADA)
    opened(story, "low", Priority.LOW)
    opened(story, "high", Priority.HIGH)
    story.frames(ADA, frames.Listen(("low", "high")))
    for token, name in enumerate(("low", "high", "low", "high")):
        story.send(token, data=bytes(WINDOW_BYTES), channel=name)
        story.send(9 + token, ADA, data=b"small", channel=name)
    story.link(ADA, link.Measured(1, 0))
    for limit in (300_000, 400_000, 350_000, 2**40):
        story.frames(ADA, acked({2: 1, 4: 1}, limit))
        for _ in range(3):
            story.link(ADA, link.Measured(1, 0))


def _flushed(recorder: Recorder) -> None:
    """A flush is done when all before it has arrived, or will not."""
    story = Story(recorder)
    story.enter(ADA, CAT)
    story.connect(ADA, CAT)
    opened(story, "x")
    story.tell(Flush(1, "x"))
    story.frames(ADA, frames.Listen(("x",)))
    story.frames(CAT, frames.Listen(("x",)))
    story.send(2, channel="x")
    story.send(3, ADA, channel="x")
    story.tell(Flush(4, "x"))
    story.tell(Flush(5, ""))
    story.tell(Flush(6, "x"))
    story.tell(Cancel(6))
    story.send(7, channel="x")
    story.frames(CAT, acked({2: 1}))
    story.frames(ADA, acked({2: 1}))
    story.frames(ADA, acked({3: 1}))
    story.tell(Send(8, None, 1, bytes(LOG_BYTES // 2), "x"))
    story.tell(Send(9, None, 1, bytes(LOG_BYTES // 2), "x"))
    story.send(10, channel="x")
    story.tell(Flush(11, "x"))
    story.tell(Flush(12, ""))
    story.run(PATIENCE)
    story.left(CAT, "timeout")
    story.introduce(CAT)
    story.send(13, channel="x")
    story.tell(Flush(14, "x"))
    story.tell(Flush(15, "x"))
    story.frames(ADA, frames.Listen(()))
    story.left(CAT)
    story.left(ZOE)
    story.tell(Flush(16, "x"))
    story.send(17, ADA)
    story.tell(Flush(18, ""))
    story.tell(Leave(1.0))
    story.run(20.0)
    story.tell(Flush(19, ""))


def _returned(recorder: Recorder) -> None:
    """Who was given up and comes back is told of channels, too, and of those opened since."""
    story = Story(recorder)
    story.enter(ADA)
    opened(story, "x")
    story.connect(ADA)
    story.frames(ADA, frames.Listen(("x",)), _named(1, "x"))
    story.send(1, channel="x")
    story.message(ADA, 0, "unread", stream=2)
    story.engine(ADA, engine.ChannelClosed(engine.CONTROL))
    story.left(ADA, "timeout")
    opened(story, "y")
    story.send(2, channel="x")
    story.send(3, channel="y")
    story.introduce(ADA)
    story.send(4, channel="y")
    story.offer(ADA, "A3", 3, 2)
    story.perform()
    story.open(ADA)
    story.frames(ADA, frames.Resume(acked({2: 1}).wants), frames.Listen(("x", "y")))
    story.send(5, channel="x")
    story.frames(ADA, acked({2: 2}))
    story.message(ADA, 1, "after", stream=2)
    story.link(ADA, link.Read(2, 1000))
    story.run(1.0)


TALES: tuple[Callable[[Recorder], None], ...] = (
    _both_ways,
    _bursts,
    _kept_until_known,
    _mistakes,
    _unread,
    _large,
    _granted,
    _flushed,
    _returned,
)
