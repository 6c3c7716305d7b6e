"""The default engine: libwebrtc through the package ``wrtc`` (import ``webrtc``).

The only file that knows that package. It is young, so this adapter is strict: it
refuses what our table of operations forbids, even where libwebrtc would allow it,
and it keeps away from what we found broken in 0.1.0 (libwebrtc M152):

- After the rollback of a *first* offer, libwebrtc never offers the data channels
  again (Chromium neither), so that rollback fails here: replace the connection.
- A connection that closes raises ``CancelledError`` in whatever awaits it, though
  nobody was cancelled, which would end task groups without a word: so each
  operation runs in a task of its own, and nobody but ``close`` awaits that.
- ``RTCPeerConnection.close`` drops what is queued, ``RTCDataChannel.close`` sends
  it: hence the two steps of ``Connection.close``.
- A child of ``fork`` hangs in native code: here it gets ``WrongContext``.
- On a loop that also runs other people's callbacks, wrtc delivers one event every
  hundred turns: give the engine a loop, and a thread, of its own.

``send``, ``buffered_bytes`` and ``mark_low`` may be called from any thread, one at a time; all
else belongs to the loop the engine was made on. Every call raises ``WrongContext``
in a child of ``fork``.
"""

import asyncio
import contextlib
import logging
import re
from collections.abc import Callable
from ipaddress import ip_address
from typing import Final, assert_never

import webrtc

from thkmesh.core.engine import (
    CHANNELS,
    AddCandidate,
    ApplyRemote,
    BufferLow,
    Candidate,
    CandidateFound,
    Capabilities,
    ChannelClosed,
    ChannelOpened,
    ChannelSpec,
    ConnectionConfig,
    ConnectionState,
    Description,
    EngineEvent,
    FrameReceived,
    MakeAnswer,
    MakeOffer,
    Operation,
    OperationDone,
    OperationFailed,
    RollBack,
    SdpType,
    StateChanged,
    Stats,
)
from thkmesh.engines.environment import ProcessGuard, has_address
from thkmesh.errors import EngineError, WrongContext

__all__ = ["WrtcConnection", "WrtcEngine", "warp"]

Emit = Callable[[EngineEvent], None]

_CAPABILITIES: Final = Capabilities(
    rollback=True,
    ice_restart=True,
    trickle=True,
    max_message_bytes=262_144,
    send_anywhere=True,
)

_NO_MORE: Final = "a=end-of-candidates\r\n"
_NEEDED: Final = {
    "an ice-ufrag": re.compile(r"^a=ice-ufrag:[A-Za-z0-9+/]{4,256}\r?$", re.MULTILINE),
    "an ice-pwd": re.compile(r"^a=ice-pwd:[A-Za-z0-9+/]{22,256}\r?$", re.MULTILINE),
    "a fingerprint": re.compile(r"^a=fingerprint:\S+ \S+\r?$", re.MULTILINE),
}

_WARP: Final = {"WebRTC-Sctp-Snap": "Enabled", "WebRTC-IceHandshakeDtls": "Enabled"}
"""What shortens connecting: libwebrtc's field trials of SNAP and SPED."""

_process = ProcessGuard()
"""libwebrtc's threads, and its choice of interfaces, belong to the whole process."""

# --- the engine -----------------------------------------------------------------


class WrtcEngine:
    """Makes libwebrtc connections; see ``thkmesh.core.engine.Engine``."""

    def __init__(self, *, loopback: bool | None = None) -> None:
        """Bind to the running loop.

        Args:
            loopback: whether connections offer the loopback address too. None
                means only if the machine has no other, so that two processes on
                an offline computer still meet. What the first engine of a process
                decides holds for all.

        Raises:
            EngineError: loopback is asked for after a connection was made without.
            WrongContext: in a child of ``fork``, or outside a running loop.
        """
        _process.claim()
        self._loop = _running_loop()
        if loopback or (loopback is None and not has_address()):
            try:
                webrtc.allow_loopback()
            except webrtc.InvalidStateError:
                if loopback:
                    raise EngineError("too late: a connection was made without loopback") from None
        self._open: set[WrtcConnection] = set()
        self._closed = False

    @property
    def name(self) -> str:
        """Return the name users choose it by."""
        return "wrtc"

    @property
    def capabilities(self) -> Capabilities:
        """Return what it can do."""
        return _CAPABILITIES

    def open(self, config: ConnectionConfig, emit: Emit) -> "WrtcConnection":
        """Make a connection that reports to ``emit``.

        Raises:
            EngineError: the engine is closed, or refuses the ICE servers.
            WrongContext: in a child of ``fork``, or on another loop.
        """
        _process.check()
        if _running_loop() is not self._loop:
            raise WrongContext("an engine is used on the event loop it was made on")
        if self._closed:
            raise EngineError("the engine is closed")
        try:
            connection = WrtcConnection(config, emit, self._open.discard)
        except (webrtc.RTCException, TypeError, ValueError) as error:
            raise EngineError(f"wrtc cannot make a connection: {_reason(error)}") from error
        # A connection nobody refers to would be collected, and so closed, in mid-air.
        self._open.add(connection)
        return connection

    async def close(self) -> None:
        """Close every connection that is still open; ``open`` raises from now on."""
        _process.check()
        self._closed = True
        # All at once, so that being cancelled leaves none behind.
        unfinished = [operation for each in tuple(self._open) if (operation := each.abort())]
        if unfinished:
            await asyncio.wait(unfinished)


def _running_loop() -> asyncio.AbstractEventLoop:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise WrongContext("an engine is made and used on one event loop, while it runs") from None


def warp() -> WrtcEngine:
    """Make an engine that connects in one round trip where both ends can.

    The first packets of DTLS go with those of ICE (SPED, draft-hancke-webrtc-sped), and
    the parameters of SCTP with the descriptions (SNAP, draft-hancke-tsvwg-snap). Other
    ends are connected with as ever. All engines of the process do so from then on.

    Raises:
        EngineError: a connection was made without before.
        WrongContext: in a child of ``fork``, or outside a running loop.
    """
    engine = WrtcEngine()
    if not _WARP.items() <= webrtc.field_trials.items():
        try:
            webrtc.field_trials.update(_WARP)
        except webrtc.InvalidStateError:
            reason = "too late for wrtc-warp: this process has connected without"
            raise EngineError(reason) from None
    return engine


# --- a connection ---------------------------------------------------------------


class WrtcConnection:
    """One RTCPeerConnection; see ``thkmesh.core.engine.Connection``."""

    def __init__(
        self, config: ConnectionConfig, emit: Emit, forget: "Callable[[WrtcConnection], None]"
    ) -> None:
        """Use ``WrtcEngine.open``.

        Raises:
            webrtc.RTCException: libwebrtc refuses the configuration.
        """
        self._emit = emit
        self._forget = forget
        self._pc = webrtc.RTCPeerConnection(_configuration(config))
        self._ready: dict[int, webrtc.RTCDataChannel] = {}
        """The open channels, by id."""
        self._idle = asyncio.Event()
        """Set while no channel is open."""
        self._idle.set()
        self._operation: asyncio.Task[None] | None = None
        self._closed = False
        self.text_frames_refused = 0
        """How many text messages came; ours are binary, so they were dropped."""
        self._pc.on("connectionstatechange", self._on_state)
        self._pc.on("icecandidate", self._on_candidate)
        # All before the first await: what arrives without a listener is lost.
        self._channels = [self._make_channel(spec, config) for spec in CHANNELS]

    # --- operations ---

    def perform(self, operation: Operation) -> None:
        """Begin an operation; exactly one result event follows, unless closed."""
        _process.check()
        if self._closed:
            return
        assert self._operation is None, "one operation at a time"
        self._operation = asyncio.create_task(self._perform(operation))

    async def _perform(self, operation: Operation) -> None:
        result: OperationDone | OperationFailed
        try:
            result = OperationDone(operation, await self._carry_out(operation))
        except Exception as error:  # noqa: BLE001 - whatever it is, the negotiator must hear of it
            result = OperationFailed(operation, _reason(error))
        self._operation = None
        self._emit(result)

    async def _carry_out(self, operation: Operation) -> Description | None:
        pc = self._pc
        self._require_legal(operation)
        match operation:
            case MakeOffer(ice_restart=restart):
                if restart:
                    pc.restart_ice()
                await pc.set_local_description()
                return Description(SdpType.OFFER, self._local_sdp())
            case MakeAnswer():
                await pc.set_local_description()
                return Description(SdpType.ANSWER, self._local_sdp())
            case ApplyRemote(description=description):
                await pc.set_remote_description(
                    webrtc.RTCSessionDescriptionInit(description.type.value, description.sdp)
                )
            case RollBack():
                await pc.set_local_description(webrtc.RTCLocalSessionDescriptionInit("rollback"))
            case AddCandidate(candidate=candidate):
                await pc.add_ice_candidate(
                    webrtc.RTCIceCandidateInit(
                        candidate.candidate, candidate.mid, candidate.mline_index, candidate.ufrag
                    )
                )
        return None

    def _require_legal(self, operation: Operation) -> None:
        """Raise ``ValueError`` for what our table forbids and libwebrtc may not."""
        match operation:
            case AddCandidate():
                return  # libwebrtc's own rule is ours
            case MakeOffer() | ApplyRemote(description=Description(type=SdpType.OFFER)):
                legal = webrtc.RTCSignalingState.stable
            case MakeAnswer():
                legal = webrtc.RTCSignalingState.have_remote_offer
            case RollBack() | ApplyRemote():
                legal = webrtc.RTCSignalingState.have_local_offer
            case _:
                assert_never(operation)
        if self._pc.signaling_state != legal:
            raise ValueError(f"not in signaling state {self._pc.signaling_state.value}")
        if isinstance(operation, RollBack) and self._pc.current_local_description is None:
            raise ValueError("libwebrtc does not survive the rollback of a first offer")
        if isinstance(operation, ApplyRemote):
            # libwebrtc would refuse these too, but not without a line on standard error.
            for needed, pattern in _NEEDED.items():
                if not pattern.search(operation.description.sdp):
                    raise ValueError(f"a description needs {needed}")

    # --- frames ---

    def send(self, channel: int, data: bytes) -> bool:
        """Hand one datagram to a channel.

        Returns False when the channel is not open or its buffer is full, or the
        datagram is larger than the remote end takes.
        """
        _process.check()
        ready = self._ready.get(channel)
        if ready is None:
            return False
        try:
            ready.send(data)
        except (webrtc.RTCException, TypeError):  # full, or larger than the remote takes
            return False
        return True

    def buffered_bytes(self, channel: int) -> int:
        """Return how many bytes wait in the engine's buffer of a channel."""
        _process.check()
        ready = self._ready.get(channel)
        return 0 if ready is None else ready.buffered_amount

    def mark_low(self, channel: int, size_bytes: int) -> None:
        """Have another low-water mark from now on; no event comes of that alone."""
        _process.check()
        ready = self._ready.get(channel)
        if ready is not None:
            ready.buffered_amount_low_threshold = size_bytes

    # --- knowledge ---

    def reconfigure(self, config: ConnectionConfig) -> None:
        """Gather candidates with other ICE servers from now on."""
        if self._closed:
            return
        try:
            self._pc.set_configuration(_configuration(config))
        except (webrtc.RTCException, ValueError, TypeError) as error:
            logging.getLogger("thkmesh.client").warning("ICE servers stay: %s", _reason(error))

    async def stats(self) -> Stats:
        """Return what the engine knows; never raises for what the network does."""
        _process.check()
        try:
            report = await self._pc.get_stats()
        except webrtc.RTCException:
            return Stats()
        return _summary(report)

    # --- the end ---

    async def close(self, drain: float = 0.0) -> None:
        """Close; idempotent, and silent from the call on.

        Frames already sent get up to ``drain`` seconds to leave. Cancelling it
        closes at once, as does a second call with less patience.
        """
        _process.check()
        self._silence()
        try:
            if drain > 0:
                # Only a channel's own close waits for its queue to be acknowledged.
                for channel in tuple(self._ready.values()):
                    channel.close()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(drain):
                        await self._idle.wait()
        finally:
            operation = self.abort()
        if operation:
            await asyncio.wait([operation])

    def abort(self) -> asyncio.Task[None] | None:
        """Close at once; return the cancelled operation that was in flight."""
        self._silence()
        self._forget(self)
        self._pc.close()
        # The listeners refer to us and we to them: without this we, and all that
        # ``emit`` holds on to, would wait for the garbage collector.
        self._pc.off()
        for channel in self._channels:
            channel.off()
        self._ready.clear()
        self._idle.set()
        operation, self._operation = self._operation, None
        if operation:
            operation.cancel()
        return operation

    def _silence(self) -> None:
        self._closed = True
        self._emit = _ignore

    # --- what libwebrtc reports ---

    def _make_channel(self, spec: ChannelSpec, config: ConnectionConfig) -> webrtc.RTCDataChannel:
        channel = self._pc.create_data_channel(
            spec.label,
            webrtc.RTCDataChannelInit(
                ordered=spec.ordered,
                max_retransmits=spec.max_retransmits,
                negotiated=True,
                id=spec.id,
            ),
        )
        channel.buffered_amount_low_threshold = config.low_water_bytes

        def on_open(_: webrtc.Event) -> None:
            self._ready[spec.id] = channel
            self._idle.clear()
            self._emit(ChannelOpened(spec.id))

        def on_message(event: webrtc.MessageEvent) -> None:
            if isinstance(event.data, bytes):
                self._emit(FrameReceived(spec.id, event.data))
            else:
                self.text_frames_refused += 1

        def on_low(_: webrtc.Event) -> None:
            self._emit(BufferLow(spec.id))

        def on_close(_: webrtc.Event) -> None:
            self._ready.pop(spec.id, None)
            if not self._ready:
                self._idle.set()
            self._emit(ChannelClosed(spec.id))

        channel.on("open", on_open)
        channel.on("message", on_message)
        channel.on("bufferedamountlow", on_low)
        channel.on("close", on_close)
        return channel

    def _on_state(self, _: webrtc.Event) -> None:
        self._emit(StateChanged(ConnectionState(self._pc.connection_state.value)))

    def _on_candidate(self, event: webrtc.RTCPeerConnectionIceEvent) -> None:
        found = event.candidate
        if found is None:
            return  # the empty candidate said so before, and with its ufrag
        self._emit(
            CandidateFound(
                Candidate(
                    found.candidate,
                    found.sdp_mid,
                    found.sdp_m_line_index,
                    found.username_fragment or "",
                )
            )
        )

    def _local_sdp(self) -> str:
        description = self._pc.local_description
        # After an ICE restart libwebrtc ends the candidates before the first; we trickle the end.
        return "" if description is None else description.sdp.replace(_NO_MORE, "")


# --- in and out of libwebrtc's words ---------------------------------------------


def _ignore(_: EngineEvent) -> None:
    """Take the place of ``emit`` once a connection is closed."""


def _reason(error: Exception) -> str:
    """Return one short line for the log."""
    text = str(error).partition("\n")[0]
    return f"{type(error).__name__}: {text:.200}"


def _configuration(config: ConnectionConfig) -> webrtc.RTCConfiguration:
    return webrtc.RTCConfiguration(
        ice_servers=[
            webrtc.RTCIceServer(list(server.urls), server.username, server.credential)
            for server in config.ice_servers
        ],
        ice_transport_policy="relay" if config.relay_only else "all",
    )


def _summary(report: webrtc.RTCStatsReport) -> Stats:
    """Return what a report says of the one transport and its selected pair."""
    for transport in report.values():
        if not isinstance(transport, webrtc.RTCTransportStats):
            continue
        sent, received = transport.bytes_sent, transport.bytes_received
        pair = report.get(transport.selected_candidate_pair_id or "")
        if not isinstance(pair, webrtc.RTCIceCandidatePairStats):
            return Stats(bytes_sent=sent, bytes_received=received)
        local = _candidate(report, pair.local_candidate_id)
        remote = _candidate(report, pair.remote_candidate_id)
        rtt = pair.current_round_trip_time
        return Stats(
            rtt=None if rtt is None else float(rtt),
            local_type=None if local is None else str(local.candidate_type),
            remote_type=None if remote is None else str(remote.candidate_type),
            protocol=_protocol(local),
            ip_version=_ip_version(local, remote),
            # Some checks (RFC 7675) libwebrtc counts among the requests, and answers as well.
            checks_sent=pair.requests_sent,
            checks_answered=pair.responses_received,
            bytes_sent=sent,
            bytes_received=received,
        )
    return Stats()


def _candidate(report: webrtc.RTCStatsReport, name: str) -> webrtc.RTCIceCandidateStats | None:
    stats = report.get(name)
    return stats if isinstance(stats, webrtc.RTCIceCandidateStats) else None


def _protocol(local: webrtc.RTCIceCandidateStats | None) -> str | None:
    """Return what we speak on the first stretch: of a relay, to the TURN server."""
    if local is None:
        return None
    protocol = local.relay_protocol or local.protocol
    return "tcp" if protocol == "tls" else protocol


def _ip_version(*candidates: webrtc.RTCIceCandidateStats | None) -> int | None:
    """Return that of the first address that is one; of some only a name is told."""
    for candidate in candidates:
        try:
            return ip_address((candidate and candidate.address) or "").version
        except ValueError:
            continue
    return None
