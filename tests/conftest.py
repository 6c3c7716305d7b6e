"""What holds for every test."""

from hypothesis import settings

# Time limits belong to pytest-timeout: a busy machine is no counter-example.
settings.register_profile("default", deadline=None, print_blob=True)
settings.register_profile("nightly", parent=settings.get_profile("default"), max_examples=5_000)
settings.load_profile("default")
