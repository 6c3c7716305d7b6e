// Messages that travel smaller than they are; see tests/core/test_deflate.py.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { deflateRawSync, inflateRawSync } from "node:zlib";

import {
  deflate, Deflated, isCandidate, THRESHOLD_BYTES,
} from "../../src/thkmesh/web/core/deflate.js";
import { DEFLATED, encode, Kind, MESSAGE_LIMIT_BYTES } from "../../src/thkmesh/web/core/frames.js";
import { unwrap } from "../../src/thkmesh/web/core/latest.js";
import { pack, PLAIN } from "../../src/thkmesh/web/core/packing.js";
import { Subscription } from "../../src/thkmesh/web/subscription.js";
import { Ledger } from "../../src/thkmesh/web/readers.js";
import { InvalidMessage } from "../../src/thkmesh/web/errors.js";

const PEER = Object.freeze({ id: "a", sid: "b", name: "Ada", metadata: {} });
const TEXT = "so it goes, line after line. ".repeat(1000);
const room = { unsubscribe() {} };

const deflated = (data) => {
  const { kind, payload } = encode(data);
  return new Deflated(kind, new Uint8Array(deflateRawSync(payload)));
};
const message = (data) => (
  { type: "message", peer: PEER, data, direct: false, channel: "", key: null });
const receipt = (stream = 0) => ({ to: "", stream, cost: 1, readers: 1 });

test("what is deflated is smaller, and says the same", async () => {
  for (const data of [TEXT, { lines: TEXT.split(".") }, "é".repeat(4 * 1024 * 1024)]) {
    const { kind, payload } = encode(data);
    const small = await deflate(kind, payload);
    assert.equal(small.kind, kind | DEFLATED);
    assert.ok(small.payload.length * 8 < payload.length * 7);
    assert.deepEqual(new Uint8Array(inflateRawSync(small.payload)), payload);
    assert.deepEqual(await new Deflated(kind, small.payload).expand(), data);
  }
});

test("what would not be smaller, or was not to be deflated, is sent as it is", async () => {
  const noise = new Uint8Array(randomBytes(100_000));
  for (const payload of [noise, noise.subarray(0, 2000)]) {
    assert.deepEqual(await deflate(Kind.BYTES, payload), { kind: Kind.BYTES, payload });
  }
  const long = new Uint8Array(THRESHOLD_BYTES + 1);
  const asked = [true, null, false].map((wanted) => (
    [Kind.TEXT, Kind.BYTES, Kind.JSON].map((kind) => isCandidate(kind, long, wanted))));
  assert.deepEqual(asked, [[true, true, true], [true, false, true], [false, false, false]]);
  assert.equal(isCandidate(Kind.TEXT, long.subarray(1), true), false);
  assert.equal(pack(PLAIN, "short").smaller, null);
});

test("the key of a value is not deflated", async () => {
  const packed = pack({ latest: true, compress: null }, TEXT, "key");
  const small = await packed.smaller?.();
  assert.equal(small?.kind, Kind.TEXT | DEFLATED);
  const { key, payload } = unwrap(small.payload);
  assert.equal(key, "key");
  assert.equal(await new Deflated(Kind.TEXT, payload).expand(), TEXT);
});

test("what is malformed, or expands to too much, is refused", async () => {
  const whole = new Uint8Array(deflateRawSync(TEXT));
  const bomb = new Uint8Array(deflateRawSync(new Uint8Array(MESSAGE_LIMIT_BYTES + 1)));
  const huge = new Uint8Array(deflateRawSync(new Uint8Array(256 * 1024 * 1024)));
  const malformed = [
    new Uint8Array(), new Uint8Array([0xff, 0xff]), whole.subarray(0, -1), bomb, huge,
  ];
  for (const payload of malformed) {
    await assert.rejects(new Deflated(Kind.TEXT, payload).expand(), InvalidMessage);
  }
  const nonsense = new Uint8Array(deflateRawSync(new Uint8Array([0xff])));
  await assert.rejects(new Deflated(Kind.TEXT, nonsense).expand(), InvalidMessage);
});

test("a reader gets what is deflated in its turn, whether it waits or not", async () => {
  const subscription = new Subscription(room, new Ledger(() => {}));
  const first = subscription.next();
  const second = subscription.next();
  subscription.put(message(deflated(TEXT)), receipt());
  subscription.put(message("behind it"), receipt());
  subscription.put(message(deflated({ number: 3 })), receipt());
  subscription.put(message("the last"), receipt());
  subscription.end(null);
  const told = [await first, await second, await subscription.next(), await subscription.next()];
  assert.deepEqual(told.map(({ value }) => value?.data), [
    TEXT, "behind it", { number: 3 }, "the last",
  ]);
  assert.deepEqual(await subscription.next(), { done: true, value: undefined });
});

test("what cannot be expanded is passed over, and its sender is told once", async () => {
  const blamed = [];
  const ledger = new Ledger(() => {}, (peer) => blamed.push(peer));
  const subscription = new Subscription(room, ledger);
  const bad = message(new Deflated(Kind.TEXT, new Uint8Array([0xff])));
  subscription.put(bad, receipt());
  subscription.put(message("next"), receipt());
  const other = new Subscription(room, ledger, { other: subscription });
  for (const reader of [subscription, other]) {
    assert.equal((await reader.next()).value?.data, "next");
  }
  const waiting = subscription.next();
  subscription.put(bad, receipt());
  subscription.end(null);
  assert.deepEqual(await waiting, { done: true, value: undefined });
  assert.deepEqual(blamed, [PEER]);
});

test("a value that is superseded while it is expanded is not taken", async () => {
  const subscription = new Subscription(room, new Ledger(() => {}));
  const value = (data) => ({ ...message(data), channel: "x", key: "k" });
  subscription.put(value(deflated(TEXT)), receipt(), true);
  assert.equal(subscription.takeNow(), null);
  subscription.put(value("newer"), receipt(), true);
  assert.equal((await subscription.next()).value?.data, "newer");
  subscription.put(message(deflated(TEXT)));
  let taken = null;
  while (taken === null) {
    taken = subscription.takeNow();
    await new Promise((resolve) => { setTimeout(resolve, 1); });
  }
  assert.equal(taken.data, TEXT);
});

test("what nobody takes is not expanded", async () => {
  const subscription = new Subscription(room, new Ledger(() => {}));
  const large = deflated("x".repeat(MESSAGE_LIMIT_BYTES));
  for (let count = 0; count < 1000; count += 1) subscription.put(message(large), receipt());
  const before = process.memoryUsage();
  for (let count = 0; count < 4; count += 1) {
    assert.equal((await subscription.next()).value?.data.length, MESSAGE_LIMIT_BYTES);
  }
  const after = process.memoryUsage();
  assert.ok(after.rss - before.rss < 400 * 1024 * 1024);
});
