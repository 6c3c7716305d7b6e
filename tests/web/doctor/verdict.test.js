/** The page's verdict is the command's, in every word. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { judge } from "../../../src/thkmesh/web/doctor/verdict.js";

const path = new URL("../../../spec/vectors/doctor.json", import.meta.url);
const vectors = JSON.parse(readFileSync(path, "utf8"));

test("what is concluded in Python is concluded here", () => {
  assert.ok(vectors.length > 100);
  for (const { findings, verdict } of vectors) assert.deepEqual(judge(findings), verdict);
});
