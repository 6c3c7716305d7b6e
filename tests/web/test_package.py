"""The npm package: what is in it, what its types allow, and that importing it does nothing."""

import json
import re
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.documents import ROOT, blocks

WEB = ROOT / "src" / "thkmesh" / "web"
CONSUMER = Path(__file__).parent / "package" / "consumer.ts"
GUIDE = ROOT / "docs" / "how-to" / "page.md"
MODULES = ROOT / "node_modules"
STRICT = {
    "target": "es2022",
    "lib": ["es2022", "dom"],
    "types": [],
    "strict": True,
    "noUncheckedIndexedAccess": True,
    "exactOptionalPropertyTypes": True,
    "noEmit": True,
    "skipLibCheck": False,
}
RESOLUTIONS = {
    "nodenext": {"module": "nodenext"},
    "bundler": {"module": "esnext", "moduleResolution": "bundler"},
}


def checked(
    folder: Path,
    application: Path,
    source: str,
    resolution: str = "bundler",
    typescript: str = "typescript",
) -> list[str]:
    """Return what a strict compiler says of a program that uses the package."""
    (folder / "node_modules").symlink_to(application / "node_modules")
    (folder / "package.json").write_text('{"type": "module"}', encoding="utf-8")
    (folder / "main.ts").write_text(source, encoding="utf-8")
    options = STRICT | RESOLUTIONS[resolution]
    project = {"compilerOptions": options, "files": ["main.ts"]}
    (folder / "tsconfig.json").write_text(json.dumps(project), encoding="utf-8")
    command: list[str | Path] = [
        "node",
        MODULES / typescript / "bin" / "tsc",
        "--project",
        folder,
        "--pretty",
        "false",
    ]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert (done.returncode == 0) == (done.stdout == "")
    return done.stdout.splitlines()


def node(folder: Path, program: str) -> str:
    """Return what a module prints in Node, which must not complain."""
    command = ["node", "--input-type=module", "--trace-warnings", "--eval", program]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_it_has_the_client_as_it_is_and_its_types(tarball: Path) -> None:
    """Each module is the source, byte for byte, and has its types beside it; no page, no more."""
    with tarfile.open(tarball) as packed:
        inside = {
            member.name.removeprefix("package/"): file.read()
            for member in packed
            if (file := packed.extractfile(member)) is not None
        }
    sources = (*WEB.glob("*.js"), *(WEB / "core").glob("*.js"))
    modules = {path.relative_to(WEB).as_posix() for path in sources}
    types = {f"{name[:-3]}.d.ts{ending}" for name in modules for ending in ("", ".map")}
    assert {"index.js", "chat.js", "core/session.js"} < modules
    assert set(inside) == modules | types | {"package.json", "README.md", "LICENSE"}
    for name in modules:
        assert inside[name] == (WEB / name).read_bytes(), name
    assert inside["LICENSE"] == (ROOT / "LICENSE").read_bytes()


def test_its_manifest_promises_what_holds(tarball: Path, application: Path) -> None:
    """It needs nothing, runs nothing on installing, and all that it exports is there."""
    manifest = json.loads((application / "node_modules/thkmesh/package.json").read_text())
    assert {"dependencies", "peerDependencies", "scripts", "private"}.isdisjoint(manifest)
    assert (manifest["type"], manifest["sideEffects"]) == ("module", False)
    assert manifest["version"] in tarball.name
    assert set(manifest["exports"]) == {".", "./chat", "./package.json"}
    for target in manifest["exports"].values():
        for path in target.values() if isinstance(target, dict) else [target]:
            assert (application / "node_modules/thkmesh" / path).is_file(), path


def test_what_is_not_exported_cannot_be_imported(application: Path) -> None:
    """The inner modules may change with any version, so nobody gets at them."""
    program = """
        for (const path of ["room.js", "core/session.js"]) {
          await import(`thkmesh/${path}`).catch((error) => console.log(error.code));
        }
    """
    assert node(application, program) == "ERR_PACKAGE_PATH_NOT_EXPORTED\n" * 2


def test_importing_it_touches_no_page(application: Path) -> None:
    """Where there is no window, as when a server renders, it is imported and does nothing.

    Every global that is not the language's own is made to throw when it is looked at.
    """
    program = """
        for (const name of [
          "window", "document", "self", "location", "navigator", "indexedDB", "localStorage",
          "sessionStorage", "addEventListener", "RTCPeerConnection", "WebSocket", "fetch", "crypto",
          "setTimeout", "setInterval", "queueMicrotask", "performance",
        ]) {
          Object.defineProperty(globalThis, name, {
            configurable: true,
            get() { throw new Error(`importing looked at ${name}`); },
          });
        }
        const index = await import("thkmesh");
        const chat = await import("thkmesh/chat");
        process.stdout.write(`${typeof index.join} ${typeof chat.Chat}`);
    """
    assert node(application, program) == "function function"


def test_joining_without_a_browser_is_refused_kindly(application: Path) -> None:
    """Node has no WebRTC: a typed error says so, before anything is opened."""
    program = """
        import { join, MeshError, WrongContext } from "thkmesh";
        const error = await join({ url: "http://localhost:9", room: "lobby" }).catch((e) => e);
        console.log(error instanceof WrongContext, error instanceof MeshError, error.message);
    """
    assert node(application, program) == (
        "true true this browser has no WebRTC, or it is switched off\n"
    )


@pytest.mark.parametrize(
    ("resolution", "typescript"),
    [
        ("nodenext", "typescript"),
        ("bundler", "typescript"),
        ("bundler", "typescript-oldest"),  # the oldest that our types are for
    ],
)
def test_its_types_let_through_what_works_and_nothing_else(
    application: Path, tmp_path: Path, resolution: str, typescript: str
) -> None:
    """A strict compiler takes the good lines, and objects to each line marked as bad."""
    source = CONSUMER.read_text(encoding="utf-8")
    assert source.count("@ts-expect-error") >= 20
    assert checked(tmp_path, application, source, resolution, typescript) == []


def test_each_bad_line_is_bad_on_its_own(application: Path, tmp_path: Path) -> None:
    """Without the marks, the compiler objects to every line that had one, and to no other."""
    source = CONSUMER.read_text(encoding="utf-8")
    lines = source.splitlines()
    bad = {number + 1 for number, line in enumerate(lines, 1) if "// @ts-expect-error" in line}
    unmarked = source.replace("// @ts-expect-error", "// bad:")
    faults = checked(tmp_path, application, unmarked)
    assert {int(fault.split("(")[1].split(",")[0]) for fault in faults if fault[0] != " "} == bad


def test_the_guide_names_the_oldest_typescript() -> None:
    """What is promised is what is tried; and `tsc` alone is the newest, of two in the lock."""
    locked = json.loads((ROOT / "package.json").read_text(encoding="utf-8"))["devDependencies"]
    oldest = locked["typescript-oldest"].removeprefix("npm:typescript@")
    assert f"TypeScript {oldest.rpartition('.')[0]} and newer" in GUIDE.read_text(encoding="utf-8")
    for compiler, version in (
        (MODULES / "typescript-oldest" / "bin" / "tsc", oldest),
        (MODULES / ".bin" / "tsc", locked["typescript"]),
    ):
        asked = subprocess.run(
            [compiler, "--version"], check=True, capture_output=True, text=True, timeout=30
        )
        assert asked.stdout == f"Version {version}\n", (
            "make setup-npm, after rm node_modules/.stamp"
        )


def test_the_types_lead_to_the_source(application: Path) -> None:
    """An editor that follows a declaration ends in the module, not in a copy."""
    package = application / "node_modules" / "thkmesh"
    for path in (package / "index.d.ts.map", package / "core" / "session.d.ts.map"):
        (source,) = json.loads(path.read_text(encoding="utf-8"))["sources"]
        assert (path.parent / source).resolve() == path.with_name(
            path.name.replace(".d.ts.map", ".js")
        )


def test_the_typescript_of_the_guide_is_right(application: Path, tmp_path: Path) -> None:
    """What the guide shows compiles as strictly as can be."""
    (program,) = [block.text for block in blocks(GUIDE) if block.language == "ts"]
    assert re.search(r'from "thkmesh"', program)
    assert checked(tmp_path, application, program) == []


def test_what_is_not_used_is_not_bundled(application: Path) -> None:
    """No module does anything when imported, so a bundler leaves out what nobody asks for."""
    entry = 'import { displayed, Chat } from "thkmesh/chat";\nimport { join } from "thkmesh";\n'
    for used, kept in (("displayed", False), ("join", True)):
        (application / "entry.js").write_text(f"{entry}console.log({used});\n", encoding="utf-8")
        built = application / "built"
        options = {"outDir": str(built), "rollupOptions": {"input": "entry.js"}}
        program = f"""
            import {{ build }} from "{ROOT.as_uri()}/node_modules/vite/dist/node/index.js";
            await build({{ configFile: false, logLevel: "error", build: {json.dumps(options)} }});
        """
        node(application, program)
        (bundle,) = (built / "assets").glob("*.js")
        assert ("RTCPeerConnection" in bundle.read_text(encoding="utf-8")) is kept
