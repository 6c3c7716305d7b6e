// Frames: what goes in comes out, and nothing else gets in; as tests/core/test_frames.py.

import assert from "node:assert/strict";
import { test } from "node:test";

import { InvalidArgument, InvalidMessage, MessageTooLarge } from "../../src/thkmesh/web/errors.js";
import {
  content, datagram, encode, MESSAGE_LIMIT_BYTES, parse,
} from "../../src/thkmesh/web/core/frames.js";

test("what is encoded is decoded, with its type", () => {
  const samples = ["", "plain", "😀 \u0000", new Uint8Array(), new Uint8Array([0, 255]), null, true,
    -1.5, 2 ** 53 - 1, [], [1, ["x"]], {}, { a: { "": null } }];
  for (const data of samples) {
    const { kind, payload } = encode(data);
    assert.deepEqual(content(kind, payload), data);
  }
});

test("what is sent is not changed by who goes on using it", () => {
  const data = new Uint8Array([1, 2, 3]);
  const { payload } = encode(data);
  data.fill(0);
  assert.deepEqual([...payload], [1, 2, 3]);
});

test("frames come out of a datagram as they went in", () => {
  const wants = new Map([[0, { number: 2 ** 53 - 1, limit: 0 }], [511, { number: 0, limit: 7 }]]);
  const place = (/** @type {number} */ number) => ({ number, messages: 4, position: 2 ** 40 });
  const frames = [
    { type: "ping", n: 1 }, { type: "pong", n: 2 ** 40 }, { type: "bye" },
    { type: "fragment", stream: 1, number: 300, kind: 1, last: true,
      payload: new Uint8Array(200), first: false },
    { type: "fragment", stream: 0, number: 2 ** 40, kind: 2, last: false,
      payload: new Uint8Array(), first: true },
    { type: "fragment", stream: 1, number: 7, kind: 3, last: true,
      payload: new Uint8Array(3), first: false },
    { type: "lossy", stream: 2, number: 2 ** 40, floor: 2 ** 40 - 3, kind: 0,
      payload: new Uint8Array(1100), report: true },
    { type: "lossy", stream: 511, number: 7, floor: 7, kind: 3, payload: new Uint8Array(),
      report: false },
    { type: "report", stream: 3, expected: 0, later: [] },
    { type: "report", stream: 3, expected: 2 ** 40, later: [1, 8, 9, 256].map((n) => 2 ** 40 + n) },
    { type: "ack", wants },
    { type: "resume", wants },
    { type: "skip", stream: 0, to: place(128) },
    { type: "name", channel: 0, rule: 0, name: "", everybody: place(1), alone: place(2) },
    { type: "name", channel: 255, rule: 9, name: "x".repeat(64), everybody: place(1), alone: place(2) },
    { type: "listen", names: [], revision: 0 },
    { type: "listen", names: ["a", "A.b_c-1"], revision: 300 },
  ];
  assert.deepEqual([...parse(datagram(...frames))], frames);
});

test("what Python cannot hold is refused, and nothing is sent", () => {
  for (const data of [NaN, Infinity, 2 ** 53, "\ud800", { "\udfff": 1 }, [undefined], new Map(),
    () => 1, 1n, undefined, { toJSON: () => 1 }, Object.assign([], { toJSON: () => undefined })]) {
    assert.throws(() => encode(data), InvalidArgument);
  }
});

test("nesting is bounded, a scalar inside the deepest list is not", () => {
  let deep = 1;
  for (let level = 0; level < 65; level += 1) deep = [deep];
  encode(deep);
  assert.throws(() => encode([deep]), InvalidArgument);
});

test("the limit is exact", () => {
  encode("x".repeat(MESSAGE_LIMIT_BYTES));
  assert.throws(() => encode("x".repeat(MESSAGE_LIMIT_BYTES + 1)), MessageTooLarge);
});

test("a fragment has a kind that there is, and no piece of a stream is deflated", () => {
  for (const head of [0x0b, 0x0f, 0x1b, 0x20, 0x23, 0x28, 0x3f]) {
    assert.throws(() => [...parse(new Uint8Array([1, head, 0, 0, 0]))], InvalidMessage);
  }
  const kinds = [0x00, 0x03, 0x07, 0x0a, 0x1e].flatMap((head) => (
    [...parse(new Uint8Array([1, head, 0, 0, 0]))].map((frame) => frame.kind)));
  assert.deepEqual(kinds, [0, 3, 3, 10, 10]);
});

test("names that are none, and channels beyond the limit, are refused", () => {
  const place = { number: 0, messages: 0, position: 0 };
  const name = (/** @type {object} */ odd) => (
    { type: "name", channel: 1, rule: 0, name: "x", everybody: place, alone: place, ...odd });
  for (const frame of [
    name({ name: "" }), name({ name: "x".repeat(65) }), name({ name: "a b" }), name({ name: "x\n" }),
    name({ channel: 256 }), name({ channel: 0 }), name({ channel: 0, name: "", rule: 1 }),
    { type: "listen", names: ["é"], revision: 0 },
    { type: "listen", names: new Array(256).fill("x"), revision: 0 },
    { type: "skip", stream: 512, to: place },
  ]) assert.throws(() => [...parse(datagram(/** @type {any} */ (frame)))], InvalidMessage);
});
