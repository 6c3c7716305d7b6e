// The laws of the trickle; see tests/core/test_trickle.py.

import assert from "node:assert/strict";
import { test } from "node:test";

import {
  BATCH_LIMIT, BATCHING, FIRST_BATCHING, Trickle,
} from "../../src/thkmesh/web/core/trickle.js";

const found = (candidate = "candidate:1") =>
  [{ candidate, usernameFragment: "mine", sdpMid: "0", sdpMLineIndex: 0 }];
const END = found("");

test("nothing is due before anything was found", () => {
  const trickle = new Trickle();
  assert.equal(trickle.due, null);
  assert.equal(trickle.isDue(1e9), false);
  assert.deepEqual(trickle.take(false), []);
});

test("the first wait less than later ones until the next description", () => {
  const trickle = new Trickle();
  let now = 10;
  for (const wait of [FIRST_BATCHING, BATCHING, BATCHING]) {
    assert.equal(trickle.collect(found(), now), false);
    assert.equal(trickle.collect(found(), now + 0.5 * wait), false);
    assert.equal(trickle.due, now + wait);
    assert.equal(trickle.isDue(now + 0.9 * wait), false);
    assert.equal(trickle.isDue(now + wait), true);
    assert.deepEqual(trickle.take(false), [...found(), ...found()]);
    assert.equal(trickle.due, null);
    now += 1;
  }
  trickle.described();
  trickle.collect(found(), now);
  assert.equal(trickle.due, now + FIRST_BATCHING);
});

test("a complete or full batch does not wait", () => {
  const trickle = new Trickle();
  assert.equal(trickle.collect(END, 0), true);
  assert.deepEqual(trickle.take(false), END);
  for (let count = 1; count < BATCH_LIMIT; count += 1) {
    assert.equal(trickle.collect(found(), 0), false);
  }
  assert.equal(trickle.collect(found(), 0), true);
});

test("who is connected is not told of the end alone", () => {
  const trickle = new Trickle();
  trickle.collect(END, 0);
  assert.deepEqual(trickle.take(true), []);
  trickle.collect(found(), 0);
  assert.equal(trickle.due, FIRST_BATCHING);
  trickle.collect(END, 0);
  assert.deepEqual(trickle.take(true), [...found(), ...END]);
});

test("what has gathered goes with its connection", () => {
  const trickle = new Trickle();
  trickle.collect(found(), 0);
  trickle.clear();
  assert.equal(trickle.due, null);
  assert.deepEqual(trickle.take(false), []);
});
