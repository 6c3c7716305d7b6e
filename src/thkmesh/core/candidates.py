"""How many candidates of the other side an engine is given.

ICE checks every pair of candidates, and what an engine does for that grows with
the square of their number: 2,000 of them stop libwebrtc (M152) for 24 seconds,
and with it the links to everybody else. A computer has a handful of addresses,
one with many interfaces a few dozen. RFC 8445, section 6.1.2.5, wants a limit.

Candidates come one by one and in descriptions, in a renegotiation once more. So
different ones are counted, by foundation, component, transport, priority, address
and port (RFC 8839, section 5.1); a restart of ICE starts from nothing again.
"""

import re
from typing import Final

from thkmesh.core.engine import AddCandidate, ApplyRemote, Operation
from thkmesh.core.negotiation import ufrags_of

__all__ = ["CANDIDATE_LIMIT", "CandidateBudget"]

CANDIDATE_LIMIT: Final = 128
"""Candidates for one remote ICE generation."""

_IN_SDP = re.compile(r"(?:^|\n)a=(candidate:[^\r\n]*)")
_FIELDS: Final = 6


class CandidateBudget:
    """The remote candidates of one connection."""

    def __init__(self) -> None:
        """Begin without any."""
        self._ufrags: frozenset[str] = frozenset()
        self._known: set[str] = set()

    def allows(self, operation: Operation) -> bool:
        """Tell whether what an operation adds is within the limit, and count it if so."""
        match operation:
            case ApplyRemote(description=description):
                added = _IN_SDP.findall(description.sdp)
                ufrags = ufrags_of(description.sdp)
                if ufrags != self._ufrags:
                    self._ufrags = ufrags
                    self._known = set()
            case AddCandidate(candidate=candidate):
                added = [candidate.candidate]
            case _:
                return True
        known = self._known.union(" ".join(each.split(" ")[:_FIELDS]) for each in added)
        within = len(known) <= CANDIDATE_LIMIT
        if within:
            self._known = known
        return within
