"""Modules that are put behind each other do what they did apart."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from thkmesh.server.linking import link

WEB = Path(__file__).parents[2] / "src" / "thkmesh" / "web"
MODULES = {
    "page/first.js": """
import { Count, count as tally } from "../core/count.js";
import { both } from "./both.js";

import("./second.js").then(({ tell, ...rest }) => tell([tally, Count.made, both()], rest));
""",
    "page/both.js": """
import {
  count,
} from "../core/count.js";
export { never as ever } from "./passed.js";

/* One says
 * export { nothing };
 */
const text = `
  import { x } from "./y.js";`;
export async function* later() {}
export const both = () => [count, text.trim()];
""",
    "page/passed.js": "export function never() {}\nconst inner = 7;\nexport { inner as outer };\n",
    "core/count.js": """
export const count = 3;
export class Count { static made = new Count().value; value = count; }
""",
    "page/second.js": """
import { Count } from "../core/count.js";
import { ever } from "./both.js";
import { outer } from "./passed.js";
import { only } from "./only.js";

export function tell(first, rest) {
  const others = Object.keys(rest).filter((name) => name[0] !== "$");
  console.log(JSON.stringify([first, Count.made, ever.name, outer, only, others]));
}
export const also = 1;
""",
    "page/only.js": "export const only = 'only';\n",
}


def test_joined_modules_do_the_same(tmp_path: Path) -> None:
    """Two files behave as the six did, and what the first has the second takes from it."""
    joined = link(MODULES, ["page/first.js", "page/second.js"])
    said = {}
    for folder, texts in (("apart", MODULES), ("joined", joined)):
        for name, text in texts.items():
            path = tmp_path / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        (tmp_path / folder / "package.json").write_text('{"type": "module"}', encoding="utf-8")
        done = subprocess.run(
            ["node", str(tmp_path / folder / "page" / "first.js")],
            check=True,
            capture_output=True,
            text=True,
            timeout=50,
        )
        said[folder] = json.loads(done.stdout)
    assert said["joined"] == said["apart"]
    assert said["joined"][-2:] == ["only", ["also"]]
    assert joined["page/first.js"].count("static made") == 1
    assert "static made" not in joined["page/second.js"]


@pytest.mark.parametrize(
    ("module", "complaint"),
    [
        ("export default 1;", "x.js: this cannot be joined with others: export default 1;"),
        ("export let a = 1;", "export let a"),
        ('export * from "./y.js";', "export \\*"),
        ('import * as y from "./y.js";', "import \\* as y"),
        ('import "./y.js";', 'import "./y.js"'),
        ('import { a } from "./z.js";', "x.js: there is no z.js"),
        ('import { a } from "./x.js";', "modules import each other: x.js -> x.js"),
        ('import { b } from "./y.js";', "modules import each other: x.js -> y.js -> x.js"),
    ],
)
def test_other_modules_are_refused(module: str, complaint: str) -> None:
    """What would mean something else behind others is no module of ours."""
    sources = {"x.js": module, "y.js": 'export { a as b } from "./x.js";'}
    with pytest.raises(ValueError, match=complaint):
        link(sources, ["x.js"])


def test_the_page_is_whole() -> None:
    """It names the files that it loads, and every module is in one of them, once.

    But for those of the doctor's page, which is seldom asked for and loads its own.
    """
    sources = {
        path.relative_to(WEB).as_posix(): path.read_text(encoding="utf-8")
        for path in WEB.rglob("*.js")
        if path.parent.name != "doctor"
    }
    roots = ["page/page.js", "page/hall.js", "page/qr.js"]
    joined = "\n".join(link(sources, roots).values())
    homes = re.findall(r"^export const \$(\w+)=\(", joined, re.MULTILINE)
    assert sorted(homes) == sorted(re.sub(r"\W", "_", name[:-3]) for name in sources)
    html = (WEB / "page" / "index.html").read_text(encoding="utf-8")
    asked = re.findall(r'(?:href|src)="thkmesh/([^"]+\.js)"', html)
    asked += [
        f"page/{name}" for name in re.findall(r'(?:=|await) import\("\./(\w+\.js)"\)', joined)
    ]
    assert set(asked) == set(roots)
