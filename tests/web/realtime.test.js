// What is too long for the vectors of sessions; see tests/core/test_realtime.py.

import assert from "node:assert/strict";
import { test } from "node:test";

import { HELD_BYTES, Receiver, WINDOW } from "../../src/thkmesh/web/core/realtime.js";

const lossy = (number, floor = number, size = 0) => ({
  type: "lossy", stream: 6, number, floor, kind: 1, payload: new Uint8Array(size), report: false,
});

test("without an order a window is remembered, however many come", () => {
  const receiver = new Receiver();
  let count = 0;
  for (let number = 0; number < 3 * WINDOW; number += 1) {
    count += receiver.receive(lossy(number), 0, false).length;
    count += receiver.receive(lossy(number), 0, false).length;
  }
  assert.equal(count, 3 * WINDOW);
  assert.equal(receiver.receive(lossy(0), 0, false).length, 0);
});

test("what waits is bounded over all streams", () => {
  const receiver = new Receiver();
  let held = 0;
  for (let stream = 2; stream < 12; stream += 1) {
    for (let number = 1; number < WINDOW; number += 1) {
      held += 1164 * (1 - receiver.receive({ ...lossy(number, 0, 1100), stream }, 0, true).length);
      assert.ok(held <= HELD_BYTES);
    }
  }
});
