// What waits for an application that does not read; see tests/shell/test_crossing.py.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Deflated } from "../../src/thkmesh/web/core/deflate.js";
import { InvalidMessage } from "../../src/thkmesh/web/errors.js";
import { BUFFER_BYTES, PASSING, Subscription } from "../../src/thkmesh/web/subscription.js";

const PEER = Object.freeze({ id: "a", sid: "b", name: "Ada", metadata: {} });
const room = { unsubscribe() {} };

const ledger = { read: () => {} };

test("deep JSON is weighed like any other", () => {
  const subscription = new Subscription(room, ledger);
  const data = JSON.parse("[".repeat(30_000) + "]".repeat(30_000));
  subscription.put({ type: "message", peer: PEER, data, direct: false, channel: "" });
  assert.equal(subscription.takeNow()?.type, "message");
});

test("refusals cannot fill the memory, and other events are kept", () => {
  const subscription = new Subscription(room, ledger);
  const data = new Uint8Array(BUFFER_BYTES / 4 - 256);
  subscription.put({ type: "message", peer: PEER, data, direct: false, channel: "" });
  for (let count = 0; count < 100; count += 1) {
    subscription.put({ type: "refused", peer: PEER, error: new InvalidMessage("no") });
  }
  subscription.put({ type: "peer-left", peer: PEER, reason: "left" });
  const types = [];
  for (let e = subscription.takeNow(); e !== null; e = subscription.takeNow()) types.push(e.type);
  assert.equal(types.filter((type) => type === "refused").length, 3);
  assert.equal(types.at(-1), "peer-left");
});

test("of what need not arrive the newest is kept, and takes turns with what must", () => {
  const subscription = new Subscription(room, ledger);
  const said = (data) => ({ type: "message", peer: PEER, data, direct: false, channel: "x" });
  for (let data = 0; data < PASSING + 9; data += 1) subscription.putPassing(said(data));
  assert.equal(subscription.skipped, 9);
  subscription.put(said("must"));
  subscription.put(said("too"));
  const other = new Subscription(room, ledger, { other: subscription });
  for (const each of [subscription, other]) {
    const taken = [0, 1, 2, 3, 4].map(() => each.takeNow()?.data);
    assert.deepEqual(taken, [9, "must", 10, "too", 11]);
  }
  for (let data = 0; data < 40; data += 1) subscription.putPassing(said("x".repeat(30_000)));
  assert.ok(subscription.skipped > PASSING);
});

test("who waits is given what need not arrive at once", async () => {
  const subscription = new Subscription(room, ledger);
  const next = subscription.next();
  subscription.putPassing({ type: "message", peer: PEER, data: 7, direct: false, channel: "x" });
  assert.equal((await next).value.data, 7);
  assert.equal(subscription.takeNow(), null);
});

test("what need not arrive keeps its order while something else is being expanded", async () => {
  const { promise: expanding, resolve: expand } = withResolvers();
  const subscription = new Subscription(room, { ...ledger, expanded: () => expanding });
  const said = (data) => ({ type: "message", peer: PEER, data, direct: false, channel: "x" });
  for (const number of [1, 2]) subscription.putPassing(said(number));
  const large = said(new Deflated(0, new Uint8Array()));
  subscription.put(large);
  assert.equal(subscription.takeNow().data, 1);
  const next = subscription.next();
  subscription.putPassing(said(3));
  expand(said("expanded"));
  const taken = [(await next).value.data];
  for (let number = 0; number < 2; number += 1) taken.push((await subscription.next()).value.data);
  assert.deepEqual(taken, ["expanded", 2, 3]);
});

function withResolvers() {
  const found = {};
  found.promise = new Promise((resolve) => { found.resolve = resolve; });
  return found;
}

test("reading what waits takes no longer for each the more there is", () => {
  const subscription = new Subscription(room, ledger);
  const count = 50_000;
  for (let data = 0; data < count; data += 1) {
    subscription.put({ type: "message", peer: PEER, data, direct: false, channel: "" });
  }
  const began = performance.now();
  for (let data = 0; data < count; data += 1) assert.equal(subscription.takeNow()?.data, data);
  assert.equal(subscription.takeNow(), null);
  assert.ok(performance.now() - began < 2000); // with Array.prototype.shift more than 10 s
});

test("another reader can begin with what the first has not taken", async () => {
  const first = new Subscription(room, ledger);
  const said = (data) => ({ type: "message", peer: PEER, data, direct: false, channel: "" });
  for (let data = 0; data < 5000; data += 1) first.put(said(data));
  for (let data = 0; data < 3000; data += 1) first.takeNow();
  const second = new Subscription(room, ledger, { other: first });
  second.put(said(5000));
  for (let data = 3000; data < 5000; data += 1) {
    assert.equal(second.takeNow()?.data, data);
    assert.equal(first.takeNow()?.data, data);
  }
  assert.equal(second.takeNow()?.data, 5000);
  assert.equal(first.takeNow(), null);
});

test("another reader is told of what the first has lost", () => {
  const first = new Subscription(room, ledger);
  const data = new Uint8Array(BUFFER_BYTES / 4 - 128);
  for (let count = 0; count < 3; count += 1) {
    first.put({ type: "message", peer: PEER, data, direct: false, channel: "" });
  }
  const second = new Subscription(room, ledger, { other: first });
  for (const reader of [first, second]) {
    assert.equal(reader.takeNow()?.type, "message");
    assert.deepEqual(reader.takeNow(), { type: "lost", peer: PEER, count: 2, channel: "" });
    assert.equal(reader.takeNow(), null);
  }
});

test("what a reader ended with does not change", async () => {
  const closed = new Subscription(room, ledger);
  closed.close();
  closed.end(new InvalidMessage("the room ended later"));
  assert.deepEqual(await closed.next(), { done: true, value: undefined });
});

const value = (key, data, peer = PEER, direct = false) => (
  { type: "message", peer, data, direct, channel: "x", key });

const taken = (subscription) => {
  const all = [];
  for (let e = subscription.takeNow(); e !== null; e = subscription.takeNow()) all.push(e.data);
  return all;
};

test("a value waits no longer when a later one comes", () => {
  const given = [];
  const subscription = new Subscription(room, { read: ({ stream }) => given.push(stream) });
  const bob = { ...PEER, id: "b" };
  const said = [
    value("a", 0), value("b", 1), value("a", 2, bob), value("a", 3, PEER, true),
    value(null, 4), value("a", 5), value("b", 6), value(null, 7),
  ];
  for (const [stream, each] of said.entries()) {
    subscription.put(each, { to: "", stream, cost: 1, readers: 1 }, true);
  }
  assert.deepEqual(given, [0, 1, 4]);
  const other = new Subscription(room, ledger, { other: subscription });
  other.put(value("a", 8), null, true);
  assert.deepEqual(taken(other), [2, 3, 6, 7, 8]);
  assert.deepEqual(taken(subscription), [2, 3, 5, 6, 7]);
  subscription.put(value("a", 9), null, true);
  assert.deepEqual(taken(subscription), [9]);
});

test("values that nobody reads take no more memory, however often they change", () => {
  let given = 0;
  const subscription = new Subscription(room, { read: () => { given += 1; } });
  const before = process.memoryUsage().heapUsed;
  for (let number = 0; number < 200_000; number += 1) {
    const receipt = { to: "", stream: 0, cost: 1, readers: 1 };
    subscription.put(value(String(number % 8), number), receipt, true);
  }
  globalThis.gc?.();
  assert.equal(given, 200_000 - 8);
  assert.ok(process.memoryUsage().heapUsed - before < 64 * 1024 * 1024);
  subscription.letGo();
  assert.equal(given, 200_000);
  assert.deepEqual(taken(subscription), [...Array(8).keys()].map((each) => 199_992 + each));
});
