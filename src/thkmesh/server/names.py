"""Readable names for rooms that nobody named."""

from collections.abc import Callable

__all__ = ["readable_name"]

_ADJECTIVES = """
    able amber apt azure bold brave brief bright brisk calm candid clear clever cosy crisp deft
    eager early easy even fair fancy fast fine firm fond frank free fresh gentle glad golden good
    grand green happy hardy hazel honest jolly keen kind large lively loyal lucky mellow merry
    mild neat nimble noble plain prime proud quick quiet rapid ready ruby silver smart snug solid
""".split()  # noqa: SIM905 - a list of words, not of quotation marks

_ANIMALS = """
    badger bear beaver bee bison camel cat cobra cod crab crane crow deer dingo dog dove duck
    eagle eel elk falcon ferret finch fox frog gecko goat goose hare hawk heron horse ibex jay
    koala lark lemur lion llama lynx mole moose moth mouse newt otter owl panda pony puma quail
    rabbit raven robin seal shark sheep snail swan tiger toad whale wolf wren
""".split()  # noqa: SIM905 - a list of words, not of quotation marks


def readable_name(entropy: Callable[[int], bytes]) -> str:
    """Return a name like ``brave-otter-42``: one of 368,640, for people, no secret."""
    number = int.from_bytes(entropy(8), "big")
    number, adjective = divmod(number, len(_ADJECTIVES))
    number, animal = divmod(number, len(_ANIMALS))
    return f"{_ADJECTIVES[adjective]}-{_ANIMALS[animal]}-{10 + number % 90}"
