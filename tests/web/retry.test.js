// The laws of retrying; see tests/core/test_retry.py.

import assert from "node:assert/strict";
import { test } from "node:test";

import {
  RETRY_BASE, RETRY_CAP, Retry, SETTLE_TIMEOUT, STEADY,
} from "../../src/thkmesh/web/core/retry.js";

/**
 * Fail so many times in a row; return how long each retry waits.
 * @param {Retry} retry
 * @param {number} now
 * @param {number} count
 */
const waits = (retry, now, count) => Array.from({ length: count }, () => {
  retry.failed(now, false);
  const wait = retry.at === null ? null : retry.at - now;
  assert.equal(retry.take(now + 1e3), true);
  return wait;
});

test("nothing is due before anything began", () => {
  const retry = new Retry(() => 0.5);
  retry.watch(0, false, false);
  retry.slept(1);
  retry.resumed(1);
  assert.equal(retry.deadline, null);
  assert.equal(retry.overdue(1e9), false);
  assert.equal(retry.take(1e9), false);
});

test("what does not settle in time is overdue", () => {
  const retry = new Retry(() => 0.5);
  retry.watch(1, false, true);
  retry.watch(5, false, true);
  assert.equal(retry.deadline, 1 + SETTLE_TIMEOUT);
  assert.equal(retry.overdue(0.99 + SETTLE_TIMEOUT), false);
  assert.equal(retry.overdue(1 + SETTLE_TIMEOUT), true);
  retry.watch(6, true, true);
  assert.equal(retry.deadline, null);
  assert.equal(retry.overdue(1e9), false);
});

test("neither our sleep nor a lost server uses up the time", () => {
  const retry = new Retry(() => 0.5);
  retry.watch(0, false, true);
  retry.slept(100);
  assert.equal(retry.deadline, 100 + SETTLE_TIMEOUT);
  retry.resumed(300);
  assert.equal(retry.deadline, 300 + SETTLE_TIMEOUT);
});

test("the first retry is immediate and later ones wait longer", () => {
  const found = waits(new Retry(() => 0.75), 0, 12);
  assert.deepEqual(found.slice(0, 3), [0, 0.75 * RETRY_BASE, 0.75 * 2 * RETRY_BASE]);
  assert.equal(found.at(-1), 0.75 * RETRY_CAP);
});

test("only a connection that lived makes the next retry immediate", () => {
  for (const [lived, good] of /** @type {const} */ ([[STEADY, true], [0.9 * STEADY, false]])) {
    const retry = new Retry(() => 0.75);
    waits(retry, 0, 3);
    retry.connected(10);
    assert.equal(waits(retry, 10 + lived, 1)[0] === 0, good);
  }
});

test("one failure has one retry", () => {
  const retry = new Retry(() => 0.75);
  waits(retry, 0, 1);
  retry.failed(0, false);
  retry.watch(0, false, true);
  retry.failed(0.5, false);
  assert.equal(retry.at, 0.75 * RETRY_BASE);
  assert.equal(retry.deadline, retry.at);
  assert.equal(retry.take(0.74 * RETRY_BASE), false);
  assert.equal(retry.take(0.75 * RETRY_BASE), true);
  assert.equal(retry.deadline, 0.75 * RETRY_BASE + SETTLE_TIMEOUT);
});

test("a connection that is wanted comes now and is no failure", () => {
  const retry = new Retry(() => 0.75);
  retry.failed(3, true);
  assert.equal(retry.take(3), true);
  assert.deepEqual(waits(retry, 4, 2), [0, 0.75 * RETRY_BASE]);
  retry.failed(5, false);
  retry.failed(5, true);
  assert.equal(retry.at, 5);
});

test("a connection that came without us ends the waiting", () => {
  const retry = new Retry(() => 0.5, 0);
  assert.equal(retry.deadline, 0);
  retry.connected(0);
  assert.equal(retry.deadline, null);
  retry.watch(1, false, true);
  retry.renewed();
  assert.equal(retry.deadline, null);
});
