"""What a channel makes of what is said on it, and what it refuses."""

import pytest

from thkmesh.core.frames import LOSSY_LIMIT_BYTES, Kind
from thkmesh.core.packing import PLAIN, Packing
from thkmesh.errors import InvalidArgument, MessageTooLarge


def test_streams_need_a_channel_that_delivers_all_in_order() -> None:
    """And have no key."""
    PLAIN.check_stream()
    for packing, key in ((PLAIN, "k"), (Packing(reliable=False), None)):
        with pytest.raises(InvalidArgument, match="reliable"):
            packing.check_stream(key)


def test_keys_are_for_latest_values() -> None:
    """Elsewhere one would be lost."""
    assert Packing(latest=True).pack("v", "k")[0] is Kind.TEXT
    with pytest.raises(InvalidArgument, match="latest"):
        PLAIN.pack("v", "k")


def test_what_may_be_lost_is_small() -> None:
    """One datagram, so that nothing is lost by halves."""
    lossy = Packing(lossy=True)
    assert lossy.pack(bytes(LOSSY_LIMIT_BYTES)) == (Kind.BYTES, bytes(LOSSY_LIMIT_BYTES))
    with pytest.raises(MessageTooLarge, match="may be lost"):
        lossy.pack(bytes(LOSSY_LIMIT_BYTES + 1))
