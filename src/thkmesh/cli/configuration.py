"""One table of settings, and three ways to give each: a flag, the environment, a file.

A setting has one name. ``max-peers`` is ``--max-peers 20``, ``THKMESH_MAX_PEERS=20`` and
``max-peers = 20`` in the TOML file that ``--config`` or ``THKMESH_CONFIG`` names. A flag
counts before the environment, that before the file, and that before the default. A name
that means nothing is a mistake, wherever it stands, and said so.
"""

import argparse
import difflib
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Final, cast

__all__ = ["CONFIG", "PREFIX", "Kind", "Setting", "WrongSetting", "add_flags", "read_settings"]

PREFIX: Final = "THKMESH_"
CONFIG: Final = "config"
"""The name of the setting that names the file."""

_YES: Final = frozenset({"1", "true", "yes", "on"})
_NO: Final = frozenset({"0", "false", "no", "off"})


class WrongSetting(ValueError):
    """A setting that does not exist, or cannot have that value; says where it stands."""


class Kind(Enum):
    """How a setting is written."""

    TEXT = "text"
    NUMBER = "number"
    FLAG = "flag"
    LIST = "list"


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One row of the table.

    Attributes:
        name: in words and hyphens.
        help: what it is for, in one line.
        default: None where there is none.
        kind: a list may be given several times; in the environment with commas or blanks.
        parse: makes of a text what the program wants.
        group: under which heading ``--help`` shows it.
        metavar: what stands for the value there.
        choices: all that it may be.
    """

    name: str
    help: str
    default: object = None
    kind: Kind = Kind.TEXT
    parse: Callable[[str], object] = str
    group: str = "serving"
    metavar: str | None = None
    choices: Sequence[str] = ()

    @property
    def flag(self) -> str:
        """Its name on the command line."""
        return f"--{self.name}"

    @property
    def variable(self) -> str:
        """Its name in the environment."""
        return PREFIX + self.name.upper().replace("-", "_")

    def read(self, text: str) -> object:
        """Return what one text means.

        Raises:
            ArgumentTypeError: it means nothing; the message says what would.
        """
        if self.choices and text not in self.choices:
            raise argparse.ArgumentTypeError(f"{text!r:.80} is none of {', '.join(self.choices)}")
        return self.parse(text)


def add_flags(parser: argparse.ArgumentParser, table: Sequence[Setting]) -> None:
    """Let each setting be given as a flag; one that is not given is not in the result."""
    names = dict.fromkeys(each.group for each in table)
    groups = {name: parser.add_argument_group(name) for name in names}
    for each in table:
        options: dict[str, Any] = {"dest": each.name, "default": argparse.SUPPRESS}
        options["help"] = each.help.replace("%", "%%") + _shown(each)
        if each.kind is Kind.FLAG:
            options["action"] = argparse.BooleanOptionalAction
        else:
            options |= {"type": each.read, "metavar": each.metavar}
            if each.choices:
                options["metavar"] = "{" + ",".join(each.choices) + "}"
            if each.kind is Kind.LIST:
                options["action"] = "append"
        groups[each.group].add_argument(each.flag, **options)


def _shown(setting: Setting) -> str:
    if setting.kind is Kind.LIST:
        return "; may be repeated"
    if setting.kind is Kind.FLAG or setting.default is None:
        return ""
    return f" (default: {_plain(setting.default)})"


def _plain(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def read_settings(
    table: Sequence[Setting],
    flags: Mapping[str, object],
    environment: Mapping[str, str],
    others: Iterable[str] = (),
) -> dict[str, object]:
    """Return what each setting is, by its name.

    Args:
        table: all there are.
        flags: those that were given as flags, already understood.
        environment: of the process.
        others: variables with our prefix that mean something to somebody else.

    Raises:
        WrongSetting: a name or a value means nothing, or the file cannot be read.
    """
    from_environment = _from_environment(table, environment, others)
    file = flags.get(CONFIG) or from_environment.get(CONFIG)
    from_file = _from_file(table, Path(str(file))) if file else {}
    defaults = {each.name: each.default for each in table}
    return {**defaults, **from_file, **from_environment, **flags}


def _from_environment(
    table: Sequence[Setting], environment: Mapping[str, str], others: Iterable[str]
) -> dict[str, object]:
    known = {each.variable: each for each in table}
    found: dict[str, object] = {}
    for name, text in environment.items():
        if not name.startswith(PREFIX) or name in others or not text:
            continue
        setting = known.get(name)
        if setting is None:
            raise WrongSetting(f"{name} in the environment means nothing{_hint(name, known)}")
        found[setting.name] = _understood(setting, text, name)
    return found


def _understood(setting: Setting, text: str, where: str) -> object:
    try:
        match setting.kind:
            case Kind.FLAG:
                return _truth(text)
            case Kind.LIST:
                return [setting.read(each) for each in re.split(r"[,\s]+", text.strip(", \t\n"))]
            case _:
                return setting.read(text)
    except argparse.ArgumentTypeError as error:
        raise WrongSetting(f"{where}: {error}") from None


def _truth(text: str) -> bool:
    word = text.lower()
    if word not in _YES | _NO:
        raise argparse.ArgumentTypeError(f"{text!r:.80} is neither yes nor no")
    return word in _YES


def _from_file(table: Sequence[Setting], path: Path) -> dict[str, object]:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise WrongSetting(f"{path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise WrongSetting(f"{path}: {error}") from error
    known = {each.name: each for each in table if each.name != CONFIG}
    found: dict[str, object] = {}
    for name, value in content.items():
        setting = known.get(name)
        if setting is None:
            raise WrongSetting(f"{path}: {name!r:.80} means nothing{_hint(name, known)}")
        found[name] = _value(setting, value, f"{path}: {name}")
    return found


def _value(setting: Setting, value: object, where: str) -> object:
    """Return what a value of TOML means."""
    match setting.kind, value:
        case Kind.FLAG, bool():
            return value
        case Kind.LIST, list():
            items = cast("list[object]", value)
            if all(isinstance(each, str) for each in items):
                return [_understood_one(setting, str(each), where) for each in items]
        case Kind.NUMBER, int() | float() if not isinstance(value, bool):
            return _understood_one(setting, str(value), where)
        case Kind.TEXT, str():
            return _understood_one(setting, value, where)
        case _:
            pass
    wanted = {
        Kind.FLAG: "true or false",
        Kind.LIST: "a list of texts",
        Kind.NUMBER: "a number",
        Kind.TEXT: "a text",
    }
    raise WrongSetting(f"{where} must be {wanted[setting.kind]}")


def _understood_one(setting: Setting, text: str, where: str) -> object:
    try:
        return setting.read(text)
    except argparse.ArgumentTypeError as error:
        raise WrongSetting(f"{where}: {error}") from None


def _hint(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), 1)
    return f"; perhaps {close[0]}" if close else ""
