"""Stories for the vectors of the session: channels through the server, which may lose."""

from collections.abc import Callable

from tests.core.session_stories import ADA, CAT, START, Story, acked, key
from tests.core.session_traces import Recorder
from thkmesh.core import engine, frames, wire
from thkmesh.core import link_events as link
from thkmesh.core.channels import Delivery, Priority
from thkmesh.core.relay import KEEPALIVE, RELAY_AFTER
from thkmesh.core.session_events import CloseChannel, Leave, OpenChannel, Start, Welcomed

__all__ = ["TALES"]


def _enter(story: Story, rate: int = 64_000) -> None:
    """Be welcomed by a server that passes on, with keys agreed with Ada."""
    story.tell(Start())
    message = wire.Welcome("r", "one", "s", relay_bytes=rate)
    story.tell(Welcomed(message, (ADA,), (key(ADA),)))
    story.tell(OpenChannel("x", Delivery.RELIABLE, Priority.NORMAL, listen=True))


def _relayed(story: Story, *said: frames.Frame) -> None:
    story.link(ADA, link.Relayed(frames.datagram(*said)))


def _part(stream: int, number: int, payload: bytes) -> frames.Fragment:
    return frames.Fragment(stream, number, 0, last=True, payload=payload)


def _channels(recorder: Recorder) -> None:
    """A name comes with what it names; what is lost comes again, what is doubled once."""
    story = Story(recorder)
    _enter(story)
    story.send(1, channel="x")
    story.send(2, ADA, channel="x")
    story.run(RELAY_AFTER)
    _relayed(story, frames.Resume({}), frames.Listen(("x",), 2))
    _relayed(story, frames.Listen((), 1))
    story.run(5.0)
    _relayed(story, acked({2: 1, 3: 1}))
    name = frames.Name(1, 0, "y", START, START)
    for said in ((_part(2, 0, b"early"),), (name, _part(2, 0, b"unwanted"))):
        _relayed(story, *said)
        _relayed(story, *said)
    story.tell(OpenChannel("y", Delivery.RELIABLE, Priority.NORMAL, listen=True))
    story.run(0.1)
    _relayed(story, _part(2, 2, b"leaves a gap"))
    _relayed(story, _part(2, 1, b"fills it"), _part(2, 2, b"and here it is"))
    _relayed(story, frames.Skip(2, frames.Begin(5, 5, 900)), frames.Ping(1))
    _relayed(story, frames.Skip(2, frames.Begin(5, 5, 900)), name)
    _relayed(story, acked({2: 9}))
    story.tell(CloseChannel("y"))
    story.run(KEEPALIVE + 1.0)
    _relayed(story, frames.Resume(acked({2: 1}).wants), frames.Listen((), 3))
    story.send(3, channel="x")
    story.run(3.0)


def _taken_up_again(recorder: Recorder) -> None:
    """A connection that fell silent is heard again, after more went through the server."""
    story = Story(recorder)
    _enter(story, rate=1000)
    story.connect(ADA)
    story.frames(ADA, frames.Listen(("x",), 1))
    story.send(1, channel="x")
    story.send(2, ADA)
    story.run(10.0)
    _relayed(story, frames.Resume(acked({0: 0, 1: 0}).wants), frames.Listen(("x",), 1))
    story.send(3, channel="x", data="y" * 5000)
    story.run(1.0)
    _relayed(story, acked({1: 1, 2: 1}))
    story.link(ADA, link.CutLoose("x"))
    story.run(20.0)
    story.frames(ADA, frames.Pong(1))
    _relayed(story, acked({2: 2}))
    story.run(1.0)
    story.engine(ADA, engine.ChannelClosed(engine.CONTROL))
    story.send(4, channel="x")
    story.run(4.0)
    story.offer(ADA, "A2", 2, 2)
    story.perform()
    story.open(ADA)
    story.frames(ADA, frames.Resume(acked({0: 0, 1: 0, 2: 1}).wants), frames.Listen(("x",), 1))
    story.run(1.0)


def _one_goes_on(recorder: Recorder) -> None:
    """What one stream has lost comes again although another goes on."""
    story = Story(recorder)
    _enter(story)
    story.run(RELAY_AFTER)
    _relayed(story, frames.Resume({}), frames.Listen(("x",), 1))
    story.send(1, channel="x")
    for number in range(8):
        story.send(2 + number, ADA)
        story.run(0.4)
        _relayed(story, acked({1: number + 1}))
    _relayed(story, acked({2: 1}))
    story.run(KEEPALIVE + 1.0)
    _relayed(story, frames.Resume(acked({1: 8, 2: 1}).wants))
    story.send(10, channel="x")
    _relayed(story, frames.Listen((), 2))
    _relayed(story, acked({1: 8}))
    story.send(11, ADA)
    story.run(0.9)
    _relayed(story, acked({1: 9}))
    story.send(12, ADA)
    story.run(10.0)


def _leaving(recorder: Recorder) -> None:
    """Who has read the last message says so with its goodbye."""
    story = Story(recorder)
    _enter(story)
    story.run(RELAY_AFTER)
    _relayed(story, frames.Resume({}), frames.Listen(("x",), 1))
    _relayed(story, frames.Name(0, 0, "", START, START), _part(1, 0, b"last"))
    story.tell(Leave(1.0))


def _taking_turns(recorder: Recorder) -> None:
    """Two share what the server passes on: who has waited longer is first."""
    story = Story(recorder)
    story.tell(Start())
    message = wire.Welcome("r", "one", "s", relay_bytes=4000)
    story.tell(Welcomed(message, (ADA, CAT), (key(ADA), key(CAT))))
    story.run(RELAY_AFTER)
    for peer in (ADA, CAT):
        story.link(peer, link.Relayed(frames.datagram(frames.Resume({}))))
    for number in range(4):
        story.send(1 + number, ADA, data="y" * 20_000)
    for number in range(3):
        story.send(5 + number, CAT)
        story.run(6.0)
        _relayed(story, acked({1: number}))
        asked = frames.datagram(frames.Resume(acked({1: number}).wants))
        for _ in range(2):
            story.link(CAT, link.Relayed(asked))
            story.run(0.01)
    story.send(9, CAT)
    story.left(CAT)
    story.run(20.0)


TALES: tuple[Callable[[Recorder], None], ...] = (
    _channels,
    _taken_up_again,
    _one_goes_on,
    _leaving,
    _taking_turns,
)
