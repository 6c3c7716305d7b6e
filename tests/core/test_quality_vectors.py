"""The vectors that JavaScript replays say what Python does."""

from tests.core.quality_vectors import PATH, text


def test_the_vectors_are_up_to_date() -> None:
    """The file in the tree is what ``python -m tests.core.quality_vectors`` writes."""
    current = PATH.read_text(encoding="utf-8") == text()
    assert current, "run: python -m tests.core.quality_vectors"
