// Frames: what goes in comes out, and nothing else gets in; as tests/core/test_frames.py.

import assert from "node:assert/strict";
import { test } from "node:test";

import { InvalidArgument, InvalidMessage, MessageTooLarge } from "../../src/thkmesh/web/errors.js";
import {
  decode, encode, encodeControl, MESSAGE_LIMIT_BYTES,
} from "../../src/thkmesh/web/core/frames.js";

test("what is encoded is decoded, with its type and address", () => {
  const samples = ["", "plain", "😀 \u0000", new Uint8Array(), new Uint8Array([0, 255]), null, true,
    -1.5, 2 ** 53 - 1, [], [1, ["x"]], {}, { a: { "": null } }];
  for (const data of samples) {
    for (const direct of [false, true]) {
      assert.deepEqual(decode(encode(data, direct)), { type: "content", data, direct });
    }
  }
});

test("control is decoded", () => {
  for (const control of [{ type: "ping", n: 1 }, { type: "pong", n: 2 ** 40 }, { type: "bye" }]) {
    assert.deepEqual(decode(encodeControl(control)), control);
  }
});

test("what Python cannot hold is refused, and nothing is sent", () => {
  for (const data of [NaN, Infinity, 2 ** 53, "\ud800", { "\udfff": 1 }, [undefined], new Map(),
    () => 1, 1n, undefined]) {
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

test("malformed frames are refused, and what may be skipped is skipped", () => {
  const bytes = (...parts) => Uint8Array.from(parts.flatMap((part) => (
    typeof part === "string" ? [...Buffer.from(part)] : [part])));
  for (const frame of [bytes(), bytes(1), bytes(2, 0), bytes(1, 0, 255), bytes(1, 2, "{"),
    bytes(1, 4), bytes(1, 3, "[]"), new Uint8Array(MESSAGE_LIMIT_BYTES + 3).fill(1)]) {
    assert.throws(() => decode(frame), InvalidMessage);
  }
  for (const frame of [bytes(1, 0x80), bytes(1, 255, "?"), bytes(1, 3, '{"type":"new"}'),
    bytes(1, 3, "{}"), bytes(1, 3, '{"type":"ping","n":-1}')]) {
    assert.equal(decode(frame), null);
  }
});
