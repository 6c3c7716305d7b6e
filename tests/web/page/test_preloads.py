"""The page names what it will need, so that a slow network is asked once."""

import re
from pathlib import Path

WEB = Path(__file__).parents[3] / "src" / "thkmesh" / "web"
IMPORT = re.compile(r'^(?:import|export|\}) ?(?:[^;"]*? )?from "(\.[^"]+)";', re.MULTILINE)
PRELOAD = re.compile(r'<link rel="modulepreload" href="thkmesh/([^"]+)"( fetchpriority="low")?>')


def needed(start: str) -> set[str]:
    """Return the modules that one imports, and those that they import."""
    found: set[str] = set()
    waiting = [WEB / start]
    while waiting:
        module = waiting.pop()
        name = module.relative_to(WEB).as_posix()
        if name not in found:
            found.add(name)
            imported = IMPORT.findall(module.read_text(encoding="utf-8"))
            waiting += [(module.parent / each).resolve() for each in imported]
    return found


def test_every_module_of_the_page_is_preloaded() -> None:
    """First what the form needs, then, behind it, what a room needs; nothing else."""
    html = (WEB / "page" / "index.html").read_text(encoding="utf-8")
    preloads = {path: bool(low) for path, low in PRELOAD.findall(html)}
    form = needed("page/page.js")
    room = needed("page/hall.js") - form
    assert len(form) > 8
    assert len(room) > 20
    soon = {path for path, low in preloads.items() if not low}
    late = {path for path, low in preloads.items() if low}
    assert soon == form - {"page/page.js"}
    assert late == room
