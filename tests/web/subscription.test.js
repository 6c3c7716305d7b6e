// What waits for an application that does not read; see tests/shell/test_crossing.py.

import assert from "node:assert/strict";
import { test } from "node:test";

import { InvalidMessage } from "../../src/thkmesh/web/errors.js";
import { BUFFER_BYTES, Subscription } from "../../src/thkmesh/web/subscription.js";

const PEER = Object.freeze({ id: "a", sid: "b", name: "Ada", metadata: {} });
const room = { unsubscribe() {} };

test("deep JSON is weighed like any other", () => {
  const subscription = new Subscription(room);
  const data = JSON.parse("[".repeat(30_000) + "]".repeat(30_000));
  subscription.put({ type: "message", peer: PEER, data, direct: false });
  assert.equal(subscription.takeNow()?.type, "message");
});

test("refusals cannot fill the memory, and other events are kept", () => {
  const subscription = new Subscription(room);
  const data = new Uint8Array(BUFFER_BYTES - 256);
  subscription.put({ type: "message", peer: PEER, data, direct: false });
  for (let count = 0; count < 100; count += 1) {
    subscription.put({ type: "refused", peer: PEER, error: new InvalidMessage("no") });
  }
  subscription.put({ type: "peer-left", peer: PEER, reason: "left" });
  const types = [];
  for (let e = subscription.takeNow(); e !== null; e = subscription.takeNow()) types.push(e.type);
  assert.equal(types.filter((type) => type === "refused").length, 3);
  assert.equal(types.at(-1), "peer-left");
});
