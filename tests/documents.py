"""The programs in our documents, and what is said to be printed."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """One fenced block: its language, its text, and its line in the document."""

    language: str
    text: str
    line: int


@dataclass(frozen=True)
class Sample:
    """A Python program, and what it prints according to the document; None if it does not say."""

    source: str
    printed: str | None
    line: int

    def at(self, url: str) -> str:
        """Return the program for a server elsewhere."""
        port = url.rpartition(":")[2]
        return self.source.replace("http://localhost:8765", url).replace(
            "port=8765", f"port={port}"
        )


def blocks(path: Path) -> list[Block]:
    """Return the fenced blocks of a document."""
    text = path.read_text(encoding="utf-8")
    return [
        Block(match[1], match[2], text.count("\n", 0, match.start()) + 1)
        for match in _BLOCK.finditer(text)
    ]


def samples(path: Path) -> list[Sample]:
    """Return the Python programs of a document, each with the ``text`` block after it."""
    found = blocks(path)
    following = [*found[1:], None] if found else []
    return [
        Sample(block.text, after.text if after and after.language == "text" else None, block.line)
        for block, after in zip(found, following, strict=True)
        if block.language == "python"
    ]
