// Channels of latest values: what traces of sessions have no room for; see tests/core/test_latest.py.

import assert from "node:assert/strict";
import { test } from "node:test";

import { counter } from "../../src/thkmesh/web/core/streams.js";
import {
  CompactedLog, KEY_LENGTH, KEYS, unwrap, VALUES_BYTES, wrap,
} from "../../src/thkmesh/web/core/latest.js";
import { pack, PLAIN } from "../../src/thkmesh/web/core/packing.js";
import { FRAGMENT_BYTES, Kind } from "../../src/thkmesh/web/core/frames.js";
import {
  ChannelFull, InvalidArgument, InvalidMessage, MessageTooLarge,
} from "../../src/thkmesh/web/errors.js";

const EMPTY = new Uint8Array();

test("a value travels with its key", () => {
  for (const key of ["", "x", "ключ", "\u{1f600}".repeat(KEY_LENGTH)]) {
    assert.deepEqual(unwrap(wrap(key, new Uint8Array([1, 2]))), {
      key, payload: new Uint8Array([1, 2]),
    });
  }
  assert.equal(wrap("k", new Uint8Array(FRAGMENT_BYTES - 2)).length, FRAGMENT_BYTES);
  assert.throws(() => wrap("k", new Uint8Array(FRAGMENT_BYTES - 1)), MessageTooLarge);
  assert.throws(() => wrap("k".repeat(KEY_LENGTH + 1), EMPTY), InvalidArgument);
  assert.throws(() => wrap("\ud800", EMPTY), InvalidArgument);
  for (const bad of [[], [5, 97], [1, 0xff], [65, ...Array(65).fill(107)]]) {
    assert.throws(() => unwrap(new Uint8Array(bad)), InvalidMessage);
  }
});

test("only a channel of latest values has keys", () => {
  const values = { latest: true, compress: null };
  const said = new TextEncoder().encode("hi");
  assert.deepEqual(pack(values, "hi"), { kind: Kind.TEXT, payload: wrap("", said), smaller: null });
  assert.deepEqual(pack(values, "hi", "k"), { kind: Kind.TEXT, payload: wrap("k", said), smaller: null });
  assert.deepEqual(pack(PLAIN, "hi", null), { kind: Kind.TEXT, payload: said, smaller: null });
  for (const [packing, key] of [[PLAIN, "k"], [values, ""], [values, 7]]) {
    assert.throws(() => pack(packing, "hi", key), InvalidArgument);
  }
});

test("a log holds so many keys, and so many bytes, whatever changes", () => {
  let log = new CompactedLog(counter());
  for (let key = 0; key < KEYS; key += 1) log.append(Kind.TEXT, wrap(String(key), EMPTY));
  assert.ok(log.refusal(wrap("new", EMPTY)) instanceof ChannelFull);
  assert.equal(log.refusal(wrap("7", EMPTY)), null);
  log = new CompactedLog(counter());
  const large = new Uint8Array(FRAGMENT_BYTES - 9);
  for (let key = 0; key < Math.floor(VALUES_BYTES / FRAGMENT_BYTES); key += 1) {
    assert.equal(log.refusal(wrap(String(key), large)), null);
    log.append(Kind.BYTES, wrap(String(key), large));
  }
  assert.ok(log.refusal(wrap("x", large)) instanceof ChannelFull);
  for (let count = 0; count < 1000; count += 1) log.append(Kind.BYTES, wrap("0", large));
  assert.equal(log.since(0).length, Math.floor(VALUES_BYTES / FRAGMENT_BYTES));
  assert.ok(log.heldBytes <= VALUES_BYTES);
});
