"""Whether a hello is genuine: cryptography, which the machine does without."""

from collections.abc import Callable
from typing import TypeAlias

from thkmesh.core.closing import CloseCode
from thkmesh.core.identity import decode_bytes, hello_payload, id_of_key, is_id, proof_payload
from thkmesh.core.wire import VERSIONS, Hello, Introduction, decode_introduction
from thkmesh.errors import IdentityMismatch, InvalidMessage, InvalidSignature, PeerError
from thkmesh.keys import verify

__all__ = ["NoCommonVersion", "Verify", "check_hello", "code_of"]


class NoCommonVersion(InvalidMessage):
    """A peer speaks no version of the protocol that we speak."""

    reason = "protocol-mismatch"


Verify: TypeAlias = Callable[[str, str, bytes], bool]


def check_hello(hello: Hello, nonce: str, verify: Verify = verify) -> Introduction | PeerError:
    """Return what a genuine hello says, or what is wrong with it; never raises."""
    who = hello.session
    key = decode_bytes(hello.key, 32)
    if key is None or not is_id(who.id) or id_of_key(key) != who.id:
        return IdentityMismatch("the id is not the hash of the key")
    said = hello_payload(hello.room_id, who, hello.key, hello.body)
    if not verify(hello.key, hello.signature, said):
        return InvalidSignature("the introduction is not signed by its key")
    if not verify(hello.key, hello.proof, proof_payload(nonce, hello.room_id, who)):
        return InvalidSignature("the challenge is not signed by the key")
    try:
        introduction = decode_introduction(hello.body)
    except InvalidMessage as error:
        return error
    lowest, highest = introduction.protocol
    if highest < VERSIONS[0] or VERSIONS[1] < lowest:
        return NoCommonVersion(f"this server speaks versions {VERSIONS[0]} to {VERSIONS[1]}")
    return introduction


def code_of(error: PeerError) -> CloseCode:
    """Return how what is wrong with a hello closes its connection."""
    match error:
        case NoCommonVersion():
            return CloseCode.PROTOCOL_MISMATCH
        case InvalidMessage():
            return CloseCode.INVALID
        case _:
            return CloseCode.UNAUTHORIZED
