"""How a simulated connection negotiates: signaling states and session descriptions.

The table of ``thkmesh.core.engine``, kept to the letter; what it forbids is
``Refused`` and changes nothing. Descriptions are small but look like RFC 8866
text, with the lines that matter to us: ``ice-ufrag``, ``fingerprint``,
``sctp-port``. Two more say what real ones do not: which description it is, and
which offer an answer is for, so that an answer to another offer is refused
here, where a real engine would connect to nobody, or wedge.

As in libwebrtc, an offer that was the first is not withdrawn, see
``thkmesh.engines.wrtc``. Sources: W3C WebRTC 1.0, section 4.3.1; RFC 8829.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from thkmesh.core.engine import (
    END_OF_CANDIDATES,
    AddCandidate,
    ApplyRemote,
    Candidate,
    Capabilities,
    Description,
    MakeAnswer,
    MakeOffer,
    Operation,
    RollBack,
    SdpType,
)

__all__ = ["Illegal", "Jsep", "Refused", "Sdp", "SignalingState"]

_CANDIDATE = re.compile(r"candidate:\S+ \d+ \S+ \d+ \S+ \d+ typ \w+")

_TEXT = """\
v=0
o=- {session} {version} IN IP4 127.0.0.1
s=-
t=0 0
a=x-answers:{answers}
m=application 9 UDP/DTLS/SCTP webrtc-datachannel
c=IN IP4 0.0.0.0
a=ice-ufrag:{ufrag}
a=ice-pwd:{ufrag}-and-the-rest-of-it
a=fingerprint:sha-256 {fingerprint}
a=mid:0
a=sctp-port:5000
a=max-message-size:262144
"""


class Refused(Exception):
    """The operation is not done; the text says why."""


class Illegal(Refused):
    """Our caller should have known: not in this state, or not for this offer."""


@dataclass(frozen=True, slots=True)
class Sdp:
    """What a description says."""

    session: int
    version: int
    ufrag: str
    fingerprint: str
    answers: str = ""
    candidates: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What answers call it."""
        return f"{self.session} {self.version}"

    def text(self) -> str:
        """Return it as it travels."""
        text = _TEXT.format(
            session=self.session,
            version=self.version,
            answers=self.answers,
            ufrag=self.ufrag,
            fingerprint=self.fingerprint,
        )
        lines = (*text.splitlines(), *(f"a={line}" for line in self.candidates), "")
        return "\r\n".join(lines)

    @classmethod
    def parse(cls, text: str) -> "Sdp":
        """Read a description.

        Raises:
            Refused: it is none.
        """
        origin = re.match(r"v=0\r?\no=- (\d{1,15}) (\d{1,15}) ", text)
        ufrag = re.search(r"^a=ice-ufrag:(\S+)", text, re.MULTILINE)
        fingerprint = re.search(r"^a=fingerprint:sha-256 (\S+)", text, re.MULTILINE)
        answers = re.search(r"^a=x-answers:([^\r\n]*)", text, re.MULTILINE)
        sctp = re.search(r"^a=sctp-port:\d+", text, re.MULTILINE)
        if not (origin and ufrag and fingerprint and sctp):
            raise Refused("that is no session description")
        return cls(
            int(origin[1]),
            int(origin[2]),
            ufrag[1],
            fingerprint[1],
            answers[1] if answers else "",
            tuple(re.findall(r"^a=(candidate:[^\r\n]*)", text, re.MULTILINE)),
        )


class SignalingState(Enum):
    """W3C RTCSignalingState."""

    STABLE = "stable"
    HAVE_LOCAL = "have-local-offer"
    HAVE_REMOTE = "have-remote-offer"


class Jsep:
    """The descriptions of one connection."""

    def __init__(
        self,
        session: int,
        fingerprint: str,
        capabilities: Capabilities,
        *,
        new_ufrag: Callable[[], str],
        candidates: Callable[[str], tuple[str, ...]],
    ) -> None:
        """Begin in ``stable`` with nothing described.

        Args:
            session: tells this connection from every other.
            fingerprint: of its certificate.
            capabilities: what it refuses for want of.
            new_ufrag: draws the name of an ICE generation.
            candidates: those that a description itself carries, for a ufrag.
        """
        self.state = SignalingState.STABLE
        self.local: Sdp | None = None
        """What both sides agreed on last, our half of it."""
        self.remote: Sdp | None = None
        """The other half."""
        self._offered: Sdp | None = None
        """An offer, of either side, that is not answered yet."""
        self._session = session
        self._version = 0
        self._fingerprint = fingerprint
        self._capabilities = capabilities
        self._new_ufrag = new_ufrag
        self._candidates = candidates

    @property
    def local_ufrag(self) -> str | None:
        """The ICE generation our latest description gathers candidates for."""
        if self.state is SignalingState.HAVE_LOCAL and self._offered is not None:
            return self._offered.ufrag
        return None if self.local is None else self.local.ufrag

    def perform(self, operation: Operation) -> Description | None:
        """Do what the operation says; return the description it made.

        Raises:
            Illegal: not in this signaling state.
            Refused: for another reason; the text says which.
        """
        match operation:
            case MakeOffer(ice_restart=restart):
                self._require(SignalingState.STABLE)
                return self._offer(restart=restart)
            case MakeAnswer():
                self._require(SignalingState.HAVE_REMOTE)
                return self._answer()
            case ApplyRemote(description=Description(type=SdpType.OFFER, sdp=text)):
                self._require(SignalingState.STABLE)
                self._take_offer(Sdp.parse(text))
            case ApplyRemote(description=Description(sdp=text)):
                self._require(SignalingState.HAVE_LOCAL)
                self._take_answer(Sdp.parse(text))
            case RollBack():
                self._require(SignalingState.HAVE_LOCAL)
                self._roll_back()
            case AddCandidate(candidate=candidate):
                self._take_candidate(candidate)
        return None

    def _require(self, state: SignalingState) -> None:
        if self.state is not state:
            raise Illegal(f"not in signaling state {self.state.value}")

    def _offer(self, *, restart: bool) -> Description:
        if restart and not self._capabilities.ice_restart:
            raise Refused("no ICE restart")
        ufrag = self._new_ufrag() if self.local is None or restart else self.local.ufrag
        self._offered = self._describe(ufrag)
        self.state = SignalingState.HAVE_LOCAL
        return Description(SdpType.OFFER, self._offered.text())

    def _take_offer(self, offer: Sdp) -> None:
        restarts = self.remote is not None and self.remote.ufrag != offer.ufrag
        if restarts and not self._capabilities.ice_restart:
            raise Refused("no ICE restart: the offer has other ICE credentials")
        self._offered = offer
        self.state = SignalingState.HAVE_REMOTE

    def _answer(self) -> Description:
        offer = self._offered
        assert offer is not None
        if self.local is None or self.remote is None or self.remote.ufrag != offer.ufrag:
            ufrag = self._new_ufrag()
        else:
            ufrag = self.local.ufrag
        answer = self._describe(ufrag, answers=offer.name)
        self._settle(answer, offer)
        return Description(SdpType.ANSWER, answer.text())

    def _take_answer(self, answer: Sdp) -> None:
        offer = self._offered
        assert offer is not None
        if answer.answers != offer.name:
            raise Illegal(f"an answer to {answer.answers!r}, not to {offer.name!r}")
        self._settle(offer, answer)

    def _roll_back(self) -> None:
        if not self._capabilities.rollback:
            raise Refused("no rollback")
        if self.local is None:
            raise Refused("a first offer is not withdrawn")
        self._offered = None
        self.state = SignalingState.STABLE

    def _settle(self, local: Sdp, remote: Sdp) -> None:
        self.local, self.remote, self._offered = local, remote, None
        self.state = SignalingState.STABLE

    def _take_candidate(self, candidate: Candidate) -> None:
        known = [self.remote, self._offered if self.state is SignalingState.HAVE_REMOTE else None]
        if known == [None, None]:
            raise Illegal("a candidate before any remote description")
        text = candidate.candidate
        if text != END_OF_CANDIDATES and not _CANDIDATE.match(text):
            raise Refused("that is no candidate")
        if all(sdp is None or sdp.ufrag != candidate.ufrag for sdp in known):
            raise Refused(f"a candidate of the unknown generation {candidate.ufrag!r}")

    def _describe(self, ufrag: str, answers: str = "") -> Sdp:
        self._version += 1
        return Sdp(
            self._session,
            self._version,
            ufrag,
            self._fingerprint,
            answers,
            self._candidates(ufrag),
        )
