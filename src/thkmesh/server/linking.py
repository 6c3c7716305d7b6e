"""Joining the modules of the page, so that it is a few files to load and not sixty.

Each request costs some 300 bytes and, on a slow network, a part of a round trip; and
what repeats from module to module compresses only within one file. So modules are put
behind each other, each in a function of its own that returns what it exports::

    export const $core_varint=(()=>{ ...; return {read,write}; })();
    export const $core_frames=(()=>{ const {read}=$core_varint; ...; return {parse}; })();

What is loaded later (``import("./hall.js")``) is a file of its own; it takes from
former ones what they have, so that no module is ever there twice.

Not any module will do: ours begin ``import`` and ``export`` at the beginning of a line,
import names alone, have neither default exports nor ``export let``, and import each
other in no circle.
"""

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

__all__ = ["link"]

_FROM: Final = re.compile(r'^(import|export) \{([^}]*)\} from "(\.[^"]+)";$', re.MULTILINE)
_LIST: Final = re.compile(r"^export \{([^}]*)\};$", re.MULTILINE)
_DECLARATION: Final = re.compile(
    r"^export ((?:async function\*?|function\*?|class|const) (\w+))", re.MULTILINE
)
_OTHER: Final = re.compile(r"^(?:import|export)\b(?!\().*$", re.MULTILINE)
_SEPARATOR: Final = re.compile(r",\s*")


@dataclass(frozen=True)
class _Module:
    """A module, as it stands among others.

    Attributes:
        imports: the paths of those it needs.
        exports: what it calls what it exports, by name.
        body: all it does, without ``import`` and ``export``.
    """

    path: str
    imports: tuple[str, ...]
    exports: Mapping[str, str]
    body: str

    @property
    def name(self) -> str:
        return _name(self.path)

    def wrapped(self) -> str:
        exports = ",".join(f"{name}:{what}" for name, what in self.exports.items())
        return f"export const {self.name}=(()=>{{\n{self.body}\nreturn {{{exports}}};\n}})();"


def link(sources: Mapping[str, str], roots: Sequence[str]) -> dict[str, str]:
    """Return for each root one module that does the same and imports former roots alone.

    Args:
        sources: modules by path; they import each other by relative paths.
        roots: those that are loaded, the first one first; all in one folder.

    Raises:
        ValueError: a module is not written as this needs it; the message says where.
    """
    homes: dict[str, str] = {}
    linked: dict[str, str] = {}
    for root in roots:
        modules = list(_in_order(sources, root, frozenset(homes)))
        homes |= {each.path: root for each in modules}
        needed = {path for each in modules for path in each.imports}
        heads: list[str] = []
        for former in linked:
            names = ",".join(sorted(_name(path) for path in needed if homes[path] == former))
            if names:
                heads.append(f'import {{{names}}} from "./{posixpath.basename(former)}";')
        exports = ",".join(modules[-1].exports)
        tail = f"export const {{{exports}}}={_name(root)};"
        linked[root] = "\n".join((*heads, *(each.wrapped() for each in modules), tail))
    return linked


def _in_order(
    sources: Mapping[str, str], path: str, known: frozenset[str], above: tuple[str, ...] = ()
) -> Iterator[_Module]:
    """Yield what a module needs beside those that are known, each once, and then itself."""
    if path in above:
        raise ValueError(f"modules import each other: {' -> '.join((*above, path))}")
    if path not in sources:
        raise ValueError(f"{above[-1] if above else 'a root'}: there is no {path}")
    module = _read(path, sources[path])
    for each in module.imports:
        if each not in known:
            found = tuple(_in_order(sources, each, known, (*above, path)))
            yield from found
            known |= {other.path for other in found}
    yield module


def _read(path: str, source: str) -> _Module:
    imports: dict[str, None] = {}
    exports: dict[str, str] = {}

    def bring(found: re.Match[str]) -> str:
        verb, names, place = found.groups()
        other = posixpath.normpath(posixpath.join(posixpath.dirname(path), place))
        imports[other] = None
        pairs = _pairs(names)
        if verb == "export":
            exports.update((new, f"{_name(other)}.{old}") for old, new in pairs)
            return ""
        return f"const {{{','.join(f'{old}:{new}' for old, new in pairs)}}}={_name(other)};"

    def hand_out(found: re.Match[str]) -> str:
        exports.update((new, old) for old, new in _pairs(found[1]))
        return ""

    def declare(found: re.Match[str]) -> str:
        exports[found[2]] = found[2]
        return found[1]

    body = _DECLARATION.sub(declare, _LIST.sub(hand_out, _FROM.sub(bring, source)))
    other = _OTHER.search(body)
    if other is not None:
        raise ValueError(f"{path}: this cannot be joined with others: {other[0]}")
    return _Module(path, tuple(imports), exports, body)


def _pairs(names: str) -> list[tuple[str, str]]:
    """Return what ``a, b as c`` calls each thing, before and after."""
    words = [each.split(" as ") for each in _SEPARATOR.split(names.strip()) if each]
    return [(each[0].strip(), each[-1].strip()) for each in words]


def _name(path: str) -> str:
    """Return what a module is called among others."""
    return "$" + re.sub(r"\W", "_", path.removesuffix(".js"))
