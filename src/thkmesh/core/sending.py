"""What goes to one session: its places in the logs, and its engine's window.

An engine's buffer is lost with its connection, and it kills the channel at 16
MiB. So fragments stay in their logs (see ``streams``) until they are acknowledged,
and only a shallow window is handed on, small ones many to a datagram.

Each channel of ours has a *lane* to the other session. Lanes that have something to
send take turns, a datagram at a time, by what they have had so far over their
priority (stride scheduling): so large messages of several channels interleave, a line
of chat waits for one fragment of a file, and nobody starves.

The engine tells us how much it still holds only when asked (``MeasureBuffer``);
``take`` stops when the window (see ``window``) is full, until that has been heard.
"""

from collections.abc import Iterator
from typing import Final, TypeAlias

from thkmesh.core import frames
from thkmesh.core.channels import ROOM, Channel, Channels, Rule, log_of
from thkmesh.core.engine import BULK, CONTROL
from thkmesh.core.frames import VERSION, Frame, Listen, Name, Skip, Wants
from thkmesh.core.latest import CompactedLog, LatestOutgoing
from thkmesh.core.streams import Log, Outgoing
from thkmesh.core.window import SendWindow
from thkmesh.errors import InvalidMessage

__all__ = ["BATCH_BYTES", "Lane", "Outbox"]

BATCH_BYTES: Final = 16 * 1024
"""Fragments share a datagram up to this size; a larger one has its own."""

_OVERHEAD_BYTES: Final = 64
"""What an empty datagram counts, so that a million of them are not free."""


_Place: TypeAlias = Outgoing | LatestOutgoing


def _place(stream: int, log: Log | CompactedLog, *, ordered: bool) -> _Place:
    """Return a place in a log."""
    if isinstance(log, CompactedLog):
        return LatestOutgoing(stream, log)
    return Outgoing(stream, log, ordered=ordered)


class Lane:
    """One of our channels, as far as the other session is concerned.

    Attributes:
        log: where messages to this session alone are put.
        everybody: its place in the channel's log.
        alone: its place in that log.
        named: the other session has been told what it must know first, for all we know.
        passed: what the lane has had so far, over its priority.
    """

    def __init__(self, channel: Channel, order: Iterator[int]) -> None:
        """Owe nothing yet; ``order`` as in ``Log``."""
        self.channel = channel
        self.log = log_of(channel.delivery, order)
        ordered = channel.rule is not Rule.UNORDERED
        self.everybody = _place(2 * channel.number, channel.log, ordered=ordered)
        self.alone = _place(2 * channel.number + 1, self.log, ordered=ordered)
        self.named = False
        self.passed = 0.0

    @property
    def both(self) -> tuple[_Place, _Place]:
        """Its two places."""
        return (self.everybody, self.alone)

    @property
    def owed(self) -> bool:
        """Tell whether the other session is owed what is sent on this channel."""
        return self.everybody.owed

    @property
    def adrift(self) -> bool:
        """Tell whether the other session was cut loose, and has taken in nothing since."""
        return self.everybody.skip is not None

    @property
    def next(self) -> _Place | None:
        """The stream of which the next fragment is sent; None if none can be."""
        alone = self.alone if self.alone.sendable else None
        if not self.everybody.sendable:
            return alone
        if alone is not None and alone.order < self.everybody.order:
            return alone
        return self.everybody

    @property
    def must_introduce(self) -> bool:
        """Tell whether the other session must know something even if nothing follows it."""
        return not self.named and (self.moved or (self.lossy and self.owed))

    @property
    def lossy(self) -> bool:
        """Tell whether what is sent on it need not arrive, and so is in no log."""
        return self.channel.limits is not None

    @property
    def unacknowledged(self) -> int:
        """How many messages are not known to have arrived."""
        return self.everybody.unacknowledged + self.alone.unacknowledged

    @property
    def undelivered(self) -> int:
        """How many of them are lost if the other session is gone."""
        return self.everybody.undelivered + self.alone.undelivered

    def reached(self, everybody: int, alone: int) -> bool:
        """Tell whether all before those numbers has arrived, or is not owed."""
        wanted = zip(self.both, (everybody, alone), strict=True)
        return all(each.reached(number) for each, number in wanted)

    def owe(self, *, wanted: bool) -> int:
        """Owe what is appended from now on, or no more; return what is not owed any longer.

        That counts the messages to this session alone: those are told of.
        """
        if wanted:
            for each in self.both:
                each.attach()
            return 0
        lost = self.alone.undelivered
        for each in self.both:
            each.detach()
        return lost

    def renew(self) -> None:
        """Owe current values again to who has perhaps not listened for a while."""
        for each in self.both:
            if isinstance(each, LatestOutgoing):
                each.detach()
                self.named = False

    @property
    def moved(self) -> bool:
        """Tell whether the other session does not get all that it expects."""
        return any(each.moved for each in self.both)

    def introduction(self) -> list[Frame]:
        """Return what is said before the first fragment, in one datagram with it.

        What was missed comes behind the name: what lies before a beginning is not lost.
        """
        self.named = True
        channel = self.channel
        for each in self.both:
            each.named_at = each.sent
        begins = self.everybody.begin, self.alone.begin
        name = Name(channel.number, channel.rule, channel.name, *begins)
        places = [(each.stream, to) for each in self.both for to in (each.missed, each.skip) if to]
        return [name, *(Skip(stream, to) for stream, to in places)]


class Outbox:
    """The sending half of a link.

    Attributes:
        ready: what the other side has is known, so that sending may go on from there.
        window: how much the engine may hold.
        bulk: its channel for what comes in any order is open.
    """

    def __init__(self, channels: Channels) -> None:
        """Owe what is appended from now on."""
        self.ready = True  # It has nothing, as nothing was ever sent.
        self.window = SendWindow()
        self.bulk = False
        self._channels = channels
        self._listening: frozenset[str] | None = None
        self._revision = 0
        self._strayed = False  # A path that may lose was used, too.
        self._lanes: list[Lane] = []
        self._turn = 0.0
        for channel in channels:
            self.open(channel)

    # --- channels ---------------------------------------------------------------------

    def open(self, channel: Channel) -> None:
        """Have a lane for a new channel of ours."""
        lane = Lane(channel, self._channels.order)
        self._lanes.append(lane)
        lane.owe(wanted=self.listens(channel) is not False)

    def lane(self, channel: Channel) -> Lane:
        """Return the lane of a channel."""
        return self._lanes[channel.number]

    def listens(self, channel: Channel) -> bool | None:
        """Tell whether the other side wants to hear of a channel; None if that is not known."""
        if channel.name == ROOM:
            return True
        return None if self._listening is None else channel.name in self._listening

    def listening(self, listen: Listen) -> list[tuple[str, int]]:
        """Take the other side's word for what it wants to hear, unless it is out of date.

        Returns:
            the channels on which messages to it alone waited in vain, and how many.
        """
        if listen.revision < self._revision:
            return []
        missed = self._listening is not None and listen.revision > self._revision + 1
        self._revision = listen.revision
        self._listening = frozenset(listen.names)
        if missed:  # a change between the two: it may have thrown values away
            for lane in self._lanes:
                lane.renew()
        lost = [
            (lane.channel.name, lane.owe(wanted=self.listens(lane.channel) is True))
            for lane in self._lanes
        ]
        for lane in self._lanes:
            lane.named = lane.named and lane.owed
        return [(name, count) for name, count in lost if count]

    @property
    def waiting(self) -> bool:
        """Tell whether there is something to send."""
        return any(each.waiting for lane in self._lanes for each in lane.both)

    @property
    def scattered(self) -> bool:
        """Tell whether something is on its way that what follows may overtake."""
        return any(
            lane.channel.rule is Rule.UNORDERED and lane.unacknowledged for lane in self._lanes
        )

    @property
    def waiting_bytes(self) -> int:
        """Return how much is queued and not yet with the engine."""
        return sum(each.waiting_bytes for lane in self._lanes for each in lane.both)

    @property
    def unacknowledged_bytes(self) -> int:
        """Return how much is not known to have arrived, sent or not."""
        return sum(each.unacknowledged_bytes for lane in self._lanes for each in lane.both)

    @property
    def flight(self) -> dict[int, tuple[int, int]]:
        """How far each stream is acknowledged and sent of which these differ, or skipped."""
        return {
            each.stream: (each.acked, each.sent)
            for lane in self._lanes
            for each in lane.both
            if each.sent > each.acked or each.moved
        }

    @property
    def acknowledged_bytes(self) -> int:
        """Return how much the other side has said to have."""
        return sum(each.acked_bytes for lane in self._lanes for each in lane.both)

    @property
    def unacknowledged(self) -> dict[str, int]:
        """How many messages are not known to have arrived, by channel; none is left out."""
        counts = {lane.channel.name: lane.unacknowledged for lane in self._lanes}
        return {name: count for name, count in counts.items() if count}

    @property
    def undelivered(self) -> dict[str, int]:
        """How many messages do not arrive if nothing more does; none is left out.

        Of transfers that are under way, those to everybody: who sends the others is told.
        """
        counts = {
            lane.channel.name: lane.undelivered + lane.everybody.unfinished for lane in self._lanes
        }
        return {name: count for name, count in counts.items() if count}

    # --- connections ------------------------------------------------------------------

    def begin(self) -> None:
        """Begin with a new connection."""
        self.window = SendWindow()
        for lane in self._lanes:
            lane.named = False
            for each in lane.both:
                if each.sent > each.begin.number or each.moved:
                    self.ready = False

    def pause(self) -> None:
        """Begin with a path that may lose: send nothing before it is known what is there."""
        self.ready = False
        self._strayed = True

    def resume(self, wants: Wants) -> None:
        """Go on from what the other side expects.

        Raises:
            InvalidMessage: it cannot expect that.
        """
        if not self.ready:
            for lane in self._lanes:
                for each in lane.both:
                    each.resume(wants.get(each.stream), strayed=self._strayed)
        self.ready = True

    def rewind(self) -> None:
        """Say again whatever is not known to have arrived."""
        for lane in self._lanes:
            lane.named = False
            for each in lane.both:
                each.rewind()

    def revive(self) -> None:
        """Go on over a connection that was given up for its silence, and is heard again.

        What went another way meanwhile may be lost; over this one nothing may be missing.
        """
        if self._strayed:
            self.rewind()
            self.ready = True

    def acknowledge(self, wants: Wants) -> None:
        """Take the other side's word for what it has, and how much it takes.

        Raises:
            InvalidMessage: it cannot have that.
        """
        for stream, want in wants.items():
            if stream >= 2 * len(self._lanes):
                raise InvalidMessage(f"stream {stream} was never begun")
            self._lanes[stream >> 1].both[stream & 1].acknowledge(want)

    def cut_loose(self, channel: Channel) -> int:
        """Owe nothing that was sent to everybody on a channel; return how many messages."""
        lane = self.lane(channel)
        lane.named = False
        assert isinstance(lane.everybody, Outgoing), "for values nobody waits"
        return lane.everybody.cut_loose()

    # --- what is sent ---------------------------------------------------------------------

    def take(self, now: float) -> list[tuple[int, bytes]]:
        """Return the datagrams that fit the engine's window now, each with its data channel."""
        taken: list[tuple[int, bytes]] = []
        window = self.window
        while self.ready and not window.full:
            datagram, size, more, way = self._datagram()
            if size:
                window.held_bytes += size + _OVERHEAD_BYTES
                taken.append((way, datagram))
            if not more:
                break
        if taken and self.must_measure:
            window.filled(now)
        return taken

    def fits(self, window_bytes: int) -> bool:
        """Tell whether there is a next datagram while so much may be on its way."""
        turn = self._next() if self.ready else None
        if turn is None:
            return False
        flight = self.unacknowledged_bytes - self.waiting_bytes
        size = 0 if turn[1] is None else turn[1].next_size()
        return flight == 0 or flight + size <= window_bytes

    def take_one(self) -> tuple[bytes, tuple[int, int] | None]:
        """Return the next datagram, and how far that takes one stream; there must be one."""
        turn = self._next()
        first = None if turn is None else turn[1]
        datagram = self._datagram()[0]
        return datagram, None if first is None else (first.stream, first.sent)

    def _datagram(self) -> tuple[bytes, int, bool, int]:
        """Return the next datagram, how much is in it, whether more may follow, and its way.

        There may be nothing in it.
        """
        parts = [VERSION]
        size, way = 0, CONTROL
        while (turn := self._next()) is not None:
            wanted = self._way(*turn)
            if size and wanted != way:
                break
            way = wanted
            took = self._serve(*turn, parts, size)
            size += took
            if not took or size >= BATCH_BYTES:
                break
        return b"".join(parts), size, turn is not None, way

    def _way(self, lane: Lane, first: _Place | None) -> int:
        """Return the data channel for what a lane has to send: no name may be overtaken."""
        free = self.bulk and lane.named and first is not None and first.free
        return BULK if free else CONTROL

    def _serve(self, lane: Lane, first: _Place | None, parts: list[bytes], size: int) -> int:
        """Add what a lane may send to a datagram of a size; return how much that is."""
        room = BATCH_BYTES - size
        if first is not None and size and first.next_size() > room:
            return 0
        took = 0
        if not lane.named:
            parts.append(b"".join(map(frames.write, lane.introduction())))
            took = len(parts[-1])
        if first is not None:
            second = lane.alone if first is lane.everybody else lane.everybody
            took += first.take(parts, room - took, second.order if second.sendable else None)
        lane.passed += took / lane.channel.priority
        return took

    def _next(self) -> tuple[Lane, _Place | None] | None:
        """Return the lane whose turn it is, and its stream; None if none has anything to say.

        There is no stream where only that must be known which comes before it.
        """
        found = None
        for lane in self._known:
            first = lane.next
            if first is not None or lane.must_introduce:
                # Who had nothing to send has no claim on what it did not use.
                lane.passed = max(lane.passed, self._turn)
                if found is None or lane.passed < found[0].passed:
                    found = lane, first
        if found is not None:
            self._turn = found[0].passed
        return found

    @property
    def _known(self) -> list[Lane]:
        """The lanes of which it is known whether the other side wants to hear."""
        return self._lanes if self._listening is not None else self._lanes[:1]

    @property
    def must_measure(self) -> bool:
        """Tell whether fragments wait although the engine may have sent what it held."""
        # Whose turn it is stays open: who comes meanwhile may be first.
        return self.window.full and any(
            lane.next is not None or lane.must_introduce for lane in self._known
        )

    # --- the end --------------------------------------------------------------------------

    def close(self) -> None:
        """Forget everything; the peer is gone."""
        for lane in self._lanes:
            for each in lane.both:
                each.close()

    def again(self) -> None:
        """Begin again with the same session, which may not have noticed that it was gone.

        What was not sent to it meanwhile it has lost; it is told so if it had been here.
        """
        self._listening = None
        self._revision = 0
        for channel in list(self._channels)[len(self._lanes) :]:
            self._lanes.append(Lane(channel, self._channels.order))
        for lane in self._lanes:
            for each in lane.both:
                if lane.lossy:  # nothing is numbered there, so nothing was missed
                    each.attach()
                else:
                    each.again()
