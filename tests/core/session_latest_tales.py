"""Stories for the vectors of the session: latest values, and what is deflated."""

from collections.abc import Callable

from tests.core.session_stories import ADA, CAT, START, Story, acked, key
from tests.core.session_traces import Recorder
from thkmesh.core import engine, frames, varint, wire
from thkmesh.core import link_events as link
from thkmesh.core.channels import Delivery, Priority, Rule
from thkmesh.core.credit import WINDOW_BYTES
from thkmesh.core.deflate import deflate
from thkmesh.core.frames import FRAGMENT_BYTES, Begin, Kind
from thkmesh.core.latest import wrap
from thkmesh.core.packing import Packing
from thkmesh.core.relay import RELAY_AFTER
from thkmesh.core.session_events import (
    CloseChannel,
    Flush,
    Leave,
    OpenChannel,
    Send,
    Start,
    Welcomed,
)
from thkmesh.events import Data
from thkmesh.peer import Peer

__all__ = ["TALES"]

VALUES = Packing(latest=True)


def _open(story: Story, *, listen: bool = True) -> None:
    story.tell(OpenChannel("x", Delivery.LATEST, Priority.NORMAL, listen))


def _say(
    story: Story, token: int, data: Data, under: str | None = None, to: Peer | None = None
) -> None:
    story.tell(Send(token, None if to is None else key(to), *VALUES.pack(data, under), "x"))


def _name(begin: int = 0) -> frames.Name:
    place = Begin(begin, 0, 0)
    return frames.Name(1, Rule.LATEST, "y", place, place)


def _value(
    number: int, data: bytes, under: str = "", *, back: int = 0, last: bool = True, stream: int = 2
) -> frames.Fragment:
    payload = varint.write(back) + wrap(under, data)
    return frames.Fragment(stream, number, Kind.TEXT, last=last, payload=payload)


def _sent(recorder: Recorder) -> None:
    """What is superseded is not sent; who comes later gets what there is."""
    story = Story(recorder)
    story.enter(ADA)
    _open(story)
    story.connect(ADA)
    for token, under in enumerate(("a", "b", "a", None, "ключ")):
        _say(story, token, token, under)
    story.frames(ADA, frames.Listen(("x",), 1))
    _say(story, 6, "for you", "a", ADA)
    story.frames(ADA, acked({2: 3}))
    story.tell(Flush(7, "x"))
    _say(story, 8, "later", "a")
    story.introduce(CAT)
    story.connect(CAT)
    story.frames(CAT, frames.Listen(("x",), 1))
    story.frames(ADA, acked({2: 6, 3: 1}))
    story.frames(ADA, acked({2: 5, 3: 0}))
    story.frames(CAT, acked({2: 6}))
    story.engine(ADA, engine.ChannelClosed(engine.CONTROL))
    for token, under in enumerate(("a", "b", "a")):
        _say(story, token, "away", under)
    story.offer(ADA, "A2", 2, 2)
    story.perform()
    story.open(ADA)
    wants = acked({0: 0, 1: 0, 2: 6, 3: 1}).wants
    story.frames(ADA, frames.Resume(wants), frames.Listen(("x",), 1))
    story.left(CAT, "timeout")
    story.tell(Leave(5.0))
    story.frames(ADA, acked({2: 9}))
    story.run(10.0)


def _again(recorder: Recorder) -> None:
    """Who listens anew, or may have, gets everything once more, under other numbers."""
    story = Story(recorder)
    story.enter(ADA)
    _open(story)
    story.connect(ADA)
    story.frames(ADA, frames.Listen(("x",), 1))
    _say(story, 1, "one", "a")
    _say(story, 2, "two", "b", ADA)
    story.frames(ADA, acked({2: 1, 3: 1}))
    story.frames(ADA, frames.Listen((), 2))
    _say(story, 3, "three", "c")
    story.frames(ADA, acked({2: 1}))
    story.frames(ADA, frames.Listen(("x",), 3))
    story.frames(ADA, acked({2: 1, 3: 1}))
    story.frames(ADA, acked({2: 3}))
    story.frames(ADA, frames.Listen(("x",), 5))
    story.frames(ADA, frames.Listen((), 4))
    story.frames(ADA, acked({2: 6, 3: 3}))
    story.engine(ADA, engine.ChannelClosed(engine.CONTROL))
    story.left(ADA, "timeout")
    story.introduce(ADA)
    story.offer(ADA, "A3", 3, 2)
    story.perform()
    story.open(ADA)
    story.frames(ADA, frames.Resume({}), frames.Listen(("x",), 6))
    story.frames(ADA, acked({2: 99}))


def _limits(recorder: Recorder) -> None:
    """So many bytes, and no more than is granted; nobody waits."""
    story = Story(recorder)
    story.enter(ADA)
    _open(story)
    story.connect(ADA)
    story.frames(ADA, frames.Listen(("x",), 1))
    for number in range(18):
        _say(story, number, bytes(FRAGMENT_BYTES - 9), str(number))
        _say(story, number, bytes(FRAGMENT_BYTES - 9), str(number), ADA)
    _say(story, 18, b"fits", "0")
    for limit in (0, WINDOW_BYTES, 2**40):
        story.frames(ADA, acked({2: 2, 3: 1}, limit))
        for _ in range(12):
            story.link(ADA, link.Measured(1, 0))


def _heard(recorder: Recorder) -> None:
    """Values come with gaps, under keys; those thrown away do not count."""
    story = Story(recorder)
    story.enter(ADA)
    story.tell(OpenChannel("y", Delivery.LATEST, Priority.NORMAL, listen=True))
    story.connect(ADA)
    story.frames(ADA, _name(), _value(0, b"one", "a"), _value(3, b"two", "b", back=2))
    story.frames(ADA, _value(1, b"late", "a"), _value(0, b"alone", stream=3), _name(), _name(1))
    story.run(1.0)
    story.link(ADA, link.Read(2, 1000))
    story.run(1.0)
    story.tell(CloseChannel("y"))
    story.frames(ADA, _value(4, b"unheard", "a"))
    story.tell(OpenChannel("y", Delivery.LATEST, Priority.NORMAL, listen=True))
    story.frames(ADA, _name(5), _value(9, b"again", "a", back=4))
    story.run(1.0)
    for number in range(6):
        story.frames(ADA, _value(10 + number, bytes(60_000), "large"))
        story.run(0.0)


def _mistakes(recorder: Recorder) -> None:
    """What makes no sense ends the connection."""
    skip = frames.Skip(2, Begin(9, 9, 9))
    text = frames.Fragment(2, 0, Kind.TEXT, last=True, payload=b"\0\5ab")
    for said in (
        _value(1, b"a gap"),
        _value(3, b"a gap", back=2),
        _value(0, b"in parts", last=False),
        skip,
        text,
        frames.Fragment(2, 0, Kind.TEXT, last=True, payload=b""),
        frames.Fragment(2, 0, Kind.TEXT, last=True, payload=b"\0\1\xff"),
        frames.Fragment(2, 0, Kind.TEXT, last=True, payload=b"\0\x41" + b"k" * 65),
        frames.Fragment(2, 0, Kind.TEXT, last=True, payload=b"\0\0\xff"),
    ):
        story = Story(recorder)
        story.enter(ADA)
        story.tell(OpenChannel("y", Delivery.LATEST, Priority.NORMAL, listen=True))
        story.connect(ADA)
        story.frames(ADA, _name(), said)


def _relayed(recorder: Recorder) -> None:
    """Over a path that may lose a gap is told from what was superseded."""
    story = Story(recorder)
    story.tell(Start())
    message = wire.Welcome("r", "one", "s", relay_bytes=64_000)
    story.tell(Welcomed(message, (ADA,), (key(ADA),)))
    _open(story)

    def said(*what: frames.Frame) -> None:
        story.link(ADA, link.Relayed(frames.datagram(*what)))

    story.run(RELAY_AFTER)
    said(frames.Resume({}), frames.Listen(("x",), 1), frames.Name(0, 0, "", START, START))
    for token, under in enumerate(("a", "b", "a", "c")):
        _say(story, token, token, under)
    story.run(1.5)
    _say(story, 5, "newer", "b")
    story.run(2.0)
    said(acked({2: 4}))
    story.run(0.1)
    said(acked({2: 5}))
    name = frames.Name(2, Rule.LATEST, "x", START, START)
    said(_value(0, b"unknown", stream=4))
    said(name, _value(2, b"after a loss", back=1, stream=4))
    said(name, _value(1, b"first", back=1, stream=4))
    said(_value(1, b"first", back=1, stream=4), _value(4, b"second", back=2, stream=4))
    said(frames.Skip(4, Begin(9, 9, 9)))
    story.run(11.0)


def _deflated(recorder: Recorder) -> None:
    """What is deflated comes as it is; what cannot be made out costs the connection."""
    story = Story(recorder)
    story.enter(ADA)
    story.tell(OpenChannel("y", Delivery.LATEST, Priority.NORMAL, listen=True))
    story.connect(ADA)
    kind, payload = deflate(Kind.TEXT, b"x" * 2000)
    story.frames(ADA, frames.Fragment(0, 0, kind, last=True, payload=payload))
    value = varint.write(0) + wrap("k", payload)
    story.frames(ADA, _name(), frames.Fragment(2, 0, kind, last=True, payload=value))
    story.frames(ADA, frames.Fragment(0, 1, kind, last=False, payload=payload[:5]))
    story.frames(ADA, frames.Fragment(0, 2, kind, last=True, payload=payload[5:]))
    story.link(ADA, link.Garbled("a malformed message, not deflated as a whole"))
    story.link(ADA, link.Garbled("a malformed message, not deflated as a whole"))
    story = Story(recorder)
    story.enter(ADA)
    story.connect(ADA)
    story.frames(ADA, frames.Fragment(0, 0, kind, last=False, payload=payload))
    story.frames(ADA, frames.Fragment(0, 1, Kind.TEXT, last=True, payload=payload))
    for odd in (0x03, 0x0B, 0x18):
        story = Story(recorder)
        story.enter(ADA)
        story.connect(ADA)
        story.frames(ADA, frames.Fragment(0, 0, odd, last=True, payload=payload))


TALES: tuple[Callable[[Recorder], None], ...] = (
    _sent,
    _again,
    _limits,
    _heard,
    _mistakes,
    _relayed,
    _deflated,
)
