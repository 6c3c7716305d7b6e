"""Messages to and from one session, whatever connections there are.

It is what a link has of streams: an ``Outbox``, an ``Inbox``, and the frames that the
two ends say about them. It outlives connections, and the link itself if the same
session comes back.
"""

from collections.abc import Iterable, Iterator

from thkmesh.core import frames
from thkmesh.core.channels import Channels
from thkmesh.core.credit import Budget
from thkmesh.core.frames import FRAGMENT_BYTES, Frame, content
from thkmesh.core.identity import SessionKey
from thkmesh.core.link_events import (
    ContentArrived,
    Dropped,
    Lagged,
    LinkOutput,
    MessagesLost,
    Passing,
    TransfersBroken,
)
from thkmesh.core.realtime import Receiver, Sender, pack
from thkmesh.core.receiving import Inbox
from thkmesh.core.sending import Outbox

__all__ = ["Traffic"]


class Traffic:
    """What one session is owed, and what came from it."""

    def __init__(self, to: SessionKey, channels: Channels, budget: Budget) -> None:
        """Owe what is sent from now on; ``budget`` as in ``credit``."""
        self.to = to
        self.outbox = Outbox(channels)
        self.inbox = Inbox(channels, budget)
        self.sender, self.receiver = Sender(), Receiver()
        self._channels = channels

    def again(self) -> None:
        """Go on with the same session after ``close``."""
        self.outbox.again()
        self.inbox.again()

    def close(self) -> None:
        """Owe and hold nothing; the peer is gone."""
        self.outbox.close()
        self.inbox.close()
        self.sender.close()
        self.receiver.close()

    def open(self, channel: str) -> None:
        """Have another channel of ours."""
        self.outbox.open(self._channels[channel])

    def append(
        self, channel: str, kind: int, payload: bytes, fragment_bytes: int = FRAGMENT_BYTES
    ) -> None:
        """Owe a message to the other session alone, in fragments of that size."""
        self.outbox.lane(self._channels[channel]).log.append(kind, payload, fragment_bytes)

    # --- what need not arrive -----------------------------------------------------------

    def send(self, messages: Iterable[Passing], now: float) -> None:
        """Send messages that need not arrive, if the other side wants to hear them."""
        for each in messages:
            channel = self._channels[each.channel]
            assert channel.limits is not None, "others lie in a log"
            if self.outbox.listens(channel):
                stream = 2 * channel.number + (each.number is None)
                self.sender.send(stream, channel.limits, each, now)

    @property
    def due(self) -> float | None:
        """When there is something to send of what need not arrive, or of reports."""
        sender, receiver = self.sender.deadline, self.receiver.deadline
        if sender is None or receiver is None:
            return receiver if sender is None else sender
        return min(sender, receiver)

    def hasten(self, now: float) -> Iterator[tuple[bytes, int]]:
        """Yield the datagrams of what need not arrive, and how many messages are in each."""
        for datagram, _ in pack(self.receiver.take(now)):
            yield datagram, 0
        yield from pack(self.sender.take(now))

    # --- what is said -----------------------------------------------------------------

    def begin(self) -> tuple[Frame, ...]:
        """Return what is said first on a new connection."""
        self.outbox.begin()
        return self.resumption()

    def resumption(self) -> tuple[Frame, ...]:
        """Return what we want to go on from, and to hear."""
        return frames.Resume(self.inbox.begin()), self.listening()

    def listening(self) -> Frame:
        """Return what we want to hear."""
        return frames.Listen(self._channels.listening, self._channels.revision)

    def cut_loose(self, channel: str, out: list[LinkOutput]) -> None:
        """Give up what was sent to everybody on a channel."""
        count = self.outbox.cut_loose(self._channels[channel])
        out.append(Lagged(self.to, channel, count))

    # --- what is heard ----------------------------------------------------------------

    def heard(
        self, frame: Frame, now: float, out: list[LinkOutput], *, lossy: bool = False
    ) -> None:
        """Take a frame of the other side.

        Args:
            frame: what came.
            now: seconds.
            out: where to say what it leads to.
            lossy: it came over a path that may lose: what leaves a gap is ignored.

        Raises:
            InvalidMessage: it makes no sense where it stands.
        """
        match frame:
            case frames.Fragment():
                message = self.inbox.receive(frame, now, lossy=lossy)
                if message is not None:
                    out.append(message)
            case frames.Lossy():
                self._lossy(frame, now, out)
            case frames.Report():
                self.sender.heard(frame, now)
            case frames.Ack(wants=wants):
                self.outbox.acknowledge(wants)
            case frames.Resume(wants=wants):
                self.inbox.begun = True
                self.outbox.resume(wants)
            case frames.Listen():
                for channel, count in self.outbox.listening(frame):
                    out.append(Dropped(self.to, channel, count))
                for each in self._channels:
                    if not self.outbox.listens(each):
                        self.sender.forget(2 * each.number)
                        self.sender.forget(2 * each.number + 1)
            case frames.Name():
                self.inbox.name(frame, now)
                out += (TransfersBroken(self.to, each) for each in self.inbox.broken())
            case frames.Skip():
                channel, lost = self.inbox.skip(frame, now)
                out += (TransfersBroken(self.to, each) for each in self.inbox.broken())
                if lost:
                    out.append(MessagesLost(self.to, channel, lost))
            case _:  # pragma: no cover - the link keeps the others
                pass

    def _lossy(self, frame: frames.Lossy, now: float, out: list[LinkOutput]) -> None:
        """Take a message that need not arrive, if its channel is known and we want to hear it."""
        known = self.inbox.lossy(frame.stream)
        if known is not None:
            name, ordered = known
            for kind, payload in self.receiver.receive(frame, now, ordered=ordered):
                out.append(ContentArrived(name, content(kind, payload), frame.stream, 0))
