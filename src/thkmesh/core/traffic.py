"""Messages to and from one session, whatever connections there are.

It is what a link has of streams: an ``Outbox``, an ``Inbox``, and the frames that the
two ends say about them. It outlives connections, and the link itself if the same
session comes back.
"""

from thkmesh.core import frames
from thkmesh.core.channels import Channels
from thkmesh.core.credit import Budget
from thkmesh.core.frames import FRAGMENT_BYTES, Frame
from thkmesh.core.identity import SessionKey
from thkmesh.core.link_events import Dropped, Lagged, LinkOutput, MessagesLost, TransfersBroken
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
        self._channels = channels

    def again(self) -> None:
        """Go on with the same session after ``close``."""
        self.outbox.again()
        self.inbox.again()

    def close(self) -> None:
        """Owe and hold nothing; the peer is gone."""
        self.outbox.close()
        self.inbox.close()

    def open(self, channel: str) -> None:
        """Have another channel of ours."""
        self.outbox.open(self._channels[channel])

    def append(
        self, channel: str, kind: int, payload: bytes, fragment_bytes: int = FRAGMENT_BYTES
    ) -> None:
        """Owe a message to the other session alone, in fragments of that size."""
        self.outbox.lane(self._channels[channel]).log.append(kind, payload, fragment_bytes)

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
            case frames.Ack(wants=wants):
                self.outbox.acknowledge(wants)
            case frames.Resume(wants=wants):
                self.inbox.begun = True
                self.outbox.resume(wants)
            case frames.Listen():
                for channel, count in self.outbox.listening(frame):
                    out.append(Dropped(self.to, channel, count))
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
