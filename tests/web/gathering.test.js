// What gathers, and when it goes if nobody comes for it.

import assert from "node:assert/strict";
import { test } from "node:test";

import { BATCH_BYTES } from "../../src/thkmesh/web/core/sending.js";
import { Gathering } from "../../src/thkmesh/web/gathering.js";

const SMALL = new Uint8Array(5);

/** Return a gathering, and a promise of how many are there when a turn is over. */
function gathering() {
  /** @type {(count: number) => void} */
  let tell = () => {};
  const over = () => new Promise((resolve) => {
    tell = resolve;
  });
  const gathering = new Gathering(() => tell(gathering.take().length));
  return { gathering, over };
}

test("only bursts gather", async () => {
  const { gathering: it } = gathering();
  assert.equal(it.takes(SMALL), false);
  it.sent();
  assert.equal(it.takes(SMALL), true);
  assert.equal(it.takes(new Uint8Array(BATCH_BYTES)), false);
  await new Promise((resolve) => {
    setTimeout(resolve, 5);
  });
  assert.equal(it.takes(SMALL), false, "that was long ago");
  it.add(["x", 1, SMALL]);
  assert.equal(it.takes(SMALL), true, "it is not alone");
  it.close();
});

test("so much gathers and no more", () => {
  const { gathering: it } = gathering();
  it.sent();
  const payload = new Uint8Array(1000);
  let count = 0;
  let full = 0;
  for (; it.takes(payload); count += 1) {
    it.add(["x", 1, payload]);
    if (!it.full) full = count + 1;
  }
  assert.equal(full, Math.floor(BATCH_BYTES / 1008));
  assert.equal(count, Math.floor(4 * BATCH_BYTES / 1008) + 1);
  assert.equal(it.take().length, count);
  assert.equal(it.full, false);
  it.close();
});

test("a burst goes when its turn is over, and so does the next one", async () => {
  const { gathering: it, over } = gathering();
  for (const count of [3, 2]) {
    const told = over();
    for (let number = 0; number < count; number += 1) {
      it.add(["x", 1, SMALL]);
      await null; // a promise is no turn
    }
    assert.equal(await told, count);
  }
  it.close();
});
