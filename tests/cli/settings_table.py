"""The table of settings for the documents: ``python -m tests.cli.settings_table`` writes it."""

from pathlib import Path

from tests.documents import ROOT
from thkmesh.cli.configuration import Kind, Setting
from thkmesh.cli.serving import SETTINGS

PATH = ROOT / "docs" / "settings.md"
BEGIN, END = "<!-- the table: written by tests.cli.settings_table -->\n", "<!-- the end of it -->\n"


def row(setting: Setting) -> str:
    """Return one row: the names, the default, what it is for."""
    default = setting.default
    if default in (None, ()):
        shown = ""
    elif isinstance(default, bool):
        shown = f"`{str(default).lower()}`"
    else:
        shown = f"`{default:g}`" if isinstance(default, float) else f"`{default}`"
    text = setting.help[0].upper() + setting.help[1:]
    if setting.kind is Kind.LIST:
        text += "; may be repeated"
    if setting.choices:
        text += ": " + ", ".join(f"`{each}`" for each in setting.choices)
    return f"| `{setting.name}` | `{setting.variable}` | {shown} | {text} |\n"


def table() -> str:
    """Return all of it, group by group."""
    text = ""
    for group in dict.fromkeys(each.group for each in SETTINGS):
        text += f"\n## {group[0].upper()}{group[1:]}\n\n"
        text += "| setting | in the environment | default | what it is for |\n|---|---|---|---|\n"
        text += "".join(row(each) for each in SETTINGS if each.group == group)
    return text + "\n"


def written(path: Path = PATH) -> str:
    """Return the document as it should be."""
    before, rest = path.read_text(encoding="utf-8").split(BEGIN)
    _, after = rest.split(END)
    return before + BEGIN + table() + END + after


if __name__ == "__main__":
    PATH.write_text(written(), encoding="utf-8")
