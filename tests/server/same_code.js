// Tells which modules say something else than another text of theirs, or nothing at all.
//
// usage: node same_code.js < {"name": ["one text", "another"], ...}; prints the names.

import { readFileSync } from "node:fs";
import ts from "typescript-oldest"; // the newest has no parser for others to use

/** The kinds of all nodes in order, with the text of those that have no parts. */
function* nodes(node, file) {
  yield node.kind;
  if (node.getChildCount(file) === 0) yield node.getText(file);
  for (const child of node.getChildren(file)) {
    if (!ts.isJSDoc(child)) yield* nodes(child, file);
  }
}

function code(name, text) {
  const file = ts.createSourceFile(name, text, ts.ScriptTarget.Latest);
  return file.parseDiagnostics.length ? null : JSON.stringify([...nodes(file, file)]);
}

for (const [name, [one, other]] of Object.entries(JSON.parse(readFileSync(0, "utf8")))) {
  const sent = code(name, other);
  if (sent === null || code(name, one) !== sent) console.log(name);
}
