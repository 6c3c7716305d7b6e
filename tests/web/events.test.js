// Whom events happen to.

import assert from "node:assert/strict";
import { test } from "node:test";

import { frozenPeer } from "../../src/thkmesh/web/events.js";

test("nobody can change a peer, however deep they reach", () => {
  const metadata = { colours: ["red"], deep: JSON.parse("[".repeat(20_000) + "]".repeat(20_000)) };
  const peer = frozenPeer({ id: "a", sid: "b", name: "Ada", metadata });
  assert.throws(() => peer.metadata.colours.push("blue"), TypeError);
  let deepest = peer.metadata.deep;
  while (deepest.length > 0) [deepest] = deepest;
  assert.throws(() => deepest.push(1), TypeError);
  assert.throws(() => {
    peer.name = "Bob";
  }, TypeError);
});
