"""Messages of STUN are what the RFCs say, and nothing that arrives does harm."""

from hypothesis import given
from hypothesis import strategies as st

from thkmesh.doctor import stun
from thkmesh.doctor.stun import Address, Attribute, Kind, Message, Method

TRANSACTION = bytes.fromhex("b7e7a701bc34d686fa87dfae")

RESPONSE = bytes.fromhex(
    "0101003c2112a442b7e7a701bc34d686fa87dfae"
    "8022000b7465737420766563746f7220"
    "002000080001a147e112a643"
    "000800142b91f599fd9e90c38c7489f92af9ba53f06be7d7"
    "80280004c07d4c96"
)
"""RFC 5769, section 2.2: a response over IPv4."""


def test_the_response_of_rfc_5769_is_read() -> None:
    """With the address from which the server saw the client."""
    message = stun.decode(RESPONSE)
    assert message is not None
    assert (message.method, message.kind) == (Method.BINDING, Kind.SUCCESS)
    assert message.transaction == TRANSACTION
    assert message.mapped == Address("192.0.2.1", 32853)
    assert message.error is None


def test_the_request_of_rfc_5769_is_signed_as_there() -> None:
    """Section 2.4, with long-term credentials; the user's name is Japanese."""
    user = "\u30de\u30c8\u30ea\u30c3\u30af\u30b9"
    attributes = (
        (int(Attribute.USERNAME), user.encode()),
        (int(Attribute.NONCE), b"f//499k954d6OL34oL9FSTvy64sA"),
        (int(Attribute.REALM), b"example.org"),
    )
    transaction = bytes.fromhex("78ad3433c6ad72c029da412e")
    message = Message(Method.BINDING, Kind.REQUEST, transaction, attributes)
    key = stun.long_term_key(user, b"example.org", "TheMatrIX")
    expected = bytes.fromhex("f67024656dd64a3e02b8e0712e85c9a28ca89666")
    assert stun.encode(message, key)[-20:] == expected


def test_errors_have_their_code() -> None:
    """As in RFC 8489, section 14.8."""
    code = (int(Attribute.ERROR_CODE), b"\0\0\4\1Unauthorized")
    message = Message(Method.ALLOCATE, Kind.ERROR, TRANSACTION, (code,))
    decoded = stun.decode(stun.encode(message))
    assert decoded is not None
    assert (decoded, decoded.error) == (message, 401)


addresses = st.builds(
    Address, st.ip_addresses().map(str), st.integers(min_value=0, max_value=65535)
)


@given(addresses, st.one_of(st.none(), st.binary(min_size=12, max_size=12)))
def test_addresses_come_back(address: Address, transaction: bytes | None) -> None:
    """Of both versions, masked and plain."""
    packed = stun.pack_address(address, transaction)
    assert stun.unpack_address(packed, transaction) == address


@given(
    st.sampled_from(Method),
    st.sampled_from(Kind),
    st.binary(min_size=12, max_size=12),
    st.lists(st.tuples(st.integers(0, 65535), st.binary(max_size=9)), max_size=4).map(tuple),
)
def test_messages_come_back(
    method: Method, kind: Kind, transaction: bytes, attributes: tuple[tuple[int, bytes], ...]
) -> None:
    """Whatever is in them."""
    message = Message(method, kind, transaction, attributes)
    assert stun.decode(stun.encode(message)) == message


@given(st.data())
def test_nothing_that_arrives_does_harm(data: st.DataObject) -> None:
    """It is a message or it is none; and an address in it is one or it is none."""
    arrived = bytearray(data.draw(st.one_of(st.just(RESPONSE), st.binary(max_size=60))))
    for _ in range(data.draw(st.integers(0, 3))):
        if arrived:
            arrived[data.draw(st.integers(0, len(arrived) - 1))] = data.draw(st.integers(0, 255))
    message = stun.decode(bytes(arrived[: data.draw(st.integers(0, len(arrived)))]))
    if message is not None:
        assert message.mapped is None or message.mapped.port >= 0
        assert message.error is None or message.error < 1000
