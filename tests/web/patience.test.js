// How long something is waited for.

import assert from "node:assert/strict";
import { test } from "node:test";

import { isSeconds, milliseconds, unlessAborted } from "../../src/thkmesh/web/patience.js";

test("no timer is set further than timers go", () => {
  for (const seconds of [Infinity, 3e6, Number.MAX_VALUE]) {
    assert.equal(milliseconds(seconds), 2 ** 31 - 1);
  }
  assert.deepEqual([0, 0.5, 10].map(milliseconds), [0, 500, 10_000]);
});

test("seconds are a number, also infinitely many", () => {
  for (const some of [0, 0.5, Infinity]) assert.ok(isSeconds(some));
  for (const none of [NaN, -1, "1", null, undefined, true, 1n]) assert.ok(!isSeconds(none));
});

test("who is aborted waits no longer, and the others do", async () => {
  const never = new Promise(() => {});
  await assert.rejects(unlessAborted(never, AbortSignal.abort("early")), /early/);
  const given = new AbortController();
  const waiting = assert.rejects(unlessAborted(never, given.signal), /given up/);
  given.abort(new Error("given up"));
  await waiting;
  assert.equal(await unlessAborted(Promise.resolve(1), new AbortController().signal), 1);
  assert.equal(await unlessAborted(Promise.resolve(2)), 2);
});
