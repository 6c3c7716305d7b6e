// The contract with Python: every transition of the negotiator, replayed.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";

import { Negotiator } from "../../src/thkmesh/web/core/negotiation.js";

const file = new URL("../../spec/vectors/negotiation.json", import.meta.url);

test("every transition of spec/vectors/negotiation.json is the same as in Python", async () => {
  const vectors = JSON.parse(await readFile(file, "utf8"));
  assert.ok(vectors.transitions.length > 1000);
  for (const [index, [start, event, outputs, end]] of vectors.transitions.entries()) {
    const negotiator = Negotiator.restore(vectors.states[start]);
    const where = `transition ${index}`;
    assert.deepEqual(negotiator.handle(vectors.events[event]), vectors.outputs[outputs], where);
    assert.deepEqual(negotiator.snapshot(), vectors.states[end], where);
  }
});
