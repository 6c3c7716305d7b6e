"""What holds for every test."""

import signal

from hypothesis import settings

# Time limits belong to pytest-timeout: a busy machine is no counter-example.
settings.register_profile("default", deadline=None, print_blob=True)
settings.register_profile("nightly", parent=settings.get_profile("default"), max_examples=5_000)
settings.load_profile("default")

# A shell has what it starts in the background ignore Ctrl-C, and so would every program
# that a test starts and ends with it (POSIX, Shell Command Language, section 2.11).
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
