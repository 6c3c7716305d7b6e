"""What comes from one session: its streams, put together, and acknowledged in time."""

from collections.abc import Iterable
from typing import Final, TypeAlias

from thkmesh.core.channels import RULES, Channels, Rule
from thkmesh.core.credit import Budget
from thkmesh.core.deflate import Deflated
from thkmesh.core.frames import DEFLATED, Ack, Begin, Fragment, Kind, Name, Skip, Wants, content
from thkmesh.core.latest import LatestIncoming, unwrap
from thkmesh.core.link_events import ContentArrived, PieceArrived
from thkmesh.core.pieces import Ending, IncomingTransfers
from thkmesh.core.streams import ACK_DELAY, Incoming, Whole
from thkmesh.core.unordered import Scattered
from thkmesh.errors import InvalidMessage

__all__ = ["Inbox"]

_Arriving: TypeAlias = Incoming | Scattered | LatestIncoming

_KINDS: Final[dict[Rule, type[_Arriving]]] = {
    Rule.RELIABLE: Incoming,
    Rule.UNORDERED: Scattered,
    Rule.LATEST: LatestIncoming,
}
"""What puts streams together; of what may be lost there are none."""

_RETRY: Final = 0.1
"""Seconds after which a message that is too large for what is free is tried again."""


class Inbox:
    """The receiving half of a link."""

    def __init__(self, channels: Channels, budget: Budget) -> None:
        """Know of no stream."""
        self._channels = channels
        self._budget = budget
        self._streams: dict[int, _Arriving] = {}
        self._names: dict[int, str] = {}
        self._rules: dict[int, Rule] = {}
        self._news: set[int] = set()
        self._transfers: dict[int, IncomingTransfers] = {}
        self._broken: list[int] = []
        self.begun = False
        """Whether the other side has ever sent anything, or could have."""
        self.ack_due: float | None = None
        """When to acknowledge what arrived; None when that is done."""

    def begin(self) -> Wants:
        """Return what is wanted of each stream, for a new connection."""
        return {stream: incoming.want() for stream, incoming in self._streams.items()}

    def name(self, name: Name, now: float) -> None:
        """Take note of a channel, and where its streams begin.

        Raises:
            InvalidMessage: it had another name, or another channel has that name.
        """
        known = self._names.get(name.channel)
        if known is None:
            if name.name in self._names.values():
                raise InvalidMessage(f"two channels of the name {name.name}")
            if name.rule not in RULES:
                raise InvalidMessage(f"an unknown delivery rule, {name.rule}")
            self._names[name.channel] = name.name
            self._rules[name.channel] = Rule(name.rule)
        elif known != name.name:
            raise InvalidMessage(f"the channel {known} has another name, {name.name}")
        rule = self._rules[name.channel]
        if name.rule != rule:
            raise InvalidMessage(f"the channel {known} has another delivery rule, {name.rule}")
        kind = _KINDS.get(rule)
        if kind is not None:
            self._begin(2 * name.channel, name.everybody, kind, now)
            self._begin(2 * name.channel + 1, name.alone, kind, now)

    def lossy(self, stream: int) -> tuple[str, bool] | None:
        """Return the channel of a stream that may lose, and whether it is put in order.

        None if it is not known, or nobody listens.

        Raises:
            InvalidMessage: nothing may be lost of it.
        """
        name, rule = self._names.get(stream >> 1), self._rules.get(stream >> 1)
        if rule in _KINDS:
            raise InvalidMessage(f"stream {stream} may not lose")
        if name is None or not self._channels.listens(name):
            return None
        return name, rule is Rule.LOSSY

    def _begin(self, stream: int, begin: Begin, kind: type[_Arriving], now: float) -> None:
        incoming = self._streams.get(stream)
        if incoming is None:
            self._streams[stream] = kind(begin, self._budget)
        elif incoming.pass_to(begin):
            self._break_off(stream)
            self._tell(stream, now)

    def receive(
        self, fragment: Fragment, now: float, *, lossy: bool = False
    ) -> ContentArrived | PieceArrived | None:
        """Take a fragment; return what it completes, if we want to hear it.

        Args:
            fragment: what came.
            now: seconds.
            lossy: it came over a path that may lose: what leaves a gap is ignored.

        Raises:
            InvalidMessage: it makes no sense, here or at all.
        """
        stream = fragment.stream
        incoming = self._streams.get(stream)
        if incoming is None:
            if lossy:
                return None
            raise InvalidMessage(f"stream {stream} has not begun")
        if fragment.kind == Kind.PIECE and not isinstance(incoming, Incoming):
            raise InvalidMessage(f"a piece on stream {stream}, which is not reliable")
        whole = incoming.receive(fragment, lossy=lossy)
        self._tell(stream, now + ACK_DELAY)
        name = self._names[stream >> 1]
        heard = self._channels.listens(name)
        if not heard:
            incoming.discard()
            self._transfers.pop(stream, None)
        credit = incoming.credit
        if credit.position >= credit.due:
            self._tell(stream, now)
        if whole is None or not heard:
            return None
        if whole.kind == Kind.PIECE and isinstance(incoming, Incoming):
            return self._piece(fragment, name, incoming, whole)
        try:
            key, payload = None, whole.payload
            if isinstance(incoming, LatestIncoming):
                key, payload = unwrap(payload)
            kind = whole.kind & ~DEFLATED
            data = content(kind, payload) if kind == whole.kind else Deflated(kind, payload)
        except InvalidMessage:
            credit.read(whole.cost)
            raise
        return ContentArrived(name, data, stream, whole.cost, key)

    def _piece(
        self, fragment: Fragment, name: str, incoming: Incoming, whole: Whole
    ) -> PieceArrived | None:
        stream = fragment.stream
        transfers = self._transfers.get(stream)
        if transfers is None:
            transfers = self._transfers[stream] = IncomingTransfers()
        try:
            piece = transfers.take(fragment)
        except InvalidMessage:
            incoming.credit.read(whole.cost)
            raise
        if piece is None or piece.ending is Ending.MISSED:
            incoming.credit.read(whole.cost)
        if piece is None:
            return None
        transfer, begins = piece.transfer, piece.transfer == fragment.number
        return PieceArrived(name, stream, transfer, begins, piece.payload, piece.ending, whole.cost)

    def broken(self) -> list[int]:
        """Return the streams whose transfers have broken since this was last asked."""
        broken, self._broken = self._broken, []
        return broken

    def _break_off(self, stream: int, gap: range = range(0)) -> None:
        transfers = self._transfers.get(stream)
        if transfers is None and gap:
            transfers = self._transfers[stream] = IncomingTransfers()
        if transfers is not None and transfers.break_off(gap):
            self._broken.append(stream)

    def read(self, stream: int, size: int, now: float) -> None:
        """Take note that the application has read so much of a stream."""
        incoming = self._streams.get(stream)
        if incoming is not None:
            incoming.credit.read(size)
            self._tell(stream, now + ACK_DELAY)

    def skip(self, skip: Skip, now: float) -> tuple[str, int]:
        """Go to where the stream goes on; return its channel, and how many messages that loses.

        Raises:
            InvalidMessage: it makes no sense.
        """
        incoming = self._streams.get(skip.stream)
        if incoming is None:  # What is not known cannot be missed; its name will say.
            return "", 0
        self._tell(skip.stream, now)
        name = self._names[skip.stream >> 1]
        gap = range(incoming.expected, skip.to.number)
        lost = incoming.skip(skip.to)
        if gap:
            self._break_off(skip.stream, gap)
        return name, lost if self._channels.listens(name) else 0

    def acknowledge(self) -> Ack | None:
        """Return the acknowledgement that is owed, as if it was sent; None if none is.

        ``try_again`` is due then.
        """
        if self.ack_due is None:
            return None
        self.ack_due = None
        wants = {stream: self._streams[stream].want() for stream in sorted(self._news)}
        self._news = {stream for stream in self._news if self._streams[stream].credit.waiting}
        return Ack(wants)

    def try_again(self, now: float) -> None:
        """See later whether there is something for those who wait for the reserve."""
        if self._news and self.ack_due is None:
            self.ack_due = now + _RETRY

    @property
    def streams(self) -> Iterable[int]:
        """All that have begun."""
        return self._streams.keys()

    def tell(self, streams: Iterable[int], now: float) -> None:
        """Owe an acknowledgement of these now, again: a former one may be lost."""
        self._news.update(streams)
        self.ack_due = now

    @property
    def assembling(self) -> int:
        """What the messages that are not whole yet have cost so far."""
        return sum(incoming.assembling for incoming in self._streams.values())

    def close(self) -> None:
        """Hold no message that is whole; what is known of the streams remains, for ``again``."""
        self._transfers.clear()
        for incoming in self._streams.values():
            incoming.credit.close(incoming.assembling)

    def again(self) -> None:
        """Go on with the same session."""
        for incoming in self._streams.values():
            incoming.credit.reopen()

    def _tell(self, stream: int, due: float) -> None:
        """Acknowledge a stream at that time, or sooner."""
        self._news.add(stream)
        if self.ack_due is None or due < self.ack_due:
            self.ack_due = due
