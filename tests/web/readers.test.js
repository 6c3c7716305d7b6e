// Who reads, and what senders are told of it; see tests/shell/test_readers.py.

import assert from "node:assert/strict";
import { test } from "node:test";

import { READ_BYTES } from "../../src/thkmesh/web/core/credit.js";
import { Ledger, Readers } from "../../src/thkmesh/web/readers.js";

const PEER = Object.freeze({ id: "a", sid: "b", name: "Ada", metadata: {} });
const SOURCE = Object.freeze({ to: "a.b", stream: 2, cost: READ_BYTES });
const said = (data) => (
  { type: "message", peer: PEER, data, direct: false, channel: "x" });

/** Return readers, and all that their senders are told. */
function readers(keep = true) {
  const told = [];
  return { told, all: new Readers(new Ledger((source) => told.push({ ...source })), keep) };
}

test("senders hear of much that was read at once, and of each stream", () => {
  const { told, all } = readers();
  const small = { ...SOURCE, cost: READ_BYTES / 4 };
  for (let data = 0; data < 4; data += 1) all.deliver(said(data), { ...small, stream: data % 2 });
  for (let count = 0; count < 3; count += 1) all.main.takeNow();
  assert.deepEqual(told, []);
  all.main.takeNow();
  const half = { ...SOURCE, cost: READ_BYTES / 2 };
  assert.deepEqual(told, [{ ...half, stream: 0 }, { ...half, stream: 1 }]);
});

test("for what costs nothing nobody waits, and every reader is given it", () => {
  const { told, all } = readers();
  const other = all.subscribe();
  all.deliver(said(1), { ...SOURCE, cost: 0 });
  assert.deepEqual([all.main.takeNow()?.data, other.takeNow()?.data], [1, 1]);
  assert.deepEqual(told, []);
});

test("a message counts as read once the last reader has taken it", () => {
  const { told, all } = readers();
  all.main.begun = true;
  const other = all.subscribe();
  all.deliver(said(1), SOURCE);
  const third = all.subscribe(true);
  all.main.takeNow();
  other.takeNow();
  assert.deepEqual(told, []);
  third.takeNow();
  assert.deepEqual(told, [SOURCE]);
});

test("nobody waits for a room that nobody iterates over while others read", () => {
  const { told, all } = readers();
  all.deliver(said(1), SOURCE);
  const other = all.subscribe();
  assert.equal(told.length, 1);
  all.deliver(said(2), SOURCE);
  other.takeNow();
  assert.equal(told.length, 2);
  assert.deepEqual([all.main.takeNow()?.data, all.main.takeNow()?.data], [1, 2]);
  assert.equal(told.length, 2);
});

test("listeners take each message at once", () => {
  const { told, all } = readers();
  all.taken = true;
  all.deliver(said(1), SOURCE);
  assert.equal(told.length, 1);
});

test("what nobody wants, and what a closed reader leaves, counts as read", () => {
  const { told, all } = readers(false);
  all.deliver(said(1), SOURCE);
  assert.equal(told.length, 1);
  const reader = all.subscribe();
  all.deliver(said(2), SOURCE);
  reader.close();
  assert.equal(told.length, 2);
});

test("who waits already has read what comes", async () => {
  const { told, all } = readers();
  const next = all.main.next();
  all.deliver(said(1), SOURCE);
  assert.equal(told.length, 1);
  assert.equal((await next).value?.data, 1);
});
