"""Close codes."""

from thkmesh.core.closing import CloseCode


def test_a_code_says_whether_to_come_back() -> None:
    """A restart, a time-out and slowness pass; a refusal stays one."""
    passing = {code for code in CloseCode if not code.final}
    assert passing == {
        CloseCode.RESTARTING,
        CloseCode.OVERLOADED,
        CloseCode.TOKEN_EXPIRED,
        CloseCode.HELLO_TIMEOUT,
        CloseCode.IDLE,
        CloseCode.RATE_LIMITED,
        CloseCode.SLOW_CONSUMER,
    }
